"""Wire bytes to plaintext and back, and a presented chain to a verdict. No sockets.

TLS proves possession of a key; what a certificate is worth is judged apart, again on every request.
"""

from mtlsd.tls.alerts import ALERTS, Alert
from mtlsd.tls.contexts import FOLLOWED, HostContext, ListenerContexts, build_context
from mtlsd.tls.engine import Closed, Engine, Examine, HandshakeCompleted, PlaintextReceived
from mtlsd.tls.judge import judge
from mtlsd.tls.rules import examine

__all__ = [
    "ALERTS",
    "FOLLOWED",
    "Alert",
    "Closed",
    "Engine",
    "Examine",
    "HandshakeCompleted",
    "HostContext",
    "ListenerContexts",
    "PlaintextReceived",
    "build_context",
    "examine",
    "judge",
]
