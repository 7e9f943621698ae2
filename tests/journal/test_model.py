"""The life cycle of a delivery, step by step."""

from itertools import product

import pytest

from mtlsd.journal import TRANSITIONS, DeliveryState, TransitionRefused, transition

PENDING, CLAIMED, DELIVERED, FAILED = DeliveryState
STEPS = {
    (PENDING, CLAIMED),
    (CLAIMED, DELIVERED),
    (CLAIMED, PENDING),
    (CLAIMED, FAILED),
    (FAILED, PENDING),
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


def test_delivered_is_the_end() -> None:
    assert not TRANSITIONS[DELIVERED]
