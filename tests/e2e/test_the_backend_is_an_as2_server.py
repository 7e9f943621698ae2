"""`deliver = "message"`: the AS2 message as it came; and `mdn = "backend"`: the backend's own MDN goes back.

The backend is pyas2lib. It has the key of EXAMPLE, and the key INSIDE that the gateway has not.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from mtlsd.as2.headers import AS2Name
from mtlsd.as2.mdn.build import Receipt, build_mdn
from mtlsd.as2.mdn.disposition import Disposition
from mtlsd.as2.mic import MIC
from mtlsd.pki.key_pair import KeyPair
from tests.support import backend as backends
from tests.support import messages, pyas2_oracle
from tests.support.backend import Answered, Backend, Delivered
from tests.support.daemon import Daemon, Tree, acme, authority, certificate, keys, running
from tests.support.messages import EDI, Sent
from tests.support.partner import disposition, kept, layered, message, send, with_fields
from tests.support.pki import Issued
from tests.support.site import mtlsd

INSIDE = keys("INSIDE")
BACKEND = 'deliver = "message"\nmdn = "backend"'


def identity(name: str, pair: KeyPair | None = None) -> pyas2_oracle.Identity:
    pair = pair or keys(name)
    return pyas2_oracle.Identity(name, pair.private_key, pair.certificate.x509)  # type: ignore[arg-type]


@dataclass
class AS2Server:
    """What pyas2lib answers, with this key pair for everything; `sign_with` signs its MDNs with another."""

    pair: KeyPair

    def __call__(self, request: Delivered) -> Answered:
        ours = pyas2_oracle.organization(identity("EXAMPLE", self.pair))
        received = pyas2_oracle.pyas2_parse(request.fields, request.body, ours, pyas2_oracle.partner(identity("ACME")))
        return received.mdn_headers, received.mdn_body


class Says:
    """A backend that answers with an MDN of our making: a MIC, a disposition and a signer as it pleases."""

    def __init__(self, mic: MIC | None, modifier: str | None = None, signer: str | None = "EXAMPLE") -> None:
        self._receipt = (mic, Disposition.of(modifier))
        self._signing = (keys(signer), "sha256") if signer else None

    def __call__(self, request: Delivered) -> Answered:
        mic, said = self._receipt
        names = AS2Name.parse(request.get("AS2-From") or ""), AS2Name.parse(request.get("AS2-To") or "")
        receipt = Receipt(*names, request.get("Message-ID") or "", said, mic, "The backend says so.", "b1")
        mdn = build_mdn(receipt, now=1e9, host="inside.example", signing=self._signing, product="inside/1")
        return mdn.headers, mdn.body


@pytest.fixture(scope="module")
def own() -> Iterator[Backend]:
    with backends.running() as listening:
        yield listening


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory, own: Backend) -> Tree:
    made = Tree(tmp_path_factory.mktemp("as2"), own.url, route=BACKEND)
    made.add("acme", "ACME", acme(), f"mdn_urls = {json.dumps([own.origin + '/'])}")
    return made


@pytest.fixture(scope="module")
def daemon(tree: Tree) -> Iterator[Daemon]:
    with running(tree) as running_daemon:
        yield running_daemon


def test_an_mdn_that_is_not_whole_is_no_mdn(daemon: Daemon, own: Backend) -> None:
    sent = message(message_id := "<not-whole@acme.example>")
    own.sloppy = b"HTTP/1.1 200 OK\r\nContent-Type: multipart/report\r\nContent-Length: 900\r\n\r\n--b\r\n"
    try:
        answer = send(daemon, sent)
    finally:
        own.sloppy = b""
    own.wait()
    assert (answer.status, answer.reason) == (503, "upstream_unavailable")
    assert kept(daemon.tree, message_id) is None


@pytest.fixture
def answering(own: Backend) -> Iterator[Callable[[Callable[[Delivered], Answered]], None]]:
    def answer_with(respond: Callable[[Delivered], Answered]) -> None:
        own.respond = respond

    yield answer_with
    own.respond = None


Answering = Callable[[Callable[[Delivered], Answered]], None]


FORGED = (  # what a backend behind CGI or WSGI, or one that trusts a proxy, could take for ours or for AS2
    *(("mtlsd_partner", "globex"), ("mtlsd.partner", "globex"), ("Idempotency_Key", "forged")),
    *(("as2_from", "GLOBEX"), ("message_id", "<forged@x>"), ("content_type", "text/plain"), ("as2.to", "X")),
    *(("x-client-cert", "forged"), ("x-ssl-client-s-dn", "forged"), ("proxy", "http://evil/"), ("via", "1.1 x")),
    *(("true-client-ip", "1.2.3.4"), ("x-http-method-override", "DELETE"), ("remote-user", "root"), ("cookie2", "a")),
)


# --- The message as it came -----------------------------------------------------------------------------------


def test_the_backend_gets_the_message_octet_for_octet_with_all_its_headers(tmp_path: Path, own: Backend) -> None:
    sent = with_fields(
        message("<as-it-came@acme.example>"),
        X_Any="thing",
        Recipient_Address="edi@example.com",
        EDIINT_Features="CEM",
        Authorization="Basic c2VjcmV0",
        Forwarded="for=1.2.3.4",
        Mtlsd_Partner="globex",
        Client_Cert=":forged:",
        Accept_Encoding="gzip",
    )
    forged = replace(sent, fields=(*sent.fields, *FORGED))
    with running(Tree(tmp_path, own.url, route='deliver = "message"')) as daemon:
        assert disposition(send(daemon, forged), forged) == "processed"
        delivered = own.wait()
    assert delivered.body == sent.body
    for name in (
        "AS2-From",
        "AS2-To",
        "Message-ID",
        "Content-Type",
        "Disposition-Notification-To",
        "Recipient-Address",
    ):
        assert delivered.all(name) == [dict(sent.fields)[name]]
    assert delivered.all("Mtlsd-Partner") == ["acme"]
    assert delivered.get("Content-Length") == str(len(sent.body))
    for name in ("Authorization", "Client-Cert", "Accept-Encoding", "X-Any", *(name for name, _ in FORGED)):
        assert not delivered.all(name)
    assert "1.2.3.4" not in (delivered.get("Forwarded") or "")
    assert len(delivered.all("Idempotency-Key")) == 1


@cache
def connecting(name: str) -> Issued:
    """The certificate with which this partner connects."""
    return certificate(authority(name), "client.example")


@pytest.fixture(scope="module")
def passing_on(tmp_path_factory: pytest.TempPathFactory, own: Backend) -> Iterator[Daemon]:
    """One partner, ALPHA, and another one, ALPHA CORP."""
    made = Tree(tmp_path_factory.mktemp("names"), own.url, route='deliver = "message"')
    for name in ("ALPHA", "ALPHA CORP"):
        made.add(name.lower().replace(" ", "-"), name, connecting(name))
    with running(made) as running_daemon:
        yield running_daemon


@pytest.mark.parametrize("spelled", ["ALPHA CORP", "ALPHA", '"ALPHA"', "ALPHA \xff"])
def test_no_partner_reaches_the_backend_as_another(passing_on: Daemon, own: Backend, spelled: str) -> None:
    entity = layered(sender=keys("ALPHA"))
    sent = message(f"<{spelled}@alpha.example>", entity, as2_from=spelled, as2_to='"EXAMPLE"')
    answer = send(passing_on, sent, connecting("ALPHA"))
    assert disposition(answer, sent) == "processed"
    assert answer.get("AS2-To") == spelled  # the partner knows itself by it
    delivered = own.wait()
    assert (delivered.all("AS2-From"), delivered.all("AS2-To")) == (["ALPHA"], ["EXAMPLE"])
    assert delivered.all("Mtlsd-Partner") == ["alpha"]
    assert AS2Name.parse(f'"{delivered.get("Mtlsd-As2-From")}"').value == "ALPHA"


def test_an_id_with_a_blank_reaches_the_backend_in_quotes(passing_on: Daemon, own: Backend) -> None:
    entity = layered(sender=keys("ALPHA CORP"))
    sent = message("<corp@corp.example>", entity, as2_from='"ALPHA CORP"', as2_to="EXAMPLE")
    assert disposition(send(passing_on, sent, connecting("ALPHA CORP")), sent) == "processed"
    delivered = own.wait()
    assert delivered.all("AS2-From") == ['"ALPHA CORP"']
    assert delivered.all("Mtlsd-As2-From") == ["ALPHA CORP"]


def test_a_field_that_was_sent_twice_reaches_the_backend_once(passing_on: Daemon, own: Backend) -> None:
    sent = message("<twice@alpha.example>", layered(sender=keys("ALPHA")), as2_from="ALPHA")
    sent = with_fields(sent, Subject="first")
    twice = replace(sent, fields=(*sent.fields, ("subject", "second"), ("Disposition-Notification-Options", "x=y")))
    assert disposition(send(passing_on, twice, connecting("ALPHA")), sent) == "processed"
    delivered = own.wait()
    assert delivered.all("Subject") == ["first"]
    assert len(delivered.all("Disposition-Notification-Options")) == 1


def test_a_message_id_with_two_readings_never_reaches_the_backend(passing_on: Daemon, own: Backend) -> None:
    before = own.count
    for message_id in ("<a@b> <c@d>", "<a@b> (c)", "<a@b", "a@b, c@d"):
        sent = message(message_id, layered(sender=keys("ALPHA")), as2_from="ALPHA")
        answer = send(passing_on, sent, connecting("ALPHA"))
        assert answer.reason == "as2_message_id_invalid"
        assert b"processed/error: invalid-message-id" in answer.body
    folded = message("<a\r\n b@c>", layered(sender=keys("ALPHA")), as2_from="ALPHA")
    assert send(passing_on, folded, connecting("ALPHA")).reason == "bad_request"
    twice = replace(folded, fields=(*with_fields(folded, Message_ID="<a@b>").fields, ("message-id", "<c@d>")))
    assert send(passing_on, twice, connecting("ALPHA")).reason == "as2_header_missing"
    assert own.count == before


def test_a_multipart_with_two_readings_never_reaches_the_backend(passing_on: Daemon, own: Backend) -> None:
    before = own.count
    plain = message("<multipart@alpha.example>", layered("s", sender=keys("ALPHA")), as2_from="ALPHA")
    content_type = dict(plain.fields)["Content-Type"]
    for sent in (
        with_fields(plain, Content_Type=f"{content_type}; boundary*=other"),
        with_fields(plain, Content_Transfer_Encoding="quoted-printable"),
    ):
        assert send(passing_on, sent, connecting("ALPHA")).reason == "as2_mime_malformed"
    assert own.count == before


def test_a_message_is_delivered_later_the_same(tmp_path: Path, own: Backend) -> None:
    sent = message("<later@acme.example>", layered(payload=EDI * 20_000))
    own.statuses = [500]
    with running(Tree(tmp_path, own.url, route='deliver = "message"')) as daemon:
        assert disposition(send(daemon, sent), sent) == "processed"
        first, second = own.wait(), own.wait()
        assert (first.get("Mtlsd-Attempt"), second.get("Mtlsd-Attempt")) == ("1", "2")
        assert first.without_number() == second.without_number()
        assert second.body == sent.body
        listed = mtlsd("journal", "list", "--config", daemon.tree.configuration)
        daemon.wait_for("delivery_finished", state="delivered")
    assert "<later@acme.example>" in listed.stdout


def test_an_unverified_message_never_reaches_the_backend(tmp_path: Path, own: Backend) -> None:
    before, forged = own.count, message("<forged@acme.example>", layered(sender=keys("STRANGER")))
    elsewhere = message("<elsewhere@acme.example>", layered(recipient=INSIDE))
    with running(Tree(tmp_path, own.url, route='deliver = "message"\nmdn = "delivered"')) as daemon:
        assert disposition(send(daemon, forged), forged) == "processed/error: authentication-failed"
        assert disposition(send(daemon, elsewhere), elsewhere) == "processed/error: decryption-failed"
    assert own.count == before


# --- The backend's MDN ----------------------------------------------------------------------------------------


def test_the_mdn_of_the_backend_goes_back_octet_for_octet(daemon: Daemon, own: Backend, answering: Answering) -> None:
    answering(AS2Server(keys("EXAMPLE")))
    sent = message("<theirs@acme.example>")
    answer = send(daemon, sent)
    delivered = own.wait()
    found = kept(daemon.tree, "<theirs@acme.example>")
    assert found
    assert found.message.mdn
    assert (found.message.mdn.body, found.state, found.message.notes) == (answer.body, "delivered", ())
    assert b"pyAS2" in answer.body
    assert delivered.body == sent.body
    assert "alert" not in daemon.wait_for("exchange_finished", message_id="<theirs@acme.example>")
    again = send(daemon, sent)
    assert again.body == answer.body
    assert again.get("Message-ID") == answer.get("Message-ID")
    assert own.requests.empty()


def test_an_asynchronous_mdn_of_the_backend_passes_us_too(daemon: Daemon, own: Backend, answering: Answering) -> None:
    answering(AS2Server(keys("EXAMPLE")))
    sent = with_fields(message("<async@acme.example>"), Receipt_Delivery_Option=f"{own.origin}/mdn")
    answer = send(daemon, sent)
    assert (answer.status, answer.body) == (200, b"")
    assert not own.wait().all("Receipt-Delivery-Option")
    mdn = own.wait()
    assert mdn.line == "POST /mdn HTTP/1.1"
    assert b"Original-Message-ID: <async@acme.example>" in mdn.body
    daemon.wait_for("delivery_finished", kind="mdn", state="delivered")


@pytest.mark.parametrize("where", ["", "async"])
def test_what_the_backend_refuses_holds_no_key(daemon: Daemon, own: Backend, answering: Answering, where: str) -> None:
    answering(Says(None, "processed/error: unexpected-processing-error"))
    sent = message(f"<negative{where}@acme.example>")
    if where:
        sent = with_fields(sent, Receipt_Delivery_Option=f"{own.origin}/mdn")
    answer = send(daemon, sent)
    assert answer.reason == "as2_backend_refused"
    own.wait()
    said = own.wait().body if where else answer.body
    assert b"processed/error: unexpected-processing-error" in said
    assert kept(daemon.tree, dict(sent.fields)["Message-ID"]) is None
    answering(AS2Server(keys("EXAMPLE")))
    assert send(daemon, sent).reason is None
    assert kept(daemon.tree, dict(sent.fields)["Message-ID"])
    own.wait()
    if where:
        own.wait()


def test_an_answer_without_an_mdn_is_no_answer(daemon: Daemon, own: Backend) -> None:
    sent = message("<no-mdn@acme.example>")
    answer = send(daemon, sent)
    assert (answer.status, answer.reason) == (503, "upstream_unavailable")
    assert kept(daemon.tree, "<no-mdn@acme.example>") is None
    assert "without an MDN" in daemon.wait_for("exchange_finished", message_id="<no-mdn@acme.example>")["detail"]
    own.wait()


def test_where_no_mdn_was_asked_for_the_2xx_decides(daemon: Daemon, own: Backend) -> None:
    sent = message("<none@acme.example>", mdn=None)
    assert send(daemon, sent).status == 200
    assert kept(daemon.tree, "<none@acme.example>")
    own.wait()


def alerted(daemon: Daemon, own: Backend, message_id: str, sent: Sent | None = None) -> str:
    """Send it; the MDN goes back all the same, and the log and the journal say what is wrong with it."""
    answer = send(daemon, sent or message(message_id))
    assert answer.status == 200
    own.wait()
    line = daemon.wait_for("exchange_finished", message_id=message_id)
    found = kept(daemon.tree, message_id)
    assert found
    assert found.message.mdn
    assert found.message.mdn.body == answer.body
    assert line["level"] == "error"
    assert found.message.notes[-1] == line["alert"]
    shown = mtlsd("journal", "show", message_id, "--config", daemon.tree.configuration)
    assert "note " in shown.stdout
    return str(line["alert"])


def test_another_mic_raises_an_alert_that_names_what_was_hashed(
    daemon: Daemon, own: Backend, answering: Answering
) -> None:
    answering(Says(MIC(hashlib.sha256(EDI).digest(), "sha256", "sha-256")))
    alert = alerted(daemon, own, "<mic@acme.example>")
    assert "the sha256 of: decrypted, signed part, decompressed, without header, raw" in alert


def test_a_mic_of_other_octets_is_named_as_such(daemon: Daemon, own: Backend, answering: Answering) -> None:
    answering(Says(MIC(b"x" * 32, "sha256", "sha-256")))
    assert "theirs is of other octets" in alerted(daemon, own, "<mic-other@acme.example>")


def test_a_missing_mic_raises_an_alert(daemon: Daemon, own: Backend, answering: Answering) -> None:
    answering(Says(None))
    assert "has no MIC" in alerted(daemon, own, "<mic-none@acme.example>")


def test_an_mdn_that_is_not_signed_needs_no_mic(daemon: Daemon, own: Backend, answering: Answering) -> None:
    """RFC 4130, section 7.4.3; a MIC that is there is compared."""
    answering(Says(None, signer=None))
    assert send(daemon, message("<no-mic@acme.example>", mdn="")).status == 200
    own.wait()
    assert "alert" not in daemon.wait_for("exchange_finished", message_id="<no-mic@acme.example>")
    answering(Says(MIC(b"x" * 32, "sha256", "sha-256"), signer=None))
    wrong = message("<wrong-mic@acme.example>", mdn="")
    assert "theirs is of other octets" in alerted(daemon, own, "<wrong-mic@acme.example>", wrong)


def test_a_mic_with_another_algorithm_is_compared_with_that(daemon: Daemon, own: Backend, answering: Answering) -> None:
    signed = layered("c")
    sent = message("<mic-sha512@acme.example>", messages.encrypt(messages.sign(signed, keys("ACME")), keys("EXAMPLE")))
    answering(Says(MIC(hashlib.sha512(signed).digest(), "sha512", "sha512")))
    assert send(daemon, sent).status == 200
    own.wait()
    assert "alert" not in daemon.wait_for("exchange_finished", message_id="<mic-sha512@acme.example>")


def test_a_signature_of_somebody_else_raises_an_alert(daemon: Daemon, own: Backend, answering: Answering) -> None:
    answering(Says(None, signer="STRANGER"))
    assert "organizations/EXAMPLE/backend.pem" in alerted(daemon, own, "<signer@acme.example>")


def test_who_asked_for_no_mdn_at_first_gets_the_backend_s_when_it_asks(
    daemon: Daemon, own: Backend, answering: Answering
) -> None:
    answering(AS2Server(keys("EXAMPLE")))
    entity = layered()
    silent, asking = (message("<late@acme.example>", entity, mdn=mdn) for mdn in (None, "required,sha-256"))
    assert send(daemon, silent).body == b""
    answer = send(daemon, asking)
    assert b"Original-Message-ID: <late@acme.example>" in answer.body
    assert send(daemon, with_fields(asking, Receipt_Delivery_Option=f"{own.origin}/mdn")).status == 200
    assert [own.wait().line.split()[1] for _ in range(3)][-1] == "/mdn"
    assert send(daemon, silent).body == b""  # nobody gets an MDN who does not ask


def unsigned(request: Delivered) -> Answered:
    """What a backend answers that signs no MDN."""
    names = AS2Name.parse(request.get("AS2-From") or ""), AS2Name.parse(request.get("AS2-To") or "")
    receipt = Receipt(*names, request.get("Message-ID") or "", Disposition.of(None), None, "Taken.", "b1")
    mdn = build_mdn(receipt, now=1e9, host="inside.example", signing=None, product="inside/1")
    return mdn.headers, mdn.body


@pytest.mark.parametrize("where", ["", "async"])
def test_a_late_mdn_is_kept_and_the_backend_is_asked_for_it_once(
    daemon: Daemon, own: Backend, answering: Answering, where: str
) -> None:
    answering(unsigned)
    key, entity = f"<kept-late{where}@acme.example>", layered()
    silent, asking = (message(key, entity, mdn=mdn) for mdn in (None, ""))
    if where:
        asking = with_fields(asking, Receipt_Delivery_Option=f"{own.origin}/mdn")
    before = own.count
    assert send(daemon, silent).body == b""
    first, second = (send(daemon, asking) for _ in range(2))
    for _ in range(2):
        own.wait()
    found = kept(daemon.tree, key)
    assert found
    assert found.message.mdn
    if where:
        assert own.wait().body == found.message.mdn.body
    else:
        assert first.body == second.body == found.message.mdn.body
        assert own.count == before + 2
    assert mtlsd("journal", "verify", "--config", daemon.tree.configuration).exit_code == 0
    while not own.requests.empty():
        own.wait()


def test_other_content_under_a_known_id_never_reaches_the_backend(
    daemon: Daemon, own: Backend, answering: Answering
) -> None:
    answering(unsigned)
    silent = message("<other@acme.example>", mdn=None)
    other = message("<other@acme.example>", layered(payload=EDI * 9), mdn="")
    assert send(daemon, silent).status == 200
    own.wait()
    answer = send(daemon, other)
    assert disposition(answer, other, signed=False) == "processed/error: duplicate-document"
    assert answer.reason == "as2_duplicate_other_content"
    assert own.requests.empty()


class Spoils:
    """The backend's answer, changed."""

    def __init__(self, change: Callable[[bytes], bytes], **fields: str) -> None:
        self._change = change
        self._fields = tuple((name.replace("_", "-"), value) for name, value in fields.items())

    def __call__(self, request: Delivered) -> Answered:
        headers, body = AS2Server(keys("EXAMPLE"))(request)
        changed = {name.lower() for name, _ in self._fields}
        return (*(field for field in headers if field[0].lower() not in changed), *self._fields), self._change(body)


