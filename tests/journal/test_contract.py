"""What every journal does, whatever the database."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier
from typing import Any

import pytest

from mtlsd.journal.model import (
    Acceptance,
    Attempt,
    Backlog,
    Delivery,
    DeliveryKind,
    DeliveryState,
    Lane,
    LeaseLost,
    Message,
    Reason,
    StoredMDN,
    TransitionRefused,
)
from mtlsd.journal.notices import CLAIM_SECONDS, WRONG_CLOCK_SECONDS, NoticeStanding
from mtlsd.journal.search import Search
from mtlsd.journal.sql.journal import Journal
from tests.journal.conftest import OpenJournal
from tests.support.examples import BARE, FULL, MDN, accept, attempt, delivery, mdn_delivery, message, refusal

PENDING, CLAIMED, DELIVERED, FAILED, DROPPED = DeliveryState


def accept_numbered(journal: Journal, *numbers: int, not_before: float = 0.0) -> None:
    for number in numbers:
        new = message(number)
        accept(journal, new, [delivery(new, not_before)])


def only(journal: Journal, number: int = 1) -> Delivery:
    (found,) = journal.deliveries(f"{number:04}")
    return found


def finish(journal: Journal, state: DeliveryState, now: float = 10.0) -> None:
    (claimed,) = journal.claim("a", now, 15.0, 1)
    not_before = now + 60 if state is PENDING else None
    journal.record(attempt(claimed, reason=f"so_{state}"), "a", state=state, not_before=not_before, now=now)


# --- Accepting ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stored", [FULL, BARE], ids=["every field", "no optional field"])
def test_a_message_comes_back_as_it_was_accepted(journal: Journal, stored: Message) -> None:
    assert accept(journal, stored, []) == stored
    assert journal.find(stored.as2_from, stored.as2_to, stored.message_id) == stored
    assert journal.message(stored.id) == stored
    assert journal.message(stored.message_id) == stored


def test_an_accepted_delivery_is_pending(journal: Journal) -> None:
    accept_numbered(journal, 1)
    assert only(journal) == delivery(message(1))


def test_what_is_accepted_survives_a_crash(open_journal: Callable[[], Journal]) -> None:
    accept_numbered(open_journal(), 1)  # and nobody closes it
    assert open_journal().message("0001") == message(1)


def test_the_holder_of_the_key_stays(journal: Journal) -> None:
    accept_numbered(journal, 1)
    again = message(2, message_id=message(1).message_id)
    assert accept(journal, again, [delivery(again)]) == message(1)
    assert journal.message("0002") is None
    assert journal.deliveries("0002") == []


def test_an_attempt_that_was_made_before_is_accepted_with_its_delivery(journal: Journal) -> None:
    made = delivery(message(), state=DELIVERED, attempts=1, finished_at=5.0)
    tried = Attempt(delivery_id=made.id, number=1, started_at=4.0, finished_at=5.0, status=200)
    journal.accept([Acceptance(message(), (made,), {}, (tried,))])
    assert only(journal) == made
    assert journal.attempts(made.id) == [tried]
    assert journal.claim("a", 10.0, 15.0, 10) == []


@pytest.mark.parametrize("first", [None, MDN])
def test_a_message_gets_an_mdn_once(journal: Journal, first: StoredMDN | None) -> None:
    stored, late = message(mdn=first), StoredMDN(headers=(("A", "b"),), body=b"late")
    accept(journal, stored, [])
    journal.answer(stored, late, 5.0)
    found = journal.message(stored.id)
    assert found
    assert found.mdn == (first or late)


@pytest.mark.parametrize("part", ["as2_from", "as2_to", "message_id"])
def test_another_key_is_another_message(journal: Journal, part: str) -> None:
    accept_numbered(journal, 1)
    key: dict[str, Any] = {"message_id": message(1).message_id, part: "other"}
    other = message(2, **key)
    assert accept(journal, other, []) == other


def test_a_message_id_of_two_partners_means_the_newest(journal: Journal) -> None:
    accept_numbered(journal, 1)
    other = message(2, message_id=message(1).message_id, as2_from="OTHER")
    accept(journal, other, [])
    assert journal.message(other.message_id) == other


def test_all_that_have_one_message_id_are_found(journal: Journal) -> None:
    accept_numbered(journal, 1)
    other = message(2, message_id=message(1).message_id, as2_from="OTHER")
    accept(journal, other, [])
    refused = [refusal(1), refusal(2, message_id=other.message_id)]
    journal.accept([], refused)
    assert [each.id for each in journal.named(other.message_id, 9)] == ["0002", "0001", "r0002", "r0001"]
    assert [each.id for each in journal.named(other.message_id, 1)] == ["0002", "r0002"]
    assert journal.named("nobody", 9) == []


def test_unknown_things_are_not_found(journal: Journal) -> None:
    assert journal.find("ACME", "EXAMPLE", "<1@acme.example>") is None
    assert journal.message("0001") is None
    assert journal.refusal("0001") is None
    assert journal.deliveries("0001") == []
    assert journal.attempts("d0001") == []


def test_one_of_eight_threads_wins_a_key(journal: Journal) -> None:
    start = Barrier(8)

    def race(number: int) -> Message:
        new = message(number, message_id="<same@acme.example>")
        start.wait()
        return accept(journal, new, [delivery(new)])

    with ThreadPoolExecutor(8) as threads:
        winners = set(threads.map(race, range(8)))
    (winner,) = winners
    assert [each.message for each in journal.messages(limit=9)] == [winner]
    assert journal.counts()[PENDING] == 1


def test_two_openings_of_one_journal_share_its_keys(open_journal: Callable[[], Journal]) -> None:
    accept_numbered(open_journal(), 1)
    again = message(2, message_id=message(1).message_id)
    assert accept(open_journal(), again, []) == message(1)


# --- MDNs that are sent asynchronously ----------------------------------------------------------------------


def test_a_message_may_have_a_delivery_of_each_kind(journal: Journal) -> None:
    new = message(1)
    accept(journal, new, [delivery(new), mdn_delivery(new)])
    assert journal.deliveries(new.id) == [delivery(new), mdn_delivery(new)]
    assert [each.about for each in journal.claim("a", 10.0, 15.0, 9)] == [new, new]


def test_a_refusal_comes_back_as_it_was_written(journal: Journal) -> None:
    refused = refusal(1)
    journal.promise(mdn_delivery(refused), refused)
    assert journal.refusal(refused.id) == refused
    assert journal.refusal(refused.message_id) == refused
    assert journal.deliveries(refused.id) == [mdn_delivery(refused)]
    (claimed,) = journal.claim("a", 10.0, 15.0, 1)
    assert claimed.about == refused


@pytest.mark.parametrize("mdn", [refusal().mdn, None])
def test_refusals_are_written_beside_messages(journal: Journal, mdn: StoredMDN | None) -> None:
    refused = [refusal(number, mdn=mdn) for number in (1, 2)]
    new = message(1)
    assert journal.accept([Acceptance(new, (delivery(new),))], refused) == [new]
    assert journal.accept([], [refusal(3, mdn=mdn)]) == []
    assert [journal.refusal(each.id) for each in refused] == refused
    assert [each.id for each in journal.refusals(limit=9)] == ["r0003", "r0002", "r0001"]
    assert journal.deliveries("r0001") == []


def test_of_a_commit_that_fails_no_refusal_is_written(journal: Journal) -> None:
    with pytest.raises(Exception, match=r"(?i)unique"):
        journal.accept([], [refusal(1), refusal(1)])
    assert journal.refusals(limit=9) == []


def test_a_refusal_holds_no_key(journal: Journal) -> None:
    for number in (1, 2):
        refused = refusal(number, message_id=message(1).message_id)
        journal.promise(mdn_delivery(refused), refused)
    assert accept(journal, message(1), []) == message(1)
    assert journal.refusal(message(1).message_id) == refused
    assert [each.message for each in journal.messages(limit=9)] == [message(1)]


def test_a_message_may_be_promised_another_delivery(journal: Journal) -> None:
    accept_numbered(journal, 1)
    finish(journal, DELIVERED)
    journal.promise(mdn_delivery(message(1)))
    assert [each.id for each in journal.deliveries("0001")] == ["d0001", "m0001"]
    (claimed,) = journal.claim("a", 10.0, 15.0, 9)
    assert (claimed.delivery.id, claimed.about) == ("m0001", message(1))


def test_a_delivered_message_is_delivered_once_more_unless_it_is_already_to_be(journal: Journal) -> None:
    accept_numbered(journal, 1)
    finish(journal, DELIVERED)
    journal.repeat(delivery(message(1), id="e0001"))
    with pytest.raises(TransitionRefused, match="already to be delivered"):
        journal.repeat(delivery(message(1), id="f0001"))
    (listed,) = journal.messages(limit=9)
    assert (listed.state, [each.message.id for each in journal.messages(limit=9, state=PENDING)]) == (PENDING, ["0001"])
    assert journal.messages(limit=9, state=DELIVERED) == []
    finish(journal, DELIVERED)
    journal.repeat(delivery(message(1), id="f0001"))
    assert [each.id for each in journal.deliveries("0001")] == ["d0001", "e0001", "f0001"]


def test_a_message_without_contents_is_not_delivered_once_more(journal: Journal) -> None:
    accept_numbered(journal, 1)
    finish(journal, DELIVERED)
    journal.proof.prune(["0001"], Reason("root", "retention", 3000.0))
    with pytest.raises(TransitionRefused, match="only its record and MDN are stored"):
        journal.repeat(delivery(message(1), id="e0001"))
    assert [each.id for each in journal.deliveries("0001")] == ["d0001"]


def test_an_mdn_that_is_still_to_be_sent_is_promised_once_for_each_target(journal: Journal) -> None:
    new, again = message(1), replace(mdn_delivery(message(1)), id="again")
    accept(journal, new, [mdn_delivery(new)])
    journal.promise(again)  # pending
    journal.promise(replace(again, id="elsewhere", targets=("http://127.0.0.1:9001/other",), not_before=99.0))
    assert [each.id for each in journal.deliveries(new.id)] == ["elsewhere", "m0001"]
    (claimed,) = journal.claim("a", 10.0, 15.0, 1)
    journal.promise(again)  # under way
    assert len(journal.deliveries(new.id)) == 2
    journal.record(attempt(claimed), "a", state=DELIVERED, not_before=None, now=11.0)
    journal.promise(again)
    assert [each.id for each in journal.deliveries(new.id)] == ["again", "elsewhere", "m0001"]


def test_a_list_shows_the_state_of_the_delivery_to_the_backend(journal: Journal) -> None:
    new = message(1)
    accept(journal, new, [delivery(new, 50.0), mdn_delivery(new)])
    finish(journal, DELIVERED)
    assert [each.state for each in journal.messages(limit=9)] == [PENDING]
    assert journal.messages(limit=9, state=DELIVERED) == []


# --- Claims and leases --------------------------------------------------------------------------------------


def test_a_claim_takes_what_is_due_oldest_first(journal: Journal) -> None:
    for number, not_before in enumerate([30.0, 10.0, 20.0, 99.0]):
        accept_numbered(journal, number, not_before=not_before)
    claimed = journal.claim("a", 50.0, 15.0, 2)
    assert [each.delivery.not_before for each in claimed] == [10.0, 20.0]
    assert [each.about for each in claimed] == [message(1), message(2)]
    assert [each.delivery.not_before for each in journal.claim("a", 50.0, 15.0, 9)] == [30.0]


def test_a_claim_is_what_the_journal_then_says(journal: Journal) -> None:
    accept_numbered(journal, 1)
    (claimed,) = journal.claim("a", 10.0, 15.0, 1)
    assert claimed.delivery == only(journal)
    assert (claimed.delivery.state, claimed.delivery.attempts) == (CLAIMED, 1)
    assert (claimed.delivery.lease_owner, claimed.delivery.lease_until) == ("a", 25.0)


def test_no_two_threads_claim_the_same(journal: Journal) -> None:
    accept_numbered(journal, *range(24))
    start = Barrier(8)

    def claim(owner: int) -> list[str]:
        start.wait()
        return [each.delivery.id for each in journal.claim(f"o{owner}", 10.0, 15.0, 5)]

    with ThreadPoolExecutor(8) as threads:
        claimed = [each for some in threads.map(claim, range(8)) for each in some]
    assert sorted(claimed) == sorted(set(claimed))
    assert len(claimed) == 24


def test_a_lease_that_is_over_can_be_claimed_by_another(journal: Journal) -> None:
    accept_numbered(journal, 1)
    (first,) = journal.claim("a", 10.0, 15.0, 1)
    assert journal.claim("b", 24.9, 15.0, 1) == []
    (second,) = journal.claim("b", 25.0, 15.0, 1)
    assert second.delivery.attempts == 2
    with pytest.raises(LeaseLost):
        journal.renew("d0001", "a", 99.0)
    with pytest.raises(LeaseLost):
        journal.record(attempt(first), "a", state=DELIVERED, not_before=None, now=26.0)
    assert journal.attempts("d0001") == []


def test_an_older_claim_of_the_same_owner_is_lost_too(journal: Journal) -> None:
    accept_numbered(journal, 1)
    (first,) = journal.claim("a", 10.0, 15.0, 1)
    (second,) = journal.claim("a", 30.0, 15.0, 1)
    with pytest.raises(LeaseLost):
        journal.record(attempt(first), "a", state=FAILED, not_before=None, now=31.0)
    journal.record(attempt(second), "a", state=DELIVERED, not_before=None, now=31.0)


def test_a_renewed_lease_holds_longer(journal: Journal) -> None:
    accept_numbered(journal, 1)
    journal.claim("a", 10.0, 15.0, 1)
    journal.renew("d0001", "a", 100.0)
    assert journal.claim("b", 99.0, 15.0, 1) == []


def test_a_late_record_counts_where_nobody_took_the_delivery(journal: Journal) -> None:
    accept_numbered(journal, 1)
    (claimed,) = journal.claim("a", 10.0, 15.0, 1)
    journal.record(attempt(claimed), "a", state=DELIVERED, not_before=None, now=9000.0)
    assert only(journal).state is DELIVERED


@pytest.mark.parametrize("now", [-1e9, 0.0, 24.9], ids=["far back", "back", "just before"])
def test_a_clock_that_jumps_back_gives_no_lease_away(journal: Journal, now: float) -> None:
    accept_numbered(journal, 1, not_before=-2e9)
    journal.claim("a", 10.0, 15.0, 1)
    assert journal.claim("b", now, 15.0, 1) == []


@pytest.mark.parametrize("jump", [-1e9, -3600.0, -1.0, 0.0, 3600.0, 1e9])
def test_a_lease_that_is_over_is_due_and_can_be_claimed_whatever_the_clock_did(journal: Journal, jump: float) -> None:
    accept_numbered(journal, 1, not_before=1000.0)
    journal.claim("a", 1000.0, 15.0, 1)
    until = 1000.0 + jump + 15.0
    journal.renew("d0001", "a", until)
    assert journal.next_due(until - 1.0) == until
    assert journal.claim("b", until - 1.0, 15.0, 1) == []
    assert journal.next_due(until) == until
    assert len(journal.claim("b", until, 15.0, 1)) == 1


def test_an_owner_that_starts_again_takes_its_own_leases_back(journal: Journal) -> None:
    accept_numbered(journal, 1, 2)
    journal.claim("a", 10.0, 1e9, 1)
    journal.claim("b", 10.0, 1e9, 1)
    assert journal.take_back("a", -5.0) == 1  # a clock that jumped back delays nothing
    assert journal.take_back("a", -5.0) == 0
    (again,) = journal.claim("c", -5.0, 15.0, 9)
    assert again.delivery.id == "d0001"


@pytest.mark.parametrize("delivery_id", ["d0001", "unknown"])
def test_what_was_never_claimed_has_no_lease(journal: Journal, delivery_id: str) -> None:
    accept_numbered(journal, 1)
    with pytest.raises(LeaseLost):
        journal.renew(delivery_id, "a", 99.0)


# --- Outcomes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [DELIVERED, FAILED])
def test_an_end_is_recorded_once(journal: Journal, state: DeliveryState) -> None:
    accept_numbered(journal, 1)
    (claimed,) = journal.claim("a", 10.0, 15.0, 1)
    made = attempt(claimed, status=204, reason="why", detail="words")
    journal.record(made, "a", state=state, not_before=None, now=12.0)
    ended = only(journal)
    assert (ended.state, ended.finished_at, ended.last_reason) == (state, 12.0, "why")
    assert (ended.lease_owner, ended.lease_until) == (None, None)
    assert journal.attempts("d0001") == [made]
    assert journal.claim("a", 1e9, 15.0, 1) == []
    with pytest.raises(LeaseLost):
        journal.record(made, "a", state=state, not_before=None, now=13.0)


def test_a_retry_waits_for_its_time(journal: Journal) -> None:
    accept_numbered(journal, 1)
    finish(journal, PENDING, now=10.0)
    assert (only(journal).state, only(journal).not_before) == (PENDING, 70.0)
    assert journal.claim("a", 69.0, 15.0, 1) == []
    (again,) = journal.claim("a", 70.0, 15.0, 1)
    assert again.delivery.attempts == 2


def test_a_step_that_the_table_lacks_is_refused_and_writes_nothing(journal: Journal) -> None:
    accept_numbered(journal, 1)
    (claimed,) = journal.claim("a", 10.0, 15.0, 1)
    with pytest.raises(TransitionRefused):
        journal.record(attempt(claimed), "a", state=CLAIMED, not_before=None, now=11.0)
    assert journal.attempts("d0001") == []
    assert only(journal) == claimed.delivery


def test_an_operator_revives_a_failed_delivery(journal: Journal) -> None:
    accept_numbered(journal, 1)
    finish(journal, FAILED)
    journal.requeue("d0001", 50.0)
    revived = only(journal)
    assert (revived.state, revived.not_before, revived.finished_at) == (PENDING, 50.0, None)
    assert revived.last_reason == "so_failed"
    finish(journal, DELIVERED, now=51.0)
    assert [each.number for each in journal.attempts("d0001")] == [1, 2]


@pytest.mark.parametrize("state", [CLAIMED, DELIVERED, None])
def test_an_operator_revives_nothing_else(journal: Journal, state: DeliveryState | None) -> None:
    if state:
        accept_numbered(journal, 1)
    if state is CLAIMED:
        journal.claim("a", 10.0, 15.0, 1)
    if state is DELIVERED:
        finish(journal, DELIVERED)
    with pytest.raises(TransitionRefused):
        journal.requeue("d0001", 50.0)


# --- Looking ------------------------------------------------------------------------------------------------


def test_the_next_due_is_the_earliest_of_waits_and_leases(journal: Journal) -> None:
    assert journal.next_due(0.0) is None
    accept_numbered(journal, 1, not_before=30.0)
    assert journal.next_due(0.0) == 30.0
    assert journal.next_due(40.0) == 40.0
    journal.claim("a", 40.0, 15.0, 1)
    assert journal.next_due(40.0) == 55.0
    accept_numbered(journal, 2, not_before=50.0)
    assert journal.next_due(40.0) == 50.0
    finish(journal, DELIVERED, now=50.0)
    finish(journal, DELIVERED, now=55.0)
    assert journal.next_due(0.0) is None


def test_counts_has_every_state(journal: Journal) -> None:
    assert journal.counts() == dict.fromkeys(DeliveryState, 0)
    accept_numbered(journal, 1, 2, 3)
    finish(journal, DELIVERED)
    journal.claim("a", 10.0, 15.0, 1)
    assert journal.counts() == {PENDING: 1, CLAIMED: 1, DELIVERED: 1, FAILED: 0, DROPPED: 0}


def test_messages_are_listed_newest_first_and_page_by_page(journal: Journal) -> None:
    accept_numbered(journal, 1, 2, 3)
    first = journal.messages(limit=2)
    assert [each.message for each in first] == [message(3), message(2)]
    rest = journal.messages(limit=2, before=first[-1].message.id)
    assert [each.message for each in rest] == [message(1)]


def test_messages_are_listed_by_partner_and_by_state(journal: Journal) -> None:
    accept_numbered(journal, 1)
    finish(journal, FAILED)
    accept_numbered(journal, 2)
    other = message(3, partner="other")
    accept(journal, other, [delivery(other)])
    bare = message(4, partner="other")
    accept(journal, bare, [])

    def listed(partner: str | None = None, state: DeliveryState | None = None) -> list[str]:
        return [each.message.id for each in journal.messages(limit=9, partner=partner, state=state)]

    assert listed() == ["0004", "0003", "0002", "0001"]
    assert listed(partner="acme") == ["0002", "0001"]
    assert listed(state=PENDING) == ["0003", "0002"]
    assert listed(partner="acme", state=PENDING) == ["0002"]
    assert listed(partner="nobody") == []
    states = [each.state for each in journal.messages(limit=9)]
    assert states == [None, PENDING, PENDING, FAILED]


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({}, ["0006", "0005", "0004", "0003", "0002", "0001"]),
        ({"since": 1003.0}, ["0006", "0005", "0004", "0003"]),
        ({"until": 1003.0}, ["0002", "0001"]),
        ({"since": 1002.0, "until": 1004.0}, ["0003", "0002"]),
        ({"after": "0003"}, ["0006", "0005", "0004"]),
        ({"after": "0001", "before": "0004"}, ["0003", "0002"]),
        ({"reason": "so_failed"}, ["0002", "0001"]),
        ({"reason": "so_failed", "limit": 1}, ["0002"]),
        ({"reason": "so_failed", "partner": "other"}, []),
        ({"reason": "so_failed", "state": FAILED}, ["0002", "0001"]),
        ({"reason": "so_failed", "state": PENDING}, []),
        ({"reason": "so_failed", "since": 1002.0, "after": "0001"}, ["0002"]),
        ({"reason": "so_pending"}, ["0003"]),
        ({"reason": "unheard_of"}, []),
        ({"state": FAILED, "until": 1002.0}, ["0001"]),
        ({"state": FAILED, "after": "0001"}, ["0002"]),
        ({"partner": "other", "since": 1005.0}, ["0005"]),
        ({"partner": "acme", "state": FAILED}, ["0002", "0001"]),
        ({"partner": "acme", "state": DELIVERED}, ["0006"]),
        ({"partner": "other", "state": DELIVERED}, []),
        ({"partner": "acme", "until": 1002.0}, ["0001"]),
    ],
)
def test_messages_are_listed_by_time_and_by_reason(journal: Journal, filters: dict[str, Any], found: list[str]) -> None:
    for number, state in enumerate([FAILED, FAILED, PENDING], 1):
        accept_numbered(journal, number)
        finish(journal, state)
    for number in (4, 5):
        accept(journal, message(number, partner="other"), [])
    accept_numbered(journal, 6)
    finish(journal, DELIVERED)
    assert [each.message.id for each in journal.messages(**{"limit": 9, **filters})] == found


def test_a_message_whose_deliveries_fail_alike_is_listed_once(journal: Journal) -> None:
    new = message(1)
    accept(journal, new, [delivery(new), mdn_delivery(new)])
    for now in (10.0, 11.0):
        finish(journal, FAILED, now)
    assert [each.message for each in journal.messages(limit=9, reason="so_failed")] == [new]


TEXTS = {  # of messages, by number: file name and subject
    1: ("Order-1.EDI", "first"),
    2: ("order-2.edi", "second %"),
    3: ("ORDER_3.txt", "ÄÖ third"),
    4: (None, None),
    5: ("x" * 3000, "y" * 3000),
}


@pytest.mark.parametrize("few", [1000, 1])  # by the index, and by reading the newest
@pytest.mark.parametrize(
    ("search", "found"),
    [
        (Search("order"), [3, 2, 1]),
        (Search("ORDER-"), [2, 1]),
        (Search("fir"), [1]),
        (Search("ÄÖ T"), [3]),
        (Search("<4@ACME"), [4]),
        (Search("4@acme"), [4]),
        (Search("rder"), []),
        (Search("rder", anywhere=True), [3, 2, 1]),
        (Search("%", anywhere=True), [2]),
        (Search(filename="order-?.edi"), [2, 1]),
        (Search(filename="order_*"), [3]),
        (Search(filename="*.txt"), [3]),
        (Search(filename="order-2"), []),
        (Search(filename="ORDER-1.edi", is_glob=False), [1]),
        (Search(filename="order-?.edi", is_glob=False), []),
        (Search("second", "order*"), [2]),
        (Search("x" * 150), [5]),
        (Search("Y" * 2999 + "y"), [5]),
        (Search("x" * 3001), []),
    ],
)
def test_messages_are_found_by_their_texts(
    journal: Journal, monkeypatch: pytest.MonkeyPatch, few: int, search: Search, found: list[int]
) -> None:
    monkeypatch.setattr("mtlsd.journal.sql.journal.FEW", few)
    for number, (filename, subject) in TEXTS.items():
        accept(journal, message(number, filename=filename, subject=subject), [])
    assert [int(each.message.id) for each in journal.messages(limit=9, search=search)] == found
    older = journal.messages(limit=1, search=search, before="0003")
    assert [int(each.message.id) for each in older] == [number for number in found if number < 3][:1]


@pytest.mark.parametrize("search", [Search("<2@ACME"), Search("2@acme"), Search("2@", anywhere=True)])
def test_refusals_are_found_by_their_message_id(journal: Journal, search: Search) -> None:
    journal.accept([], [refusal(1), refusal(2)])
    assert [each.id for each in journal.refusals(limit=9, search=search)] == ["r0002"]


def test_a_list_has_the_reason_of_the_last_failure(journal: Journal) -> None:
    for number, state in enumerate([FAILED, PENDING, DELIVERED], 1):
        accept_numbered(journal, number)
        finish(journal, state)
    reasons = ["so_failed", "so_pending", "so_delivered"]
    assert [each.reason for each in journal.messages(limit=9)][::-1] == reasons
    assert [each.reason for each in journal.messages(limit=9, search=Search("order"))][::-1] == reasons
    assert [each.reason for each in journal.messages(limit=9, state=FAILED)] == ["so_failed"]


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({}, ["r0003", "r0002", "r0001"]),
        ({"limit": 2}, ["r0003", "r0002"]),
        ({"before": "r0002"}, ["r0001"]),
        ({"after": "r0002"}, ["r0003"]),
        ({"since": 1002.0, "until": 1003.0}, ["r0002"]),
        ({"partner": "other"}, ["r0003"]),
        ({"reason": "as2_signature_bad"}, ["r0003", "r0001"]),
        ({"reason": "as2_signature_bad", "partner": "acme"}, ["r0001"]),
    ],
)
def test_refusals_are_listed_newest_first(journal: Journal, filters: dict[str, Any], found: list[str]) -> None:
    for refused in (refusal(1), refusal(2, reason="as2_decrypt_failed"), refusal(3, partner="other")):
        journal.promise(mdn_delivery(refused), refused)
    assert [each.id for each in journal.refusals(**{"limit": 9, **filters})] == found


def test_the_backlog_is_what_is_not_delivered_by_kind_and_state(journal: Journal) -> None:
    assert journal.backlog() == []
    accept_numbered(journal, 1)
    finish(journal, DELIVERED)
    accept_numbered(journal, 2)
    finish(journal, FAILED)
    accept_numbered(journal, 3, 4, not_before=50.0)
    refused = refusal(5)
    journal.promise(mdn_delivery(refused), refused)
    journal.claim("a", 20.0, 15.0, 1)
    assert sorted(journal.backlog(), key=lambda each: each.oldest) == [
        Backlog(DeliveryKind.MDN, CLAIMED, 1, 1000.0),
        Backlog(DeliveryKind.BACKEND, FAILED, 1, 1002.0),
        Backlog(DeliveryKind.BACKEND, PENDING, 2, 1003.0),
    ]


def test_a_probe_writes_and_changes_nothing(journal: Journal, open_journal: Callable[[], Journal]) -> None:
    accept_numbered(journal, 1)
    journal.probe()
    journal.probe()
    assert [each.message for each in journal.messages(limit=9)] == [message(1)]
    assert [each.message for each in open_journal().messages(limit=9)] == [message(1)]


@pytest.mark.parametrize("count", [0, 1, 3])
def test_every_spool_name_is_named(journal: Journal, count: int) -> None:
    for number in range(count):
        names = {name: f"{name}{number}" for name in ("payload", "original", "signed", "signature")}
        accept(journal, message(number, **names), [])
    kinds = ("payload", "original", "signed", "signature")
    assert sorted(journal.spool_names()) == sorted(f"{kind}{number}" for kind in kinds for number in range(count))


# --- Lanes --------------------------------------------------------------------------------------------------


def accept_in(journal: Journal, lane: Lane, *numbers: int, **changes: Any) -> None:
    for number in numbers:
        new = message(number)
        accept(journal, new, [delivery(new, lane=lane, **changes)])


def claimed(journal: Journal, limit: int = 10, now: float = 10.0, **room: int) -> list[str]:
    """The messages whose deliveries are claimed, by number; a lane's name has no blanks here, so it is a keyword."""
    found = journal.claim("a", now, 15.0, limit, {Lane(name): most for name, most in room.items()})
    return [each.delivery.id.removeprefix("d").lstrip("0") for each in found]


