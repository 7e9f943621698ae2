"""What a route does with a request: synchronous, no sockets."""

from mtlsd.handlers.as2 import Call, Deferred, Exchange, Services, begin

__all__ = ["Call", "Deferred", "Exchange", "Services", "begin"]