NO_RECEIPTS = {
    "for another message": Spoils(lambda body: body.replace(b"<spoilt@", b"<other@")),
    "to another partner": Spoils(bytes, AS2_To="GLOBEX"),
    "from somebody else": Spoils(bytes, AS2_From="EXAMPLE2"),
    "with no names at all": Spoils(bytes, AS2_From="", AS2_To=""),
    "too long": Spoils(
        lambda body: body.replace(b"\r\nDisposition: ", b"\r\nX: " + b"x" * 140_000 + b"\r\nDisposition: ")
    ),
    "without a disposition": Spoils(lambda body: body.replace(b"\r\nDisposition: ", b"\r\nX: ")),
    "of no form": Spoils(lambda _: b"x"),
    "compressed": Spoils(bytes, Content_Encoding="gzip"),
}


@pytest.mark.parametrize("name", NO_RECEIPTS)
def test_an_mdn_that_is_not_for_this_message_or_cannot_be_read_is_none(
    daemon: Daemon, own: Backend, answering: Answering, name: str
) -> None:
    answering(NO_RECEIPTS[name])
    sent = message("<spoilt@acme.example>")
    answer = send(daemon, sent)
    assert (answer.status, answer.reason) == (503, "upstream_unavailable")
    assert kept(daemon.tree, "<spoilt@acme.example>") is None
    own.wait()