def test_a_lane_without_room_keeps_nobody_else_back(journal: Journal) -> None:
    accept_in(journal, Lane("silent"), *range(1, 9))
    accept_in(journal, Lane("other"), 9)
    assert claimed(journal, 4, silent=0) == ["9"]
    assert claimed(journal, 4, silent=2) == ["1", "2"]
    assert claimed(journal, 4) == ["3", "4", "5", "6"]


def test_what_is_due_in_a_lane_without_room_is_not_due(journal: Journal) -> None:
    accept_in(journal, Lane("silent"), 1)
    accept_in(journal, Lane("later"), 2, not_before=50.0)
    assert journal.next_due(10.0) == 10.0
    assert journal.next_due(10.0, {Lane("silent"): 0}) == 50.0
    assert journal.next_due(10.0, {Lane("silent"): 0, Lane("later"): 0}) is None


def test_of_all_lanes_the_oldest_is_first(journal: Journal) -> None:
    for number, lane in enumerate(("b", "a", "b", "a"), 1):
        accept_in(journal, Lane(lane), number, not_before=float(number))
    assert claimed(journal, 3) == ["1", "2", "3"]


LINE = Lane("acme", ordered=True)


def test_in_an_ordered_lane_each_waits_for_the_one_before_it(journal: Journal) -> None:
    accept_in(journal, LINE, 1, 2, 3)
    assert claimed(journal) == ["1"]
    assert claimed(journal) == []
    assert journal.next_due(10.0) == 25.0  # when the lease is over
    journal.record(
        Attempt(delivery_id="d0001", number=1, started_at=10.0, finished_at=11.0),
        "a",
        state=DELIVERED,
        not_before=None,
        now=11.0,
    )
    assert journal.next_due(11.0) == 11.0
    assert claimed(journal, now=11.0) == ["2"]


