"""What a route does with a request: synchronous, no sockets."""

from mtlsd.handlers import probes, whoami
from mtlsd.handlers.as2 import begin
from mtlsd.handlers.call import Call, Deferred, Services
from mtlsd.handlers.exchange import Exchange

__all__ = ["Call", "Deferred", "Exchange", "Services", "begin", "probes", "whoami"]
