"""The chain beside any journal: what is entered, what may go, and what is found when rows do not fit."""

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtlsd.journal.documents import Document, keep
from mtlsd.journal.model import Acceptance, Attempt, DeliveriesOpen, DeliveryState, Evidence, Message, Reason
from mtlsd.journal.proof.chain import Head, Note, follow
from mtlsd.journal.proof.digests import record_of
from mtlsd.journal.proof.entries import accepted, differences, outcome
from mtlsd.journal.proof.verify import chain_entries, verify
from mtlsd.journal.retention import RetentionPolicy, prune, would_prune
from mtlsd.journal.spool import Spool
from mtlsd.journal.sql.journal import Journal
from tests.support.examples import CERTIFICATES, FULL, MDN, accept, attempt, delivery, mdn_delivery, message, refusal

REASON = Reason("tester", "because", 5000.0)
DELIVERED, FAILED, PENDING = DeliveryState.DELIVERED, DeliveryState.FAILED, DeliveryState.PENDING


def kinds(journal: Journal) -> list[str]:
    return [each.kind for each in chain_entries(journal, journal.proof.node)]


def finish(journal: Journal, state: DeliveryState = DELIVERED) -> None:
    (claimed,) = journal.claim("a", 2000.0, 15.0, 1)
    not_before = 2060.0 if state is PENDING else None
    journal.record(attempt(claimed, status=200), "a", state=state, not_before=not_before, now=2001.0)


def whole(journal: Journal, directory: Path, spool: Spool | None = None) -> bool:
    found = verify(journal, spool, directory)
    return found.broken is None


def stored(journal: Journal, spool: Spool, number: int, size: int = 100, **changes: Any) -> Message:
    """A message whose documents are really there; delivered."""
    documents = {suffix: Document(spool) for suffix in ("as2", "payload")}
    for document in documents.values():
        document.write(bytes(size))
    kept = keep(spool, f"{number:04}", documents)
    new = message(
        number,
        payload=kept.names["payload"],
        original=kept.names["as2"],
        signed=None,
        signature=None,
        contents=2 * size,
        digests=tuple(kept.digests.items()),
        **changes,
    )
    accept(journal, new, [delivery(new)], kept.inline)
    finish(journal)
    return new


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool")


# --- Entering -------------------------------------------------------------------------------------------------


def test_everything_that_is_done_is_entered(journal: Journal, tmp_path: Path) -> None:
    new, refused = message(1), refusal(2)
    accept(journal, new, [delivery(new)])
    finish(journal, PENDING)
    finish_later = journal.claim("a", 3000.0, 15.0, 1)[0]
    journal.record(attempt(finish_later), "a", state=FAILED, not_before=None, now=3001.0)
    journal.requeue(finish_later.delivery.id, 3002.0)
    journal.promise(mdn_delivery(refused), refused)
    journal.promise(mdn_delivery(new))
    journal.proof.enter([Note("configuration", "v1", 1.0)])
    assert kinds(journal) == ["accepted", "failed", "replayed", "refused", "promised", "configuration"]
    assert whole(journal, tmp_path)


def test_a_group_of_acceptances_is_one_chain(journal: Journal, tmp_path: Path) -> None:
    made = delivery(message(3), state=DELIVERED, attempts=1, finished_at=5.0)
    tried = Attempt(delivery_id=made.id, number=1, started_at=4.0, finished_at=5.0, status=200)
    again = message(4, message_id=message(1).message_id)
    plain = [Acceptance(each, (delivery(each),), certificates=CERTIFICATES) for each in (message(1), message(2), again)]
    journal.accept([*plain, Acceptance(message(3), (made,), {}, (tried,))])
    subjects = [(each.kind, each.subject) for each in chain_entries(journal, journal.proof.node)]
    assert subjects == [("accepted", "0001"), ("accepted", "0002"), ("accepted", "0003"), ("delivered", "0003")]
    assert whole(journal, tmp_path)


def test_a_late_mdn_is_entered_once(journal: Journal, tmp_path: Path) -> None:
    new = message(1, mdn=None)
    accept(journal, new, [])
    answered = journal.answer(new, MDN, 5.0)
    assert journal.answer(new, replace(MDN, body=b"other"), 6.0) == answered
    journal.promise(mdn_delivery(new))
    assert [b'"mdn":' in each.line for each in chain_entries(journal, journal.proof.node)] == [False, True, False]
    assert whole(journal, tmp_path)