def test_in_an_ordered_lane_nobody_overtakes_one_that_is_tried_again(journal: Journal) -> None:
    accept_in(journal, LINE, 1, 2)
    finish(journal, PENDING)
    assert claimed(journal, now=20.0) == []
    assert journal.next_due(20.0) == 70.0
    assert claimed(journal, now=70.0) == ["1"]


@pytest.mark.parametrize("step", ["requeue", "drop"])
def test_in_an_ordered_lane_a_failure_waits_for_an_operator(journal: Journal, step: str) -> None:
    accept_in(journal, LINE, 1, 2)
    finish(journal, FAILED)
    assert (claimed(journal, now=1e9), journal.next_due(1e9)) == ([], None)
    getattr(journal, step)("d0001", 20.0)
    assert claimed(journal, now=20.0) == (["1"] if step == "requeue" else ["2"])


def test_ordered_lanes_do_not_wait_for_each_other(journal: Journal) -> None:
    accept_in(journal, LINE, 1, 2)
    accept_in(journal, Lane("globex", ordered=True), 3)
    assert claimed(journal) == ["1", "3"]


# --- Operators ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [PENDING, FAILED])
def test_what_is_dropped_is_never_claimed(journal: Journal, state: DeliveryState) -> None:
    accept_numbered(journal, 1)
    finish(journal, state)
    journal.drop("d0001", 20.0)
    assert (only(journal).state, only(journal).finished_at) == (DROPPED, 20.0)
    assert claimed(journal, now=1e9) == []
    with pytest.raises(TransitionRefused):
        journal.requeue("d0001", 30.0)


