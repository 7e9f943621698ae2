"""Which backend gets a delivery, which is left alone, and when no second one may be asked."""

import pytest

from mtlsd.errors import DeliveryImpossible, UpstreamFailed, UpstreamTimeout, UpstreamUnreachable
from mtlsd.journal.model import Lane
from mtlsd.relay.lanes import Lanes
from mtlsd.relay.retry import Answered, Outcome
from mtlsd.relay.upstreams import BreakerPolicy, Pins, Upstreams, may_have_taken_it, may_try_another

A, B, C = "http://a/", "http://b/", "http://c/"
GONE = UpstreamUnreachable("refused")
WELL = Answered(200)


@pytest.fixture
def upstreams() -> Upstreams:
    return Upstreams(BreakerPolicy(failures=3, seconds=30.0))


def fail(upstreams: Upstreams, target: str, times: int = 3, now: float = 0.0) -> list[bool]:
    return [upstreams.report(target, GONE, now) for _ in range(times)]


def test_the_first_is_asked_first(upstreams: Upstreams) -> None:
    assert upstreams.order([A, B, C], 0.0) == [A, B, C]


def test_in_turn_each_is_the_first_once(upstreams: Upstreams) -> None:
    firsts = [upstreams.order([A, B, C], 0.0, in_turn=True)[0] for _ in range(6)]
    assert sorted(firsts[:3]) == sorted(firsts[3:]) == [A, B, C]


def test_failures_in_a_row_open_the_circuit(upstreams: Upstreams) -> None:
    assert fail(upstreams, A) == [False, False, True]
    assert upstreams.order([A, B], 1.0) == [B]
    assert upstreams.open_circuits() == [A]


def test_a_success_between_them_keeps_it_closed(upstreams: Upstreams) -> None:
    fail(upstreams, A, 2)
    assert not upstreams.report(A, WELL, 1.0)
    fail(upstreams, A, 2)
    assert upstreams.order([A], 1.0) == [A]


@pytest.mark.parametrize("status", [400, 404, 302, 200, 500, 501, 507])
def test_whoever_rejects_a_message_is_well(upstreams: Upstreams, status: int) -> None:
    for _ in range(9):
        upstreams.report(A, Answered(status), 0.0)
    assert upstreams.open_circuits() == []


@pytest.mark.parametrize("status", [408, 425, 429, 502, 503, 504])
def test_whoever_cannot_is_not(upstreams: Upstreams, status: int) -> None:
    for _ in range(3):
        upstreams.report(A, Answered(status), 0.0)
    assert upstreams.open_circuits() == [A]


def test_after_the_pause_one_attempt_decides(upstreams: Upstreams) -> None:
    fail(upstreams, A)
    assert upstreams.opens_at([A], 10.0) == 30.0
    assert (upstreams.room([A], 8, 29.0), upstreams.room([A], 8, 30.0)) == (0, 1)
    upstreams.begin(A)
    assert (upstreams.room([A], 8, 30.0), upstreams.order([A], 30.0)) == (0, [])
    assert not upstreams.report(A, GONE, 31.0)
    assert upstreams.opens_at([A], 31.0) == 61.0
    upstreams.begin(A)
    assert upstreams.report(A, WELL, 62.0)
    assert (upstreams.room([A], 8, 62.0), upstreams.opens_at([A], 62.0)) == (8, None)


def test_an_attempt_that_was_cut_off_decides_nothing(upstreams: Upstreams) -> None:
    fail(upstreams, A)
    upstreams.begin(A)
    assert not upstreams.report(A, None, 40.0)
    assert upstreams.room([A], 8, 40.0) == 1


def test_one_that_is_well_is_enough(upstreams: Upstreams) -> None:
    fail(upstreams, A)
    assert (upstreams.room([A, B], 8, 1.0), upstreams.opens_at([A, B], 1.0)) == (8, None)


def test_a_health_page_pauses_at_once_and_ends_its_own_pause_only(upstreams: Upstreams) -> None:
    assert upstreams.note_health(A, Answered(503), 0.0)
    assert not upstreams.note_health(A, GONE, 10.0)
    assert upstreams.opens_at([A], 10.0) == 40.0
    assert upstreams.note_health(A, WELL, 20.0)
    assert not upstreams.note_health(A, WELL, 30.0)
    fail(upstreams, A, now=30.0)
    assert not upstreams.note_health(A, WELL, 31.0)
    assert upstreams.open_circuits() == [A]


@pytest.mark.parametrize("status", [301, 404])
def test_a_health_page_that_is_not_there_is_not_well(upstreams: Upstreams, status: int) -> None:
    assert upstreams.note_health(A, Answered(status), 0.0)


# --- Another one ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("outcome", "another", "taken"),
    [
        (UpstreamUnreachable("refused"), True, False),
        (UpstreamTimeout("no handshake"), True, False),
        (UpstreamTimeout("no answer", body_began=True), False, True),
        (UpstreamUnreachable("broken", body_began=True), False, True),
        (DeliveryImpossible("no document"), True, False),
        (Answered(429), True, False),
        (Answered(503), True, False),
        (Answered(500), False, True),
        (Answered(504), False, True),
        (Answered(200), False, False),
        (Answered(400), False, False),
    ],
)
def test_a_second_backend_is_asked_only_if_the_first_has_nothing(outcome: Outcome, another: bool, taken: bool) -> None:
    assert (may_try_another(outcome), may_have_taken_it(outcome)) == (another, taken)
    assert not (another and taken)


def test_pins_are_bounded() -> None:
    pins = Pins()
    for number in range(10_001):
        pins.note(str(number), A)
    assert (pins.get("0"), pins.get("1"), pins.get("10000")) == (None, A, A)
    pins.note("1", None)
    assert pins.get("1") is None


# --- Lanes ------------------------------------------------------------------------------------------------------

LANE = Lane("a")


def test_a_lane_has_its_share_less_what_is_under_way(upstreams: Upstreams) -> None:
    lanes = Lanes(upstreams)
    lanes.begin(LANE, (A,))
    lanes.begin(LANE, (A,))
    assert (lanes.room(8, 0.0), len(lanes)) == ({LANE: 6}, 2)
    lanes.end(LANE)
    lanes.end(LANE)
    assert (lanes.room(8, 0.0), len(lanes)) == ({}, 0)


def test_a_paused_lane_has_no_room_until_it_may_be_tried(upstreams: Upstreams) -> None:
    lanes = Lanes(upstreams)
    lanes.begin(LANE, (A,))
    fail(upstreams, A)
    lanes.end(LANE)
    assert (lanes.room(8, 1.0), lanes.look_again_at(1.0)) == ({LANE: 0}, 30.0)
    assert (lanes.room(8, 30.0), lanes.look_again_at(30.0)) == ({LANE: 1}, None)
    lanes.begin(LANE, (A,))
    upstreams.begin(A)
    assert lanes.room(8, 30.0) == {LANE: 0}


def test_a_failure_is_told_by_its_class() -> None:
    assert isinstance(GONE, UpstreamFailed)
    assert not GONE.body_began
