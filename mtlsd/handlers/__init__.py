"""What a route does with a request: synchronous, no sockets."""

from mtlsd.handlers.as2 import Call, Exchange, Services, begin

__all__ = ["Call", "Exchange", "Services", "begin"]