def test_what_is_delivered_or_under_way_cannot_be_dropped(journal: Journal) -> None:
    accept_numbered(journal, 1)
    assert claimed(journal) == ["1"]
    with pytest.raises(TransitionRefused):
        journal.drop("d0001", 20.0)
    with pytest.raises(TransitionRefused):
        journal.drop("nobody", 20.0)


def test_the_target_that_may_have_taken_it_is_remembered(journal: Journal) -> None:
    accept_numbered(journal, 1)
    for not_before, pinned in ((20.0, "http://a/"), (30.0, None)):
        (found,) = journal.claim("a", not_before - 10, 5.0, 1)
        journal.record(
            attempt(found, target="http://a/"), "a", state=PENDING, not_before=not_before, now=11.0, pinned=pinned
        )
    assert only(journal).pinned == "http://a/"
    assert [each.target for each in journal.attempts("d0001")] == ["http://a/"] * 2


@pytest.mark.parametrize("unpin", [False, True])
def test_what_waits_is_made_due_by_an_operator(journal: Journal, unpin: bool) -> None:
    accept_numbered(journal, 1)
    (found,) = journal.claim("a", 10.0, 5.0, 1)
    journal.record(attempt(found), "a", state=PENDING, not_before=900.0, now=11.0, pinned="http://a/")
    journal.requeue("d0001", 20.0, unpin=unpin)
    assert only(journal).pinned == (None if unpin else "http://a/")
    assert claimed(journal, now=20.0) == ["1"]


