"""The limit on failures: so many at once, then as many as the hour gives back, each key for itself."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtlsd.access.rate_limits import MAX_KEYS, FailureLimit, RequestLimit, network_of
from mtlsd.errors import TooManyFailures, TooManyRequests

NOW = 1_800_000_000.0


def fails(limit: FailureLimit, key: str, now: float) -> bool:
    """Try to fail once; whether that was let through."""
    try:
        limit.charge(key, now)
    except TooManyFailures:
        return False
    return True


def test_so_many_failures_at_once_and_no_more() -> None:
    limit = FailureLimit(3)
    assert [fails(limit, "acme", NOW) for _ in range(5)] == [True, True, True, False, False]


def test_the_hour_gives_them_back_one_by_one() -> None:
    limit = FailureLimit(3)
    for _ in range(3):
        assert fails(limit, "acme", NOW)
    assert not fails(limit, "acme", NOW + 1199)
    assert fails(limit, "acme", NOW + 1201)
    assert not fails(limit, "acme", NOW + 1202)
    assert [fails(limit, "acme", NOW + 9000) for _ in range(4)] == [True, True, True, False]


def test_one_key_is_not_charged_for_another() -> None:
    limit = FailureLimit(1)
    assert fails(limit, "acme", NOW)
    assert not fails(limit, "acme", NOW)
    assert fails(limit, "acme from 192.0.2.1", NOW)


def test_a_charge_that_is_given_back_leaves_room_for_another() -> None:
    limit = FailureLimit(2)
    assert [fails(limit, "acme", NOW) for _ in range(3)] == [True, True, False]
    limit.give_back("acme")
    assert [fails(limit, "acme", NOW) for _ in range(2)] == [True, False]
    limit.give_back("nobody")


def test_giving_back_more_than_was_charged_saves_nothing_up() -> None:
    limit = FailureLimit(2)
    assert fails(limit, "acme", NOW)
    for _ in range(5):
        limit.give_back("acme")
    assert [fails(limit, "acme", NOW) for _ in range(3)] == [True, True, False]


def test_checking_charges_nothing() -> None:
    limit = FailureLimit(1)
    for _ in range(10):
        limit.check("acme", NOW)
    assert fails(limit, "acme", NOW)
    with pytest.raises(TooManyFailures):
        limit.check("acme", NOW)


def test_no_more_guesses_are_answered_at_once_than_the_limit() -> None:
    limit = FailureLimit(3)
    assert [fails(limit, "acme", NOW) for _ in range(20)].count(True) == 3


def test_a_clock_that_jumps_back_locks_nobody_out_for_longer_than_an_hour() -> None:
    limit = FailureLimit(1)
    assert fails(limit, "acme", NOW + 86400)
    assert not fails(limit, "acme", NOW)
    assert fails(limit, "acme", NOW + 90001)


def test_a_reload_may_change_the_limit() -> None:
    limit = FailureLimit(1)
    assert fails(limit, "acme", NOW)
    limit.per_hour = 10
    assert not fails(limit, "acme", NOW)
    assert fails(limit, "acme", NOW + 361)


def test_the_number_of_keys_is_bounded() -> None:
    limit = FailureLimit(1)
    for number in range(MAX_KEYS + 10):
        limit.charge(str(number), NOW)
    limit.check("0", NOW)  # forgotten: the longest unused go first
    with pytest.raises(TooManyFailures):
        limit.check(str(MAX_KEYS + 9), NOW)


@given(st.integers(1, 50), st.lists(st.floats(0, 600), max_size=200))
def test_no_hour_has_more_than_twice_the_limit(per_hour: int, waits: list[float]) -> None:
    limit, now, passed = FailureLimit(per_hour), NOW, []
    for wait in waits:
        now += wait
        if fails(limit, "acme", now):
            passed.append(now)
    for start in passed:
        assert sum(start <= each < start + 3600 for each in passed) <= 2 * per_hour


def test_requests_are_limited_by_the_minute() -> None:
    limit = RequestLimit(3)
    for _ in range(3):
        limit.take("a", 0.0)
    with pytest.raises(TooManyRequests):
        limit.take("a", 0.0)
    limit.take("b", 0.0)
    limit.take("a", 20.0)
    with pytest.raises(TooManyRequests):
        limit.take("a", 20.0)


def test_requests_of_many_keys_take_no_room() -> None:
    limit = RequestLimit(1)
    for number in range(MAX_KEYS + 5):
        limit.take(str(number), 0.0)
    assert len(limit._full_at) == MAX_KEYS


def test_whoever_has_an_address_in_a_network_of_ipv6_has_them_all() -> None:
    assert network_of("192.0.2.7") == "192.0.2.7"
    assert network_of("2001:db8::1") == network_of("2001:db8::ffff:1") == "2001:db8::/64"
