"""What the columns hold is a stored format: these texts are in journals, and in digests, that are there already."""

import pytest

from mtlsd.journal import columns
from mtlsd.journal.model import Lane

TARGETS = [
    ("http://127.0.0.1:9000/inbound", ("http://127.0.0.1:9000/inbound",)),
    ("http://a/ dir:/var/spool/edi https://b/?c=d", ("http://a/", "dir:/var/spool/edi", "https://b/?c=d")),
]
LANES = [
    ("http://a/ http://b/", Lane("http://a/ http://b/")),
    ("mdn acme", Lane("mdn acme")),
    ("ordered acme as2.example.com/as2", Lane("acme as2.example.com/as2", ordered=True)),
    ("", Lane("")),
]


@pytest.mark.parametrize(("text", "targets"), TARGETS)
def test_the_targets_of_a_delivery_have_blanks_between(text: str, targets: tuple[str, ...]) -> None:
    assert (columns.targets(text), columns.targets_text(targets)) == (targets, text)


@pytest.mark.parametrize(("text", "lane"), LANES)
def test_the_name_of_an_ordered_lane_says_so(text: str, lane: Lane) -> None:
    assert (columns.lane(text), columns.lane_text(lane)) == (lane, text)