def test_the_one_that_is_ahead_in_an_ordered_lane_is_known(journal: Journal) -> None:
    accept_in(journal, LINE, 1, 2)
    accept_in(journal, Lane("any"), 3, 4)
    ahead = {number: journal.ahead(journal.deliveries(f"{number:04}")[0]) for number in (1, 2, 4)}
    assert {number: each and each.id for number, each in ahead.items()} == {1: None, 2: "d0001", 4: None}


@pytest.mark.parametrize("unpin", [False, True])
def test_only_an_operator_takes_the_pin_away(journal: Journal, unpin: bool) -> None:
    accept_numbered(journal, 1)
    (found,) = journal.claim("a", 10.0, 5.0, 1)
    journal.record(attempt(found), "a", state=FAILED, not_before=None, now=11.0, pinned="http://a/")
    journal.requeue("d0001", 20.0, unpin=unpin)
    assert only(journal).pinned == (None if unpin else "http://a/")


def test_nothing_waits_beyond_what_it_is_hastened_to(journal: Journal) -> None:
    for number, not_before in enumerate((10.0, 50.0, 900.0), 1):
        accept(journal, each := message(number), [delivery(each, not_before)])
    (held,) = journal.claim("a", 10.0, 15.0, 1)
    assert journal.hasten(60.0) == 1
    assert journal.hasten(60.0) == 0
    assert [each.delivery.id for each in journal.claim("a", 60.0, 15.0, 9)] == ["d0001", "d0002", "d0003"]
    assert held.delivery.id == "d0001"
    assert [journal.deliveries(f"000{number}")[0].not_before for number in (1, 2, 3)] == [10.0, 50.0, 60.0]


