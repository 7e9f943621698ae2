"""How a delivery is made and what its outcome means. Pure.

`build_request` makes the request of a delivery, and `decide` says what follows from its outcome.
"""

from mtlsd.relay.client_cert import keep_client_cert
from mtlsd.relay.deposit import Deposit, deposit_of
from mtlsd.relay.lanes import Lanes
from mtlsd.relay.request import Credentials, OutgoingRequest, build_request, idempotency_key
from mtlsd.relay.retry import Answered, Decision, Outcome, RetryPolicy, decide, reason_of
from mtlsd.relay.upstreams import BreakerPolicy, Pins, Upstreams, may_have_taken_it, may_try_another

__all__ = [
    "Answered",
    "BreakerPolicy",
    "Credentials",
    "Decision",
    "Deposit",
    "Lanes",
    "Outcome",
    "OutgoingRequest",
    "Pins",
    "RetryPolicy",
    "Upstreams",
    "build_request",
    "decide",
    "deposit_of",
    "idempotency_key",
    "keep_client_cert",
    "may_have_taken_it",
    "may_try_another",
    "reason_of",
]