def test_what_is_not_written_is_not_entered(journal: Journal) -> None:
    with pytest.raises(Exception):  # noqa: B017, PT011 - each database has its own
        accept(journal, message(1), [delivery(message(2))])
    assert journal.proof.head(journal.proof.node) == Head()


def test_the_chain_goes_on_after_a_crash(open_journal: Callable[[], Journal], tmp_path: Path) -> None:
    for number in (1, 2, 3):
        accept(open_journal(), message(number), [])  # and nobody closes it
    journal = open_journal()
    assert journal.proof.head(journal.proof.node).number == 3
    assert journal.proof.nodes() == [journal.proof.node]
    assert whole(journal, tmp_path)


def test_the_certificate_of_a_signer_is_kept_once(journal: Journal) -> None:
    for number in (1, 2):
        journal.accept([Acceptance(message(number), (), certificates={"ab": b"der"})])
    assert journal.proof.certificate("ab") == b"der"
    assert journal.proof.certificate("cd") is None


# --- What does not fit ------------------------------------------------------------------------------------------


def evidence(of: Message) -> Evidence:
    acceptance = Acceptance(of, (delivery(of),))
    entries = tuple(follow(Head(), "n", accepted(acceptance)))
    return Evidence(entries, of, acceptance.deliveries)


@pytest.mark.parametrize("name", [each.name for each in fields(Message) if each.name != "id"])
def test_any_column_of_a_message_that_was_altered_is_found(name: str) -> None:
    kept = replace(FULL, client_certificates=(b"leaf", b"issuer"))
    honest = evidence(kept)
    assert list(differences(honest)) == []
    value = getattr(kept, name)
    other: Any = {str: "other", float: 1.25, int: 7, bool: False, tuple: ()}.get(type(value), replace(MDN, body=b""))
    assert list(differences(replace(honest, about=replace(kept, **{name: other}))))


TRIED = Attempt(
    delivery_id="d0001", number=1, started_at=1.0, finished_at=2.0, status=200, detail="sent", target="http://a/"
)


def delivered(*before: Attempt) -> Evidence:
    """A delivery that succeeded after these attempts."""
    last = replace(TRIED, number=len(before) + 1)
    ended = delivery(FULL, state=DELIVERED, attempts=last.number, finished_at=9.0)
    notes = [*accepted(Acceptance(FULL, (delivery(FULL),)))]
    notes.append(outcome(FULL.id, FULL.salt, last, DELIVERED, 9.0, [*before, last]))
    return Evidence(tuple(follow(Head(), "n", notes)), FULL, (ended,), (*before, last))


@pytest.mark.parametrize("at", [0, 1])
@pytest.mark.parametrize("name", [each.name for each in fields(Attempt) if each.name != "delivery_id"])
def test_any_column_of_an_attempt_that_was_altered_is_found(name: str, at: int) -> None:
    honest = delivered(TRIED)
    assert list(differences(honest)) == []
    value = 77 if name in ("number", "status") else 7.5 if name.endswith("_at") else "other"
    changed: dict[str, Any] = {name: value}
    attempts = [replace(each, **changed) if number == at else each for number, each in enumerate(honest.attempts)]
    assert list(differences(replace(honest, attempts=tuple(attempts))))


def test_an_attempt_that_was_inserted_or_removed_is_found() -> None:
    honest = delivered(replace(TRIED, number=1), replace(TRIED, number=2))
    one, two, three = honest.attempts
    for attempts in ((one, three), (two, three), (one, two, three, replace(three, number=4))):
        assert list(differences(replace(honest, attempts=attempts))), attempts


@pytest.mark.parametrize("changes", [{"finished_at": 8.0}, {"last_reason": "upstream_5xx"}, {"state": FAILED}])
def test_an_end_of_a_delivery_that_was_altered_is_found(changes: dict[str, Any]) -> None:
    honest = delivered()
    altered = tuple(replace(each, **changes) for each in honest.deliveries)
    assert list(differences(replace(honest, deliveries=altered)))