# --- Notices of expiry ----------------------------------------------------------------------------------------------

GIVEN, OURS, THEIRS = NoticeStanding.GIVEN, NoticeStanding.OURS, NoticeStanding.THEIRS


@pytest.fixture
def nodes(open_journal: OpenJournal) -> tuple[Journal, Journal]:
    """Two nodes that share a journal."""
    one, two = open_journal(), open_journal()
    one.proof.node, two.proof.node = "one", "two"
    return one, two


def test_a_notice_is_claimed_by_one_node_and_given_once(nodes: tuple[Journal, Journal]) -> None:
    one, two = nodes
    assert [each.claim_notice("ab", 30, 100.0) for each in (one, two, one)] == [OURS, THEIRS, OURS]
    one.give_notices([("ab", 30)], 103.0)
    assert [each.claim_notice("ab", 30, 104.0) for each in (one, two)] == [GIVEN, GIVEN]


def test_a_claim_of_a_notice_that_nothing_follows_expires(nodes: tuple[Journal, Journal]) -> None:
    one, two = nodes
    assert one.claim_notice("ab", 30, 100.0) is OURS
    assert one.claim_notice("ab", 30, 98.0 + CLAIM_SECONDS) is OURS, "asking again extends nothing"
    assert two.claim_notice("ab", 30, 99.0 + CLAIM_SECONDS) is THEIRS
    assert two.claim_notice("ab", 30, 100.0 + CLAIM_SECONDS) is OURS


