"""What earlier code stored is as good as what today's code stores, whichever database it is in.

Each fixture is restored as an operator would restore a backup, and then the operator's own commands run on it.
"""

import json
import subprocess
from base64 import b64encode
from functools import partial
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from mtlsd.journal.model import Delivery, DeliveryKind, DeliveryState, Message
from mtlsd.journal.notices import NoticeStanding
from mtlsd.net.services.promotions import promotions_in
from mtlsd.pki.certificate import Certificate
from mtlsd.relay.file_drop import deposit_of
from mtlsd.relay.request import build_request
from scripts.journal_fixture import make
from tests.support.postgres import Server
from tests.support.stored import FIXTURES, SHOWN, Stored, still_says

OLD = sorted(each for each in FIXTURES.iterdir() if each.is_dir())
OPEN = (DeliveryState.PENDING, DeliveryState.FAILED)
LONG_AFTER = 4e9  # seconds of the epoch: everything is due
# How many of the client's certificates each route passes on: its own, and the one above it where there is one.
CLIENT_CERT = {"/several": 2, "/one": 1, "/files": 1, "/ordered-several": 2, "/ordered-files": 2, "/message": 2}
KINDS = {
    *("selftested", "configuration", "promoted", "exported", "imported", "accepted", "refused", "promised"),
    *("delivered", "failed", "dropped", "replayed", "pruned", "erased"),
}


@pytest.fixture(params=OLD, ids=lambda each: each.name)
def fixture(request: pytest.FixtureRequest) -> Path:
    return Path(request.param)


def restored(fixture: Path, root: Path, database: str, postgres: Server) -> Stored:
    if database == "sqlite":
        return Stored.in_sqlite(fixture, root)
    return Stored.in_postgres(fixture, root, postgres.empty())


@pytest.fixture(params=["sqlite", "postgresql"])
def stored(request: pytest.FixtureRequest, fixture: Path, postgres: Server, tmp_path: Path) -> Stored:
    return restored(fixture, tmp_path / "site", request.param, postgres)


def verify(stored: Stored) -> None:
    """Have all of it verified, with its documents; what is new is not signed so far, and that is no fault."""
    found = stored.json("journal", "verify")
    assert found["broken"] is None
    assert found["records"] > 0


def check_that_it_has_everything(stored: Stored) -> None:
    """Every state and kind of delivery, every kind of entry, every form of a signed message, and both places."""
    deliveries, messages = stored.deliveries(), stored.messages()
    with stored.journal() as journal:
        nodes = journal.proof.nodes()
        kinds = {each.kind for node in nodes for each in journal.proof.entries(node, 0, 1000)}
    assert {each.state for each in deliveries} == set(DeliveryState)
    assert {each.kind for each in deliveries} == set(DeliveryKind)
    assert (len(nodes), KINDS - kinds) == (2, set())
    assert {each.form for each in messages} == {None, "raw", "header-crlf", "full-crlf"}
    assert {each.payload and each.payload.partition("/")[0] for each in messages} == {None, "journal", "messages"}


# --- Reading --------------------------------------------------------------------------------------------------


def test_it_has_everything_and_verifies(stored: Stored) -> None:
    check_that_it_has_everything(stored)
    verify(stored)


def test_it_holds_no_private_key(fixture: Path) -> None:
    assert [each for each in fixture.rglob("*") if each.is_file() and b"PRIVATE KEY" in each.read_bytes()] == []


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_todays_code_can_make_another(database: str, postgres: Server, tmp_path: Path) -> None:
    make(tmp_path / "fixture", postgres)
    stored = restored(tmp_path / "fixture", tmp_path / "site", database, postgres)
    check_that_it_has_everything(stored)
    verify(stored)


def test_deliveries_are_shown_as_they_were(stored: Stored, fixture: Path) -> None:
    then = [json.loads(line) for line in (fixture / SHOWN).read_text(encoding="utf-8").splitlines()]
    assert [(now, was) for now, was in zip(stored.shown(), then, strict=True) if not still_says(now, was)] == []


def test_everything_can_be_proved(stored: Stored, tmp_path: Path) -> None:
    for each in stored.everything:
        stored.done("journal", "prove", each, "--output", tmp_path / each)


def test_a_stranger_can_check_the_proofs(stored: Stored, tmp_path: Path) -> None:
    refused = stored.ids("--state", "refused")
    by_form = {each.form: each.id for each in stored.messages()}
    for each in (refused[0], refused[-1], *by_form.values()):
        folder = tmp_path / each
        stored.done("journal", "prove", each, "--output", folder)
        checked = subprocess.run(["sh", "verify.sh"], cwd=folder, capture_output=True, text=True, check=False)
        assert checked.returncode == 0, (each, checked.stderr)
    assert any((tmp_path / each / "client.pem").exists() for each in by_form.values())


def test_the_mic_is_found_in_the_stored_message(stored: Stored) -> None:
    here = [each for each in stored.messages() if each.mic and each.contents]
    of_each_form = {(each.form, each.compressed, each.encrypted_with): each for each in here}
    assert len(of_each_form) > 8
    for each in of_each_form.values():
        candidates = stored.json("journal", "show", each.id, "--mic")
        assert each.mic in {candidate["value"] for candidate in candidates}, each.id