def test_attempts_are_vouched_for_in_every_journal(journal: Journal, tmp_path: Path) -> None:
    for number, state in ((1, DELIVERED), (2, FAILED), (3, PENDING)):
        accept(journal, message(number), [delivery(message(number))])
        finish(journal, PENDING)
        (claimed,) = journal.claim("a", 3000.0, 15.0, 1)
        tried = attempt(claimed, status=500, reason="upstream_5xx", detail="nul \0 \N{SNOWMAN}", target="http://b/")
        journal.record(tried, "a", state=state, not_before=9e9 if state is PENDING else None, now=3001.0)
    journal.requeue("d0002", 1500.0)
    journal.drop("d0003", 3003.0)
    refused = refusal(4)
    journal.promise(mdn_delivery(refused), refused)
    for _ in range(2):
        finish(journal)
    found = verify(journal, None, tmp_path)
    assert found.broken is None
    assert {(deed.kind, count) for deed, count in found.deeds.items()} == {("replayed", 1), ("dropped", 1)}


def test_a_certificate_that_is_gone_or_another_is_named(journal: Journal, tmp_path: Path) -> None:
    journal.accept([Acceptance(message(1), ())])
    found = verify(journal, None, tmp_path)
    assert found.broken
    assert "has lost the certificate of its signer" in found.broken.what
    journal.accept([Acceptance(message(2), (), certificates={str(FULL.signer_sha256): b"another"})])
    found = verify(journal, None, tmp_path)
    assert found.broken
    assert (found.broken.subject, "was replaced" in found.broken.what) == (FULL.signer_sha256, True)


@given(st.text(), st.text())
def test_no_two_records_are_one(one: str, other: str) -> None:
    records = {record_of(message(subject=subject, filename=name)) for subject, name in ((one, other), (other, one))}
    assert len(records) == (1 if one == other else 2)


@given(
    st.text(max_size=40) | st.sampled_from(["[]", '{"deliveries":[]}', '{"record":{}}', "[" * 2000, '{"contents":[]}'])
)
def test_facts_that_we_did_not_write_are_a_doubt_and_no_crash(facts: str) -> None:
    honest = evidence(FULL)
    forged = (replace(honest.entries[0], facts=facts),)
    assert list(differences(replace(honest, entries=forged)))


# --- Retention --------------------------------------------------------------------------------------------------


def test_what_is_too_old_goes_and_the_rest_stays(journal: Journal, spool: Spool, tmp_path: Path) -> None:
    for number, size in enumerate((100, 70_000, 100), 1):
        stored(journal, spool, number, size, received_at=1000.0 + number * 86400)
    policies = {"acme": RetentionPolicy(days=1)}
    now = 1000.0 + 3.5 * 86400
    assert [each.messages for each in would_prune(journal, policies.__getitem__, now)] == [2]
    went = list(prune(journal, spool, policies.__getitem__, "tester", now))
    assert [(each.partner, each.messages, each.octets) for each in went] == [("acme", 2, 140_200)]
    assert journal.proof.stored() == {"acme": 200}
    assert not any(spool.kept())
    assert whole(journal, tmp_path, spool)
    assert kinds(journal)[-2:] == ["pruned", "pruned"]
    assert journal.message("0001") == replace(journal.message("0001") or FULL, contents=0)  # the row is here


def test_what_is_too_much_goes_the_oldest_first(journal: Journal, spool: Spool) -> None:
    for number in range(1, 6):
        stored(journal, spool, number)
    list(prune(journal, spool, lambda _: RetentionPolicy(max_bytes=450), "tester", 9e9))
    assert [each.message.contents for each in journal.messages(limit=9)] == [200, 200, 0, 0, 0]


def test_a_refusal_that_is_too_old_goes_as_a_whole(journal: Journal, spool: Spool, tmp_path: Path) -> None:
    old, open_, sent, new = (refusal(number, refused_at=at) for number, at in enumerate((1.0, 2.0, 3.0, 200_000.0), 1))
    journal.accept([], [old, new])
    journal.promise(mdn_delivery(sent), sent)
    finish(journal)
    journal.promise(mdn_delivery(open_), open_)
    policies = {"acme": RetentionPolicy(days=1)}
    assert [each.refusals for each in would_prune(journal, policies.__getitem__, 200_000.0)] == [2]
    went = list(prune(journal, spool, policies.__getitem__, "tester", 200_000.0))
    assert [(each.partner, each.messages, each.octets, each.refusals) for each in went] == [("acme", 0, 0, 2)]
    assert [each.id for each in journal.refusals(limit=9)] == [new.id, open_.id]
    assert journal.deliveries(sent.id) == []
    assert journal.proof.forget([open_.id, old.id], REASON) == 0
    assert whole(journal, tmp_path)
    assert kinds(journal)[-2:] == ["erased", "erased"]


