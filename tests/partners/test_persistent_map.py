"""A sharded mapping is a dict that others may hold on to while it changes."""

from hypothesis import given
from hypothesis import strategies as st

from mtlsd.partners.persistent_map import Sharded

CHANGES = st.lists(st.dictionaries(st.text(max_size=2), st.none() | st.integers()), max_size=8)


@given(CHANGES)
def test_it_is_what_a_dict_is_after_the_same_changes_and_the_earlier_ones_stay(changes: list[dict[str, int]]) -> None:
    plain: dict[str, int] = {}
    made: Sharded[int] = Sharded()
    earlier: list[tuple[Sharded[int], dict[str, int]]] = []
    for change in changes:
        earlier.append((made, dict(plain)))
        made = made.changed(change)
        plain = {key: value for key, value in (plain | change).items() if value is not None}
        assert (dict(made), len(made), set(made)) == (plain, len(plain), set(plain))
    assert all(dict(before) == expected for before, expected in earlier)


def test_what_is_not_there() -> None:
    made = Sharded({"a": 1})
    assert ("b" in made, made.get("b"), made.get("b", 2), made.get("a", 2)) == (False, None, 2, 1)


def test_no_change_is_the_same_mapping() -> None:
    made = Sharded({"a": 1})
    assert made.changed({}) is made
