"""The disk has two watermarks: at one the operators are warned, at the other nothing is taken."""

import pytest

from mtlsd.access.disk_space import check_room, is_low
from mtlsd.config.model import Limits
from mtlsd.errors import SpoolFull

LIMITS = Limits(disk_warn_bytes=1000, disk_stop_bytes=100)


@pytest.mark.parametrize(
    ("free", "length", "fits"),
    [
        (100, None, True),
        (99, None, False),
        (0, None, False),
        (99, 0, False),
        (1000, 900, True),
        (1000, 901, False),  # it would leave less
        (10**15, 10**9, True),
    ],
)
def test_a_body_is_taken_where_enough_stays_free(free: int, length: int | None, fits: bool) -> None:
    if fits:
        check_room(free, LIMITS, length)
        return
    with pytest.raises(SpoolFull, match="disk_stop_bytes is 100"):
        check_room(free, LIMITS, length)


@pytest.mark.parametrize(
    ("free", "was_low", "low"),
    [
        (1000, False, False),
        (999, False, True),
        (1000, True, True),  # hardly more: no toggling
        (1049, True, True),
        (1050, True, False),
        (0, True, True),
    ],
)
def test_the_warning_begins_at_the_watermark_and_ends_somewhat_above_it(free: int, was_low: bool, low: bool) -> None:
    assert is_low(free, LIMITS, was_low=was_low) == low


def test_the_warning_is_never_below_the_end() -> None:
    assert is_low(1999, Limits(disk_warn_bytes=1, disk_stop_bytes=2000), was_low=False)
