"""All the async code there is: sockets, loops, deadlines, signals."""
