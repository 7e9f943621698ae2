"""What a route does with a request: synchronous, no sockets."""

from mtlsd.handlers import probes, selftest, whoami
from mtlsd.handlers.as2 import begin
from mtlsd.handlers.call import Call, Deferred, Refused, Services
from mtlsd.handlers.exchange import Exchange
from mtlsd.handlers.selftest import SelfTest

__all__ = ["Call", "Deferred", "Exchange", "Refused", "SelfTest", "Services", "begin", "probes", "selftest", "whoami"]
