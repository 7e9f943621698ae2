"""What is digested and stored is a format: the same values give the same bytes in every version.

The digests here were taken from the code that wrote the first format. If one of them no longer fits, `mtlsd journal
verify` would call every older record altered: fix the code, and never the digest.
"""

from dataclasses import dataclass, fields, replace
from hashlib import sha256
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mtlsd.journal.model import Acceptance, Attempt, Delivery, DeliveryKind, DeliveryState, Lane, Message, Refusal
from mtlsd.journal.proof import checkpoints
from mtlsd.journal.proof.chain import Checkpoint, EntryKind, Head, Note, follow
from mtlsd.journal.proof.checkpoints import SignedCheckpoint
from mtlsd.journal.proof.digests import commitment, delivery_text, mdn_octets, record_of
from mtlsd.journal.proof.entries import accepted, answered, dropped, outcome, promised, refused, replayed
from mtlsd.partners.rollover import Use
from mtlsd.relay.request import idempotency_key
from tests.support import pki
from tests.support.examples import BARE, FULL, MDN, delivery, mdn_delivery, refusal

SEVERAL = delivery(
    FULL,
    kind=DeliveryKind.MESSAGE,
    targets=("http://a.example/1", "http://b.example/2"),
    lane=Lane("acme", ordered=True),
)
REFUSED = refusal(1)
TRIED = Attempt(
    delivery_id=SEVERAL.id,
    number=1,
    started_at=1001.25,
    finished_at=1002.1,
    status=503,
    reason="upstream_5xx",
    detail='a "word" – \\',
    target="http://a.example/1",
)
AGAIN = Attempt(delivery_id=SEVERAL.id, number=2, started_at=1003.0, finished_at=1004.0)
WITH_CERTIFICATE = replace(FULL, client_certificates=(b"\1\2", b"\3\4", b"\5\6"))
MADE = (AGAIN, TRIED)  # in whatever order
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32))).public_key()
CERTIFICATE = replace(pki.issue("ACME", key=pki.ec_key("ACME")).certificate, sha256="ab" * 32)
CHECKPOINT = Checkpoint("0123abcd", 7, "ab" * 32, 1000.5, 3)
DELIVERED, FAILED = DeliveryState.DELIVERED, DeliveryState.FAILED
PASSED = Acceptance(FULL, (SEVERAL, mdn_delivery(FULL)), attempts=MADE)


def digest(data: bytes) -> str:
    return sha256(data).hexdigest()


RECORDS = [
    (FULL, "879377ed4f0e3a7d693f530f9f9a20e91b16d8c048ea5d57c7c66625a524f923"),
    (BARE, "ec2f6aa811153ae653f227de1e81a57bbf567d5863e181e21927e187293e1c50"),
    (WITH_CERTIFICATE, "3e2c46394e69648b177aa4ac926dd4d06c2be1347534244af372db3826995105"),
    (REFUSED, "0d216ee59f47d9e997e6f9f7f7636af459627477f08723fe1cf99b7bcdc3b4fa"),
]
DELIVERIES = [
    (delivery(FULL), "49d986f47b630b0ece4e634bd80ec4b99a163353655f839d7b2965aabc2bd780"),
    (SEVERAL, "d1dc1d673d016fbd79c8e335200510cc1c5f0b015f7b0da4ea907951959da4b5"),
    (mdn_delivery(REFUSED), "3db990619a225bc4528693963fc09bafb3daa7a4b741ef8bc33dc89cd4a2a71b"),
]


@pytest.mark.parametrize(("about", "known"), RECORDS)
def test_a_record_has_the_octets_that_it_always_had(about: Message | Refusal, known: str) -> None:
    assert digest(record_of(about)) == known


@pytest.mark.parametrize(("about", "_"), RECORDS)
def test_what_may_change_later_is_not_in_a_record(about: Message | Refusal, _: str) -> None:
    assert record_of(replace(about, mdn=None)) == record_of(replace(about, mdn=MDN)) == record_of(about)
    if isinstance(about, Message):
        assert record_of(replace(about, contents=0)) == record_of(about)


@pytest.mark.parametrize(("promise", "known"), DELIVERIES)
def test_a_delivery_has_the_octets_that_it_always_had(promise: Delivery, known: str) -> None:
    assert digest(delivery_text(promise)) == known


def test_attempts_have_the_digest_that_they_always_had() -> None:
    note = dropped(FULL.id, FULL.salt, SEVERAL.id, 1006.0, MADE)
    assert note.facts["attempts"] == "d1925e688d928f622f9549a19b6a3fea109de12720023d8c157cdc473882e783"


def test_an_mdn_and_a_commitment_have_the_octets_that_they_always_had() -> None:
    assert digest(mdn_octets(MDN)) == "6e7430671e4341b2bbc1d22dd414c96bcb3b4511393d9ae9ca74ea3b6618c4ab"
    assert commitment("5a", b"data") == "923358ccd6a6d2d7f6cd1a9872e63c1fa5541a06a676646dd083cbdd4e8dddbf"


