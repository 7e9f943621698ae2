"""Fair shares: whoever used least is next; groups compete before payers, and connections do not count."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from mtlsd.access.fair_shares import MAX_ACCOUNTS, FairQueue, Group, Payer

ACME, BETA = Payer(Group.PARTNER, "acme"), Payer(Group.PARTNER, "beta")
STRANGER, ANOTHER = Payer(Group.NETWORK, "192.0.2.1"), Payer(Group.NETWORK, "192.0.2.2")
NEW = Payer(Group.OPENING, "192.0.2.1")


def next_of(queue: FairQueue[Payer]) -> Payer:
    payer = queue.next()
    assert payer is not None
    return payer


def served(queue: FairQueue[Payer], waiting: dict[Payer, int], turns: int, cost: float = 1.0) -> Counter[Payer]:
    """Who got the turns, if each payer has so many connections that always wait."""
    for payer, connections in waiting.items():
        for _ in range(connections):
            queue.add(payer, payer)
    counts: Counter[Payer] = Counter()
    for _ in range(turns):
        payer = next_of(queue)
        counts[payer] += 1
        queue.charge(payer, cost)
        queue.add(payer, payer)
    return counts


def test_nobody_waits_in_an_empty_queue() -> None:
    queue = FairQueue[str]()
    assert not queue
    assert queue.next() is None


def test_work_of_one_payer_is_served_in_the_order_of_arrival() -> None:
    queue = FairQueue[str]()
    for work in ("first", "second", "third"):
        queue.add(ACME, work)
    assert [queue.next(), queue.next(), queue.next(), queue.next()] == ["first", "second", "third", None]


def test_more_connections_are_not_more_turns() -> None:
    counts = served(FairQueue(), {ACME: 1, BETA: 190}, 100)
    assert counts == {ACME: 50, BETA: 50}


def test_all_networks_together_get_what_all_partners_get() -> None:
    networks = {Payer(Group.NETWORK, f"192.0.2.{number}"): 5 for number in range(200)}
    counts = served(FairQueue(), {ACME: 1, **networks}, 1000)
    assert counts[ACME] == 500
    assert {counts[each] for each in networks} == {2, 3}


def test_new_connections_do_not_wait_for_bodies() -> None:
    counts = served(FairQueue(), {NEW: 1, STRANGER: 100, BETA: 100}, 300)
    assert counts == {NEW: 100, STRANGER: 100, BETA: 100}


def test_the_time_that_was_used_counts_and_not_the_number_of_turns() -> None:
    queue = FairQueue[Payer]()
    used: Counter[Payer] = Counter()
    for payer in (ACME, BETA):
        queue.add(payer, payer)
    for _ in range(1000):
        payer = next_of(queue)
        queue.charge(payer, 10 if payer == BETA else 1)
        used[payer] += 10 if payer == BETA else 1
        queue.add(payer, payer)
    assert abs(used[ACME] - used[BETA]) <= 10


def test_who_was_idle_has_saved_nothing_and_owes_nothing() -> None:
    queue = FairQueue[Payer]()
    served(queue, {BETA: 1}, 1000)
    counts = served(queue, {ACME: 1}, 100)  # beta still waits
    assert counts == {ACME: 50, BETA: 50}


def test_work_that_never_waited_is_charged_and_not_held_against_its_payer_for_ever() -> None:
    queue = FairQueue[Payer]()
    for _ in range(100):  # nobody else wanted the time
        queue.serve(BETA)
        queue.charge(BETA, 1.0)
    assert served(queue, {ACME: 1, BETA: 1}, 100) == {ACME: 50, BETA: 50}


def test_removed_work_is_not_served() -> None:
    queue = FairQueue[str]()
    for work in ("first", "second"):
        queue.add(ACME, work)
    queue.add(BETA, "other")
    queue.remove(ACME, "first")
    queue.remove(BETA, "other")
    assert queue.next() == "second"
    assert not queue
    assert queue.next() is None


def test_accounts_are_bounded_and_the_largest_are_kept() -> None:
    queue = FairQueue[Payer]()
    queue.charge(BETA, 1000.0)
    for number in range(3 * MAX_ACCOUNTS):
        queue.charge(Payer(Group.PARTNER, str(number)), 1.0)
    assert len(queue._accounts[Group.PARTNER].used) <= MAX_ACCOUNTS
    queue.add(BETA, BETA)
    queue.add(ACME, ACME)
    assert queue.next() == ACME


SENDERS = [ACME, BETA, STRANGER, ANOTHER, NEW]


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("add"), st.sampled_from(SENDERS)),
            st.tuples(st.just("remove"), st.sampled_from(SENDERS)),
            st.tuples(st.just("next"), st.floats(0, 10)),
        ),
        max_size=200,
    )
)
def test_whatever_is_added_is_served_or_removed_once(steps: list[tuple[str, Payer | float]]) -> None:
    queue = FairQueue[tuple[Payer, int]]()
    waiting: list[tuple[Payer, int]] = []
    for number, (step, argument) in enumerate(steps):
        if isinstance(argument, Payer):
            mine = [work for work in waiting if work[0] == argument]
            if step == "add":
                waiting.append((argument, number))
                queue.add(argument, (argument, number))
            elif mine:
                waiting.remove(mine[-1])
                queue.remove(argument, mine[-1])
        elif (work := queue.next()) is not None:
            first = next(each for each in waiting if each[0] == work[0])
            assert work == first
            waiting.remove(work)
            queue.charge(work[0], argument)
        else:
            assert not waiting
    assert bool(queue) == bool(waiting)
