"""All async code: sockets, loops, deadlines, signals.

`Runtime` runs the daemon: `Listeners` accept, a `Connection` serves each client over its `Wire`, the `Worker`
delivers, `Reload` swaps the `Snapshot`. `State` is what they share. `client` makes requests of our own;
`MDNListener` takes the asynchronous MDN of a test message.
"""
