"""All the async code there is: sockets, loops, deadlines, signals.

`Supervisor` runs the daemon: `Listeners` accept, a `Connection` serves each client over its `Wire`, the `Worker`
delivers, `Reload` swaps the `Snapshot`. `Daemon` is what they share. `client` makes requests of our own;
`MDNListener` takes the asynchronous MDN of a test message.
"""

from mtlsd.net.client import Answer, Recording
from mtlsd.net.client import send as send_request
from mtlsd.net.ids import new_id
from mtlsd.net.mdn_conversation import PostedMDN
from mtlsd.net.mdn_listener import MDNListener, Reception, send_and_listen
from mtlsd.net.snapshot import Snapshot
from mtlsd.net.snapshot import load as load_snapshot
from mtlsd.net.supervisor import Supervisor

__all__ = [
    "Answer",
    "MDNListener",
    "PostedMDN",
    "Reception",
    "Recording",
    "Snapshot",
    "Supervisor",
    "load_snapshot",
    "new_id",
    "send_and_listen",
    "send_request",
]
