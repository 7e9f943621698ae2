"""Decides what follows from the outcome of an attempt."""

import re
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime

from mtlsd.errors import Upstream5xx, UpstreamFailed, UpstreamRejected
from mtlsd.journal.model import DeliveryState
from mtlsd.text import printable

_RETRYABLE = {408, 425, 429}  # and 5xx
_MOST_DOUBLINGS = 32
MAX_EXPLANATION = 500  # octets
_SECONDS = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class Answered:
    """The backend answered; `retry_after` is the field's value as received, and names in `headers` are lower case.

    `flaw` says why only the status could be read, and is empty otherwise.
    """

    status: int
    retry_after: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    flaw: str = ""

    @property
    def explanation(self) -> str:
        """The beginning of the body in printable words, if the request was refused; empty for 2xx."""
        if self._is_success or dict(self.headers).get("content-encoding", "identity") != "identity":
            return ""
        return printable(" ".join(self.body[:MAX_EXPLANATION].decode(errors="replace").split()))

    @property
    def _is_success(self) -> bool:
        return 200 <= self.status < 300


Outcome = Answered | UpstreamFailed


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """The waits between attempts, and the time after which a delivery is given up, in seconds."""

    first_retry: float
    max_retry: float
    give_up_after: float


@dataclass(frozen=True, slots=True)
class Decision:
    """The next state of a delivery; `not_before` is for PENDING only, `reason` None for DELIVERED only."""

    state: DeliveryState
    not_before: float | None = None
    reason: str | None = None


def decide(outcome: Outcome, attempts: int, age: float, now: float, policy: RetryPolicy, jitter: float) -> Decision:
    """Decide on a delivery that was attempted `attempts` times and is `age` seconds old.

    `jitter`, from 0 to 1, spreads the waits: from half of the full wait to all of it. The last wait is cut
    short, so that there is an attempt just before we give up.
    """
    if reason_of(outcome) is None:
        return Decision(DeliveryState.DELIVERED)
    reason, retryable = _cause(outcome)
    left = policy.give_up_after - age
    if not retryable or left <= 0:
        return Decision(DeliveryState.FAILED, reason=reason)
    wait = max(_back_off(attempts, policy, jitter), _asked_for(outcome, now))
    return Decision(DeliveryState.PENDING, not_before=now + min(wait, left), reason=reason)


def reason_of(outcome: Outcome) -> str | None:
    """The reason why the attempt failed; None if the backend accepted the request."""
    if isinstance(outcome, Answered) and 200 <= outcome.status < 300:
        return None
    return _cause(outcome)[0]


def _cause(outcome: Outcome) -> tuple[str, bool]:
    if isinstance(outcome, UpstreamFailed):
        return outcome.reason, outcome.retryable
    retryable = outcome.status in _RETRYABLE or 500 <= outcome.status < 600
    failed = Upstream5xx if retryable else UpstreamRejected
    return failed.reason, failed.retryable


def _back_off(attempts: int, policy: RetryPolicy, jitter: float) -> float:
    doublings = min(max(attempts - 1, 0), _MOST_DOUBLINGS)
    full = min(policy.first_retry * 2.0**doublings, policy.max_retry)
    return full * (0.5 + jitter / 2)


def _asked_for(outcome: Outcome, now: float) -> float:
    """Return the seconds that Retry-After asks for (RFC 9110, section 10.2.3), or 0."""
    value = outcome.retry_after if isinstance(outcome, Answered) else None
    if value is None:
        return 0.0
    if _SECONDS.fullmatch(value.strip()):
        return float(value)
    return max(_date(value) - now, 0.0)


def _date(value: str) -> float:
    try:
        date = parsedate_to_datetime(value)
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):  # the parser raises these for invalid dates
        return 0.0