def test_without_a_policy_no_refusal_goes(journal: Journal, spool: Spool) -> None:
    journal.accept([], [refusal(1)])
    policies = {"acme": RetentionPolicy(max_bytes=1)}
    assert list(prune(journal, spool, policies.__getitem__, "tester", 9e9)) == []
    assert len(journal.refusals(limit=9)) == 1


def test_a_refusal_without_an_mdn_is_in_the_chain(journal: Journal, tmp_path: Path) -> None:
    journal.accept([], [refusal(1, mdn=None), refusal(2)])
    assert kinds(journal) == ["refused", "refused"]
    assert ["mdn" in each.facts for each in chain_entries(journal, journal.proof.node)] == [False, True]
    assert whole(journal, tmp_path)


def test_without_a_policy_nothing_goes(journal: Journal, spool: Spool) -> None:
    stored(journal, spool, 1)
    assert list(prune(journal, spool, lambda _: RetentionPolicy(), "tester", 9e9)) == []


@pytest.mark.parametrize("state", [PENDING, FAILED])
def test_what_is_not_delivered_never_goes(journal: Journal, spool: Spool, state: DeliveryState) -> None:
    new = message(1)
    accept(journal, new, [delivery(new)])
    finish(journal, state)
    assert list(prune(journal, spool, lambda _: RetentionPolicy(1, 1), "tester", 9e9)) == []
    assert journal.proof.prune([new.id], REASON) == []


def test_a_message_whose_contents_are_gone_is_still_known(journal: Journal, spool: Spool) -> None:
    first = stored(journal, spool, 1)
    journal.proof.prune([first.id], REASON)
    holder = accept(journal, message(2, message_id=first.message_id), [])
    assert (holder.id, holder.mdn) == (first.id, first.mdn)
    assert list(journal.spool_names()) == []


# --- Erasing ----------------------------------------------------------------------------------------------------


def test_what_is_erased_leaves_its_entries(journal: Journal, spool: Spool, tmp_path: Path) -> None:
    for number in (1, 2):
        stored(journal, spool, number)
    stored(journal, spool, 3, partner="globex")
    refused = refusal(4)
    journal.promise(mdn_delivery(refused), refused)
    finish(journal)
    assert journal.refusals(limit=9, partner="acme") == [refused]
    counts = [journal.proof.erase("acme", REASON, 2)[0] for _ in range(3)]
    assert sum(counts) == 3
    assert counts[-1] == 0
    assert [each.message.id for each in journal.messages(limit=9)] == ["0003"]
    assert journal.refusal(refused.id) is None
    assert kinds(journal)[-3:] == ["erased"] * 3
    assert whole(journal, tmp_path, spool)


def test_what_is_open_is_not_erased(journal: Journal) -> None:
    accept(journal, message(1), [delivery(message(1))])
    with pytest.raises(DeliveriesOpen):
        journal.proof.erase("acme", REASON, 9, undelivered=True)
    finish(journal, FAILED)
    with pytest.raises(DeliveriesOpen, match=r"^1 deliveries of acme"):
        journal.proof.erase("acme", REASON, 9)
    assert journal.proof.erase("acme", REASON, 9, undelivered=True)[0] == 1


def test_nothing_of_a_partner_can_be_read_off_the_chain(journal: Journal) -> None:
    new = message(1)
    accept(journal, new, [delivery(new)])
    refused = refusal(2)
    journal.promise(mdn_delivery(refused), refused)
    chain = b"".join(each.line for each in chain_entries(journal, journal.proof.node))
    words = (new.as2_from, new.message_id, new.partner, new.salt, refused.salt, "http", new.mic or "")
    assert [word for word in words if word.encode() in chain] == []
