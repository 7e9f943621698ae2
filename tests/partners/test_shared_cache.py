"""The cache that partners share is bounded in each way, and fair."""

from hypothesis import given
from hypothesis import strategies as st

from mtlsd.partners.shared_cache import SharedCache


def test_the_entry_that_was_used_least_recently_goes_first() -> None:
    cache: SharedCache[str, int] = SharedCache(max_entries=2)
    cache.keep("a", 1, "acme", 1)
    cache.keep("b", 2, "beta", 1)
    assert cache.get("a") == 1
    cache.keep("c", 3, "gamma", 1)
    assert [cache.get(each) for each in "abc"] == [1, None, 3]


def test_a_partner_with_many_entries_evicts_only_its_own() -> None:
    cache: SharedCache[int, int] = SharedCache(max_entries_of_one=4)
    cache.keep(-1, 0, "acme", 1)
    for number in range(10_000):
        cache.keep(number, number, "greedy", 1)
    assert cache.get(-1) == 0
    assert len(cache) == 5


def test_a_partner_with_large_entries_evicts_only_its_own() -> None:
    cache: SharedCache[int, int] = SharedCache(max_octets=1000, max_octets_of_one=100)
    cache.keep(-1, 0, "acme", 50)
    for number in range(100):
        cache.keep(number, number, "greedy", 40)
    assert cache.get(-1) == 0
    assert cache.octets == 130


def test_an_entry_that_is_larger_than_a_share_is_not_kept() -> None:
    cache: SharedCache[str, int] = SharedCache(max_octets_of_one=100)
    cache.keep("a", 1, "acme", 101)
    assert (cache.get("a"), len(cache), cache.octets) == (None, 0, 0)


@given(st.lists(st.tuples(st.integers(0, 20), st.sampled_from("abc"), st.integers(0, 60), st.booleans())))
def test_no_bound_is_ever_exceeded(steps: list[tuple[int, str, int, bool]]) -> None:
    cache: SharedCache[int, str] = SharedCache(
        max_entries=8, max_octets=200, max_entries_of_one=4, max_octets_of_one=100
    )
    for key, owner, octets, removes in steps:
        if removes:
            cache.remove(key)
            assert cache.get(key) is None
        else:
            cache.keep(key, owner, owner, octets)
            assert cache.get(key) == owner
        assert len(cache) <= 8
        assert 0 <= cache.octets <= 200
    for key in range(21):
        cache.remove(key)
    assert (len(cache), cache.octets) == (0, 0)
