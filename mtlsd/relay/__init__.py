"""How a delivery is made and what its outcome means. Pure.

`build` makes the request of a delivery, and `decide` says what follows from its outcome.
"""

from mtlsd.relay.request import Credentials, OutgoingRequest, build, idempotency_key
from mtlsd.relay.retry import Answered, Decision, Outcome, RetryPolicy, decide, reason_of

__all__ = [
    "Answered",
    "Credentials",
    "Decision",
    "Outcome",
    "OutgoingRequest",
    "RetryPolicy",
    "build",
    "decide",
    "idempotency_key",
    "reason_of",
]
