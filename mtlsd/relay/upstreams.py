"""Chooses the backends of a route for a delivery, with a circuit breaker for each backend.

A circuit opens after a number of failures in a row, or if a health check fails. After it has been open for long enough,
one attempt is let through, and closes the circuit or opens it again. `now` is of a monotonic clock.
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mtlsd.errors import UpstreamFailed
from mtlsd.relay.retry import Answered, Outcome

MAX_PINS = 10_000
REFUSED = (429, 503)  # a backend that answers so did not process the request
UNWELL = (408, 425, *REFUSED, 502, 504)  # statuses that are about the backend, and not about one message


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """How many failures in a row open a circuit, and for how many seconds."""

    failures: int
    seconds: float


@dataclass(slots=True)
class _Circuit:
    failures: int = 0  # in a row
    open_until: float | None = None
    is_unhealthy: bool = False  # opened by a failed health check
    is_trying: bool = False  # an attempt is under way that will close the circuit or open it again


class Pins:
    """The backend that may have accepted a message that is not in the journal: its next copy goes only there."""

    def __init__(self) -> None:
        self._pins: OrderedDict[str, str] = OrderedDict()

    def get(self, key: str) -> str | None:
        """The backend that may have the message with this idempotency key, if any."""
        return self._pins.get(key)

    def note(self, key: str, target: str | None) -> None:
        """Remember the backend for a key, or forget it with None; the oldest are forgotten if there are too many."""
        self._pins.pop(key, None)
        if target is not None:
            self._pins[key] = target
            if len(self._pins) > MAX_PINS:
                self._pins.popitem(last=False)


class Upstreams:
    """The circuits of the backends, by URL; an unknown backend counts as healthy."""

    def __init__(self, policy: BreakerPolicy) -> None:
        self.policy = policy
        self._circuits: dict[str, _Circuit] = {}
        self._turn = 0
        self._flawed: set[str] = set()

    def order(self, targets: Sequence[str], now: float, *, in_turn: bool = False) -> list[str]:
        """The targets that may be tried now, the best first; `in_turn` begins with the next one on each call."""
        if in_turn:
            self._turn += 1
            at = self._turn % len(targets)
            targets = (*targets[at:], *targets[:at])
        return [each for each in targets if self._may_try(each, now)]

    def opens_at(self, targets: Iterable[str], now: float) -> float | None:
        """The time at which the first target may be tried; None if one may be tried now."""
        waits = []
        for each in targets:
            circuit = self._circuits.get(each)
            if circuit is None or circuit.open_until is None or self._may_try(each, now):
                return None
            waits.append(now + self.policy.seconds if circuit.is_trying else circuit.open_until)
        return min(waits, default=None)

    def room(self, targets: Iterable[str], most: int, now: float) -> int:
        """The number of concurrent attempts at these targets: `most`, 1 if only a trial is allowed, or 0."""
        usable = [each for each in targets if self._may_try(each, now)]
        if not usable:
            return 0
        return 1 if all(self._is_open(each) for each in usable) else most

    def begin(self, target: str) -> None:
        """Record that an attempt begins; on an open circuit, it is the trial."""
        circuit = self._circuits.get(target)
        if circuit is not None and circuit.open_until is not None:
            circuit.is_trying = True

    def report(self, target: str, outcome: Outcome | None, now: float) -> bool:
        """Record the outcome of an attempt, None if it was cancelled; returns whether the circuit opened or closed."""
        circuit = self._circuits.setdefault(target, _Circuit())
        was_open, circuit.is_trying = circuit.open_until is not None, False
        if outcome is None:
            return False
        if is_well(outcome):
            del self._circuits[target]
            return was_open
        circuit.failures += 1
        if was_open or circuit.failures >= self.policy.failures:
            circuit.open_until = now + self.policy.seconds
        return circuit.open_until is not None and not was_open

    def note_health(self, target: str, outcome: Outcome, now: float) -> bool:
        """Record the outcome of a health check; returns whether the circuit opened or closed. Only 2xx is healthy.

        A successful check closes only a circuit that a failed check opened: it proves nothing about failed deliveries.
        """
        if isinstance(outcome, Answered) and 200 <= outcome.status < 300:
            circuit = self._circuits.get(target)
            if circuit is None or not circuit.is_unhealthy:
                return False
            del self._circuits[target]
            return True
        circuit = self._circuits.setdefault(target, _Circuit())
        was_open = circuit.open_until is not None
        circuit.open_until, circuit.is_unhealthy = now + self.policy.seconds, True
        return not was_open

    def is_first_flaw(self, target: str) -> bool:
        """Record that only the status of the backend's answer could be read; returns whether that is new."""
        is_new = target not in self._flawed
        self._flawed.add(target)
        return is_new

    def open_circuits(self) -> list[str]:
        """The backends with an open circuit."""
        return sorted(each for each, circuit in self._circuits.items() if circuit.open_until is not None)

    def _is_open(self, target: str) -> bool:
        circuit = self._circuits.get(target)
        return circuit is not None and circuit.open_until is not None

    def _may_try(self, target: str, now: float) -> bool:
        circuit = self._circuits.get(target)
        if circuit is None or circuit.open_until is None:
            return True
        return circuit.open_until <= now and not circuit.is_trying


def is_well(outcome: Outcome) -> bool:
    """Whether the backend works. Rejecting one message does not count against it.

    A 500 does not count either: if it opened the circuit, one partner's documents would delay those of all others. The
    message that got it is retried with growing waits.
    """
    return isinstance(outcome, Answered) and outcome.status not in UNWELL


def may_try_another(outcome: Outcome) -> bool:
    """Whether this backend certainly did not accept the message, so that another backend may get it."""
    if isinstance(outcome, UpstreamFailed):
        return not outcome.body_began
    return outcome.status in REFUSED


def may_have_taken_it(outcome: Outcome) -> bool:
    """Whether the backend may have accepted the message: it got some of the body, and did not refuse it."""
    if isinstance(outcome, Answered):
        return outcome.status >= 500 and outcome.status not in REFUSED
    return outcome.body_began
