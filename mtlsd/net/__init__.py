"""All the async code there is: sockets, loops, deadlines, signals.

`Supervisor` runs the daemon: `Listeners` accept, a `Connection` serves each client over its `Wire`, the `Worker`
delivers, `Reload` swaps the `Snapshot`. `Daemon` is what they share. `client` makes requests of our own;
`MDNListener` takes the asynchronous MDN of a test message.
"""

from mtlsd.net.client import Answer, Recording
from mtlsd.net.client import send as send_request
from mtlsd.net.ids import first_id, new_id
from mtlsd.net.mdn_conversation import PostedMDN
from mtlsd.net.mdn_listener import MDNListener, Reception, send_and_listen
from mtlsd.net.retention import retention_of
from mtlsd.net.snapshot import Snapshot, load_snapshot
from mtlsd.net.supervisor import Supervisor

__all__ = [
    "Answer",
    "MDNListener",
    "PostedMDN",
    "Reception",
    "Recording",
    "Snapshot",
    "Supervisor",
    "first_id",
    "load_snapshot",
    "new_id",
    "retention_of",
    "send_and_listen",
    "send_request",
]