def test_a_claim_takes_away_nothing_that_was_given_meanwhile(nodes: tuple[Journal, Journal]) -> None:
    one, two = nodes
    assert one.claim_notice("ab", 30, 100.0) is OURS
    late = 200.0 + CLAIM_SECONDS
    one.give_notices([("ab", 30)], late)
    assert [each.claim_notice("ab", 30, late) for each in (one, two)] == [GIVEN, GIVEN]


@pytest.mark.parametrize(("days", "standing"), [(30, GIVEN), (14, GIVEN), (7, OURS)])
def test_a_notice_covers_those_for_more_days(journal: Journal, days: int, standing: NoticeStanding) -> None:
    assert journal.claim_notice("ab", 14, 100.0) is OURS
    journal.give_notices([("ab", 14)], 100.0)
    assert journal.claim_notice("ab", days, 101.0) is standing
    assert journal.claim_notice("cd", days, 101.0) is OURS


def test_what_a_wrong_clock_wrote_of_a_notice_does_not_count(nodes: tuple[Journal, Journal]) -> None:
    one, two = nodes
    ahead = 100.0 + WRONG_CLOCK_SECONDS
    assert one.claim_notice("ab", 30, ahead + 1) is OURS
    assert two.claim_notice("ab", 30, 100.0) is OURS
    two.give_notices([("ab", 30)], ahead + 1)
    assert two.claim_notice("ab", 30, 100.0) is OURS
    two.give_notices([("ab", 30)], 100.0)
    assert two.claim_notice("ab", 30, 101.0) is GIVEN