# --- The chain ------------------------------------------------------------------------------------------------

NOTES = [
    *zip(
        accepted(PASSED),
        [
            "9a2ee765cfcd6482d67993b4507c80048408617a38aa4daa61ef5b463671794d",
            "a1177026809f4018c93a0cbb054bfdfdf1eaa573fd59a6d26cb7182cd21b46fe",
            "06fb09a8ae8043b639bdf52cb5c22f49e5ad6c2abdac93dfff3b7023c0a91ebe",
        ],
        strict=True,
    ),
    (refused(REFUSED, [mdn_delivery(REFUSED)]), "bafdd0d05fb7f14d49559eb14e8093b7dcdc6104e4a319d81b75c8db74078116"),
    (refused(refusal(2, mdn=None)), "0c6b9d21b313e5607fd57d17f6e6ba64d958462d3daefc6d92a74ef2aa03ac00"),
    (promised(FULL.id, FULL.salt, SEVERAL), "49ef574360fa627a1be95e8097c0a1c43f346e87787b8774a7ae98aa6ad865ca"),
    (answered(FULL.id, FULL.salt, MDN, 1000.1), "4dc649dcefd2785e8cdab65d3e81058b7fe7f4f2c3cceca592ce345b5f6f57f3"),
    (
        outcome(FULL.id, FULL.salt, TRIED, FAILED, 1002.1, MADE),
        "68a04730b0b1281918d0d2d74370f66d2f48166ddd19586e8679619bfe4fec85",
    ),
    (
        outcome(FULL.id, FULL.salt, AGAIN, DELIVERED, 1004, MADE),
        "7f29c152b36aa146c23144163d58495ba185eeac4551834925a8cb3a7cd747c1",
    ),
    (replayed(FULL.id, SEVERAL.id, 1005.0), "d832950772732e1bccbc1d7325657c32d074b0a0c8b555feaa1e467723038624"),
    (
        dropped(FULL.id, FULL.salt, SEVERAL.id, 1006.0, MADE),
        "62e5d03ac6ee0a3897ea7a9e9bb6e2f68c0f326b288d0f0ed83ee3496359ca79",
    ),
    (
        Note(EntryKind.PRUNED, FULL.id, 1007, {"by": "Jörg", "why": "retention"}),
        "9db45e3497761b10c852d0b78fa2757fe104b1a1bded8734f373fe5d9343e84b",
    ),
]


@pytest.mark.parametrize(("note", "known"), NOTES, ids=lambda each: each.kind if isinstance(each, Note) else "")
def test_an_entry_has_the_digest_that_it_always_had(note: Note, known: str) -> None:
    (entry,) = follow(Head(6, "ab" * 32), "0123abcd", [note])
    assert entry.digest == digest(entry.line) == known


def test_a_checkpoint_has_the_octets_that_it_always_had() -> None:
    ab = "ab" * 32
    signed = f'{{"at":1000.5,"digest":"{ab}","node":"0123abcd","number":7,"sequence":3,"version":1}}'
    assert CHECKPOINT.text == signed.encode()
    line = f'{{"at": 1000.5, "digest": "{ab}", "node": "0123abcd", "number": 7, "sequence": 3, "version": 1, '
    assert SignedCheckpoint(CHECKPOINT, b"sig", 1).text == f'{line}"signature": "c2ln"}}'.encode()


def test_names_that_are_digests_are_what_they_always_were() -> None:
    assert checkpoints.node_of(KEY) == "a050837d85070582ccf7394b0988847c"
    assert idempotency_key(FULL) == "01m5Y2fU-6JaFJ78z8IJbBN14JDBXvXxcyZ8y5OneYc"
    assert Use.MESSAGE.mark("acme", CERTIFICATE) == "b776c2aa885a641749753fc75c1a5442c8ba28348cd45b09e22c0700c48ac3ff"


# --- A model that has more fields -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class LaterMessage(Message):
    account: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LaterRefusal(Refusal):
    account: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LaterDelivery(Delivery):
    priority: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LaterAttempt(Attempt):
    address: str | None = None


def later(record: Any, kind: type) -> Any:
    """The record as a later version reads it: one field more, which nobody set."""
    return kind(**{each.name: getattr(record, each.name) for each in fields(record)})


def test_a_field_that_is_not_set_changes_no_digest() -> None:
    for about, known in RECORDS:
        kind = LaterMessage if isinstance(about, Message) else LaterRefusal
        assert digest(record_of(later(about, kind))) == known
    for promise, known in DELIVERIES:
        assert digest(delivery_text(later(promise, LaterDelivery))) == known
    made = [later(each, LaterAttempt) for each in MADE]
    now, then = (dropped(FULL.id, FULL.salt, SEVERAL.id, 1006.0, attempts) for attempts in (made, MADE))
    assert now == then