def test_of_the_backend_s_header_only_what_describes_the_mdn_goes_back(
    daemon: Daemon, own: Backend, answering: Answering
) -> None:
    answering(Spoils(bytes, Set_Cookie="a=b", Content_Range="bytes 0-1/2", Content_Location="http://inside/", To="x"))
    answer = send(daemon, message("<header@acme.example>"))
    assert answer.status == 200
    assert not [each for each in ("Set-Cookie", "Content-Range", "Content-Location", "To") if answer.get(each)]
    assert (answer.get("AS2-From"), answer.get("AS2-To")) == ("EXAMPLE", "ACME")
    own.wait()


# --- A message that we hold no key for ------------------------------------------------------------------------


@pytest.fixture
def sealed_daemon(tmp_path: Path, own: Backend, answering: Answering) -> Iterator[Daemon]:
    """The backend signs with the key INSIDE too, and the gateway has that certificate."""
    tree = Tree(tmp_path, own.url, route=BACKEND)
    (tree.certs / "organizations" / "EXAMPLE" / "backend.pem").write_bytes(
        INSIDE.certificate.x509.public_bytes(Encoding.PEM)
    )
    answering(AS2Server(INSIDE))
    with running(tree) as running_daemon:
        yield running_daemon


def test_a_sealed_message_is_checked_as_far_as_it_can_be_and_the_journal_says_so(
    sealed_daemon: Daemon, own: Backend, tmp_path: Path
) -> None:
    sent = message("<sealed@acme.example>", layered(recipient=INSIDE))
    answer = send(sealed_daemon, sent)
    assert answer.status == 200
    assert b"automatically; processed\r\n" in answer.body.replace(b"\n", b"\r\n").replace(b"\r\r", b"\r")
    assert own.wait().body == sent.body
    line = sealed_daemon.wait_for("exchange_finished", message_id="<sealed@acme.example>")
    assert f"{INSIDE.certificate.serial:x}" in line["sealed"]
    assert "alert" not in line
    found = kept(sealed_daemon.tree, "<sealed@acme.example>")
    assert found
    assert (found.message.payload, found.message.mic, found.message.encrypted_with) == (None, None, "aes256-cbc")
    (note,) = found.message.notes
    assert "Not checked: the signature, the MIC" in note
    configuration = sealed_daemon.tree.configuration
    refused = mtlsd("journal", "payload", "<sealed@acme.example>", "--config", configuration)
    assert (refused.exit_code, "--original" in refused.stderr) == (1, True)
    target = tmp_path / "message"
    mtlsd("journal", "payload", "<sealed@acme.example>", "--original", "--output", target, "--config", configuration)
    assert target.read_bytes() == sent.body