def test_every_document_is_what_was_kept(stored: Stored, tmp_path: Path) -> None:
    for partner in ("acme", "globex"):
        folder = tmp_path / partner
        stored.done("privacy", "export", "--partner", partner, "--output", folder)
        for each in stored.messages():
            if each.partner == partner and each.contents and each.payload:
                payload = (folder / each.id / "payload").read_bytes()
                assert sha256(payload).hexdigest() == dict(each.digests)["payload"]


def test_messages_of_old_journals_are_found_by_their_texts(stored: Stored) -> None:
    named = next(each for each in stored.messages() if each.filename)
    assert named.id in stored.ids("--filename", (named.filename or "").upper())
    assert named.id in stored.ids("--search", named.message_id.strip("<").upper()[:20])


# --- Going on with it -----------------------------------------------------------------------------------------


def test_a_message_that_comes_again_is_known(stored: Stored) -> None:
    messages = stored.messages()
    with stored.journal() as journal:
        for each in messages:
            assert journal.find(each.as2_from, each.as2_to, each.message_id) == each


def test_what_is_open_is_claimed_and_an_ordered_lane_keeps_its_order(stored: Stored) -> None:
    still_open = [each for each in stored.deliveries() if each.state in (*OPEN, "claimed")]
    first = {each.lane: each.id for each in reversed(still_open)}
    wanted = [each for each in still_open if each.state != "failed"]
    expected = {each.id for each in wanted if not each.lane.ordered or first[each.lane] == each.id}
    with stored.journal() as journal:
        assert {each.delivery.id for each in journal.claim("node", LONG_AFTER, 60, 1000)} == expected
    assert len(wanted) > len(expected)


def test_the_backend_gets_the_certificate_of_the_client(stored: Stored) -> None:
    first = {each.message_id: each for each in reversed(stored.deliveries())}
    seen = set()
    for message in stored.messages():
        wanted = CLIENT_CERT.get(message.route, 0) if message.host == "as2.example.com" else 0
        known = _certificates(stored, message.partner)[:wanted]
        assert _passed_on(message, first[message.id]) == known, message.id
        seen.add((message.route, len(known)))
    assert {count for _, count in seen} == {0, 1, 2}
    assert {route for route, _ in seen} > CLIENT_CERT.keys()


def _certificates(stored: Stored, partner: str) -> list[str]:
    """The client's own, and what is between that and the root."""
    *path, _ = sorted((stored.root / "certs" / "partners" / partner / "tls").iterdir())
    loaded = (x509.load_pem_x509_certificate(each.read_bytes()) for each in path)
    return [b64encode(each.public_bytes(Encoding.DER)).decode() for each in loaded]


def _passed_on(message: Message, delivery: Delivery) -> list[str]:
    if delivery.targets[0].startswith("dir:"):
        told = json.loads(deposit_of(message, delivery).metadata)
        return [each for each in (told.get("client_cert"), *told.get("client_cert_chain", ())) if each]
    fields = dict(build_request(message, delivery).headers)
    values = (fields.get("Client-Cert"), *fields.get("Client-Cert-Chain", "").split(", "))
    return [each.strip(":") for each in values if each]


def test_what_was_promoted_and_told_counts(stored: Stored) -> None:
    with stored.journal() as journal:
        assert len(promotions_in(journal)) == 2
        standings = {}
        for partner in ("acme", "globex"):
            der = (stored.root / "certs" / "partners" / partner / "as2" / f"{partner}.cer").read_bytes()
            standings[partner] = journal.claim_notice(Certificate.from_der(der).sha256, 30, LONG_AFTER)
    assert standings == {"acme": NoticeStanding.GIVEN, "globex": NoticeStanding.OURS}


# --- What operators do ----------------------------------------------------------------------------------------


def in_state(stored: Stored, *states: str) -> dict[str, str]:
    """The deliveries in these states: by their ids, what each is about."""
    found = (each for each in stored.deliveries() if each.state in states)
    return {each.id: each.message_id or each.refusal_id or "" for each in found}


def test_what_failed_or_waits_can_be_replayed(stored: Stored) -> None:
    unfinished = in_state(stored, *OPEN)
    for about in set(unfinished.values()):
        stored.done("journal", "replay", about)
    assert in_state(stored, "pending") == unfinished
    assert in_state(stored, "failed") == {}
    verify(stored)


def test_what_is_delivered_can_be_pruned(stored: Stored) -> None:
    stored.configure("[proof]", "[retention]\ndays = 1\n\n[proof]")
    kept = {about for id_, about in in_state(stored, *OPEN, "claimed").items() if not id_.endswith("-mdn")}
    refused = stored.ids("--state", "refused")
    assert "acme: " in stored.done("journal", "prune")
    assert {each.id for each in stored.messages() if each.contents} == kept
    assert set(stored.ids("--state", "refused")) < set(refused)  # they go as a whole
    verify(stored)


def test_a_partner_can_be_erased(stored: Stored) -> None:
    erase = partial(stored.run, "privacy", "erase", "--yes", "--partner")
    assert [erase(each).exit_code for each in ("acme", "globex")] == [1, 1]  # there are open deliveries
    erased = {each.id for each in stored.messages() if each.partner == "globex"}
    for about in {about for about in in_state(stored, *OPEN).values() if about in erased}:
        stored.done("journal", "drop", about)
    assert erase("globex").exit_code == 0
    assert stored.ids("--partner", "globex") == []
    assert not [each for each in (stored.root / "state" / "spool").rglob("*") if each.name.split(".")[0] in erased]
    verify(stored)
