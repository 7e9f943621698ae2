"""Times as operators type them."""

from datetime import UTC, datetime

import pytest

from mtlsd.cli.journal.moment import moment_of

NOW = datetime(2026, 12, 1, 14, 21, 31, tzinfo=UTC)  # a Tuesday


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("today", "2026-12-01T00:00:00"),
        ("Yesterday", "2026-11-30T00:00:00"),
        ("last monday", "2026-11-30T00:00:00"),
        ("last tuesday", "2026-11-24T00:00:00"),
        ("last  Wednesday", "2026-11-25T00:00:00"),
        ("3 days ago", "2026-11-28T14:21:31"),
        ("1 hour ago", "2026-12-01T13:21:31"),
        ("2 weeks ago", "2026-11-17T14:21:31"),
        ("90m", "2026-12-01T12:51:31"),
        ("36h", "2026-11-30T02:21:31"),
        ("2026-11-21", "2026-11-21T00:00:00"),
        ("2026-11-21T10:00+01:00", "2026-11-21T09:00:00"),
    ],
)
def test_words_and_ages_are_times_in_utc(text: str, meant: str) -> None:
    assert moment_of(text, NOW) == datetime.fromisoformat(meant).replace(tzinfo=UTC)
