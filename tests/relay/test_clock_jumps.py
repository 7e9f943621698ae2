"""A wall clock that jumps, beside one that does not."""

import pytest

from mtlsd.relay.clock_jumps import TOLERANCE, Jumps

YEAR = 365 * 86400.0


@pytest.mark.parametrize("jump", [-10 * YEAR, -3600, -2, 2, 3600, 10 * YEAR])
def test_a_jump_is_seen_once(jump: float) -> None:
    jumps = Jumps()
    assert jumps.look(1000, 5) == 0
    assert jumps.look(1060, 65) == 0
    assert jumps.look(1070 + jump, 75) == jump
    assert jumps.look(1080 + jump, 85) == 0


def test_drift_is_no_jump() -> None:
    jumps = Jumps()
    assert {jumps.look(1000 + 61 * minute, 60 * minute) for minute in range(100)} == {0}
    assert TOLERANCE >= 1


@pytest.mark.parametrize("back", [0, 1800, 3600, 5000])
def test_time_that_never_passed_makes_nothing_older(back: float) -> None:
    jumps = Jumps()
    jumps.look(1000, 0)
    assert jumps.look(4610, 10) == 3600
    assert jumps.look(4620 - back, 20) == -back
    assert jumps.age(900, 4620 - back) == min(120, 120 + 3600 - back)
    assert jumps.age(4615, 4620 - back) == 5 - back  # it came after the jump
