"""Strangers cannot fill the log, and what they caused is counted."""

from hypothesis import given
from hypothesis import strategies as st

from mtlsd.access.line_limit import MAX_NETWORKS, OTHERS, LineLimit


def taken(limit: LineLimit, address: str, times: int, now: float) -> int:
    return sum(limit.take(address, now) for _ in range(times))


def test_an_address_has_sixty_lines_a_minute() -> None:
    limit = LineLimit(60)
    assert taken(limit, "192.0.2.7", 1000, 100) == 60
    assert taken(limit, "192.0.2.7", 1000, 159) == 0
    assert taken(limit, "192.0.2.7", 1000, 160) == 60


def test_another_address_has_its_own() -> None:
    limit = LineLimit(60)
    assert taken(limit, "192.0.2.7", 100, 0) == 60
    assert taken(limit, "192.0.2.8", 100, 0) == 60


def test_a_network_of_ipv6_is_one_address() -> None:
    limit = LineLimit(60)
    assert sum(limit.take(f"2001:db8::{at:x}", 0) for at in range(100)) == 60
    assert limit.take("2001:db8:0:1::1", 0)
    assert dict(limit.left_out(60)) == {"2001:db8::/64": 40}


def test_what_was_left_out_is_counted_once() -> None:
    limit = LineLimit(60)
    taken(limit, "192.0.2.7", 100, 0)
    taken(limit, "192.0.2.8", 60, 0)
    assert list(limit.left_out(30)) == [("192.0.2.7", 40)]
    assert list(limit.left_out(90)) == []
    taken(limit, "192.0.2.7", 61, 90)
    assert list(limit.left_out(150)) == [("192.0.2.7", 1)]


def test_more_addresses_than_the_table_has_share_the_lines_of_one() -> None:
    limit = LineLimit(60)
    assert sum(limit.take(f"10.0.{at // 256}.{at % 256}", 0) for at in range(MAX_NETWORKS)) == MAX_NETWORKS
    assert sum(limit.take(f"10.1.{at // 256}.{at % 256}", 0) for at in range(1000)) == 60
    assert limit.take("10.0.0.0", 0)
    assert dict(limit.left_out(60)) == {OTHERS: 940}
    assert limit.take("10.1.3.1", 61)  # the table has room again


@given(st.lists(st.tuples(st.sampled_from(["192.0.2.1", "192.0.2.2", "2001:db8::1"]), st.floats(0, 30)), max_size=300))
def test_each_line_is_written_or_counted(attempts: list[tuple[str, float]]) -> None:
    limit, now, written, counted = LineLimit(5), 0.0, 0, 0
    for address, seconds in attempts:
        now += seconds
        written += limit.take(address, now)
        if seconds > 20:
            counted += sum(count for _, count in limit.left_out(now))
    counted += sum(count for _, count in limit.left_out(now))
    assert written + counted == len(attempts)
