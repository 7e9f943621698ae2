"""The life cycle of a delivery, step by step."""

from itertools import product

import pytest

from mtlsd.journal.model import TRANSITIONS, DeliveryState, TransitionRefused, transition

PENDING, CLAIMED, DELIVERED, FAILED, DROPPED = DeliveryState
STEPS = {
    (PENDING, CLAIMED),
    (CLAIMED, DELIVERED),
    (CLAIMED, PENDING),
    (CLAIMED, FAILED),
    (FAILED, PENDING),
    (PENDING, DROPPED),
    (FAILED, DROPPED),
}


@pytest.mark.parametrize(("current", "following"), [*product(DeliveryState, repeat=2)])
def test_only_the_steps_of_the_table_can_be_taken(current: DeliveryState, following: DeliveryState) -> None:
    if (current, following) in STEPS:
        assert transition(current, following) is following
    else:
        with pytest.raises(TransitionRefused):
            transition(current, following)


def test_the_table_covers_every_state() -> None:
    assert TRANSITIONS.keys() == set(DeliveryState)


@pytest.mark.parametrize("end", [DELIVERED, DROPPED])
def test_an_end_is_the_end(end: DeliveryState) -> None:
    assert not TRANSITIONS[end]
