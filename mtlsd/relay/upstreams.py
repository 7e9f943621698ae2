"""Which of a route's backends gets a delivery, and which are left alone for a while: a circuit breaker for each.

A circuit opens after so many failures in a row, or when a health check fails. When it has been open for long enough,
one attempt may go through; that closes it, or opens it anew. `now` is of a clock that never jumps.
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mtlsd.errors import UpstreamFailed
from mtlsd.relay.retry import Answered, Outcome

MAX_PINS = 10_000
REFUSED = (429, 503)  # answers of a backend that did not even look at what it was sent
UNWELL = (408, 425, *REFUSED, 502, 504)  # answers that speak of whoever gives them, and not of one message


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """How many failures in a row open a circuit, and for how many seconds."""

    failures: int
    seconds: float


@dataclass(slots=True)
class _Circuit:
    failures: int = 0  # in a row
    open_until: float | None = None
    is_unhealthy: bool = False  # its health page said so
    is_trying: bool = False  # an attempt is under way that will close it or open it anew


class Pins:
    """Which backend may have taken a message that is not in the journal: its next copy goes there and nowhere else."""

    def __init__(self) -> None:
        self._pins: OrderedDict[str, str] = OrderedDict()

    def get(self, key: str) -> str | None:
        """The backend, where one may have the message with this idempotency key."""
        return self._pins.get(key)

    def note(self, key: str, target: str | None) -> None:
        """Remember it, or forget it; the oldest of too many are forgotten."""
        self._pins.pop(key, None)
        if target is not None:
            self._pins[key] = target
            if len(self._pins) > MAX_PINS:
                self._pins.popitem(last=False)


class Upstreams:
    """What is known of each backend, by its URL; an unknown one is well."""

    def __init__(self, policy: BreakerPolicy) -> None:
        self.policy = policy
        self._circuits: dict[str, _Circuit] = {}
        self._turn = 0

    def order(self, targets: Sequence[str], now: float, *, in_turn: bool = False) -> list[str]:
        """The targets that may be tried now, the best first; `in_turn` begins with another one each time."""
        if in_turn:
            self._turn += 1
            at = self._turn % len(targets)
            targets = (*targets[at:], *targets[:at])
        return [each for each in targets if self._may_try(each, now)]

    def opens_at(self, targets: Iterable[str], now: float) -> float | None:
        """When the first of them may be tried; None where that is now. While a trial runs, look again when it ends."""
        waits = []
        for each in targets:
            circuit = self._circuits.get(each)
            if circuit is None or circuit.open_until is None or self._may_try(each, now):
                return None
            waits.append(now + self.policy.seconds if circuit.is_trying else circuit.open_until)
        return min(waits, default=None)

    def room(self, targets: Iterable[str], most: int, now: float) -> int:
        """How many attempts at once may go to these: `most`, one where all it can be is a trial, or none."""
        usable = [each for each in targets if self._may_try(each, now)]
        if not usable:
            return 0
        return 1 if all(self._is_open(each) for each in usable) else most

    def begin(self, target: str) -> None:
        """An attempt begins; on an open circuit it is the one that decides."""
        circuit = self._circuits.get(target)
        if circuit is not None and circuit.open_until is not None:
            circuit.is_trying = True

    def report(self, target: str, outcome: Outcome | None, now: float) -> bool:
        """Note how an attempt or a health check ended, None if it was cut off; whether the circuit opened or closed."""
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
        """Note what a health page said; whether the circuit opened or closed. Only 2xx is well.

        A page that is well ends only the pause that a page began: it says nothing of failed deliveries.
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

    def open_circuits(self) -> list[str]:
        """The backends that are left alone at the moment."""
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
    """Whether whoever answered is alive and able; that it rejects one message says nothing against it.

    Nor does a 500: a pause for it would let one partner's documents keep back those of all others. The message that
    got it waits longer and longer by itself.
    """
    return isinstance(outcome, Answered) and outcome.status not in UNWELL


def may_try_another(outcome: Outcome) -> bool:
    """Whether this backend is known not to have taken the message, so that another one may get it."""
    if isinstance(outcome, UpstreamFailed):
        return not outcome.body_began
    return outcome.status in REFUSED


def may_have_taken_it(outcome: Outcome) -> bool:
    """Whether nobody knows: it got some of the body, and did not say no."""
    if isinstance(outcome, Answered):
        return outcome.status >= 500 and outcome.status not in REFUSED
    return outcome.body_began