def test_a_sealed_message_again_gets_the_same_mdn_however_it_is_encrypted(sealed_daemon: Daemon, own: Backend) -> None:
    first, second = (send(sealed_daemon, message("<twice@acme.example>", layered(recipient=INSIDE))) for _ in range(2))
    assert first.body == second.body
    own.wait()
    assert own.requests.empty()


def test_only_what_is_for_a_registered_key_of_the_backend_stays_sealed(sealed_daemon: Daemon, own: Backend) -> None:
    before, sent = own.count, message("<third@acme.example>", layered(recipient=keys("THIRD")))
    answer = send(sealed_daemon, sent)
    assert disposition(answer, sent) == "processed/error: decryption-failed"
    assert own.count == before


def test_guessing_what_the_backend_can_open_is_limited(tmp_path: Path, own: Backend) -> None:
    tree = Tree(tmp_path, own.url, route=BACKEND, limits="max_failures_per_hour = 3")
    pem = INSIDE.certificate.x509.public_bytes(Encoding.PEM)
    (tree.certs / "organizations" / "EXAMPLE" / "backend.pem").write_bytes(pem)
    own.statuses = [500] * 3
    with running(tree) as daemon:
        guesses = (message(f"<guess{at}@acme.example>", layered(recipient=INSIDE), mdn=None) for at in range(4))
        reasons = [send(daemon, guess).reason for guess in guesses]
    assert reasons == ["upstream_unavailable"] * 3 + ["spike_arrested"]
    for _ in range(3):
        own.wait()


def test_who_proved_nothing_over_tls_cannot_send_sealed(sealed_daemon: Daemon, own: Backend) -> None:
    before, sent = own.count, message("<anybody@acme.example>", layered(recipient=INSIDE))
    answer = send(sealed_daemon, sent, host="drop.example.com")
    assert disposition(answer, sent) == "processed/error: decryption-failed"
    assert own.count == before


@pytest.mark.parametrize("at", [-1, 200, 400])
def test_a_sealed_message_that_is_cut_off_or_has_the_wrong_form(sealed_daemon: Daemon, own: Backend, at: int) -> None:
    before, whole = own.count, message(f"<cut{at}@acme.example>", layered(recipient=INSIDE))
    cut = replace(whole, body=whole.body[:at])
    answer = send(sealed_daemon, cut)
    assert disposition(answer, cut).startswith("processed/error: ")
    assert own.count == before
