"""What an answer is worth: only a receipt as it was asked for is OK."""

import base64
import hashlib
import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtlsd.as2.headers import AS2Name
from mtlsd.as2.mdn.build import Receipt, build_mdn
from mtlsd.as2.mdn.disposition import Disposition
from mtlsd.as2.mic import MIC
from mtlsd.as2.outbound.compose import compose
from mtlsd.as2.outbound.draft import Compression, Draft, DraftDocument, Encryption, Signing
from mtlsd.cli.send.mdn import Asked, receive
from mtlsd.cli.send.verdict import judge, say_verdict
from mtlsd.net.client.http import Answer
from mtlsd.net.server.mdn_receiver import PostedMDN, Reception
from tests.support.messages import NOW, key_pair

SIGNER = key_pair("EXAMPLE")
OURS = MIC(b"\x01" * 32, "sha256", "sha-256")
ASKED = Asked("<1@acme.example>", "signed", {"sha256": OURS.value}, signers=(SIGNER.certificate,))


def mdn(
    *,
    signed: bool = True,
    mic: MIC | None = OURS,
    modifier: str | None = None,
    message_id: str = ASKED.message_id,
    digest: str = "sha256",
) -> Answer:
    receipt = Receipt(
        as2_from=AS2Name.parse("ACME"),
        as2_to=AS2Name.parse("EXAMPLE"),
        original_message_id=message_id,
        disposition=Disposition.of(modifier),
        mic=mic,
        explanation="Look at\x1b this.",
        reference="ref-1",
    )
    signing = (SIGNER, digest) if signed else None
    made = build_mdn(receipt, now=NOW.timestamp(), host="as2.example.com", signing=signing, product="mtlsd")
    return Answer(200, tuple((name.lower(), value) for name, value in made.headers), made.body)


def page(status: int, content_type: str, body: bytes, *more: tuple[str, str]) -> Answer:
    return Answer(status, (("content-type", content_type), *more), body)


def test_a_receipt_as_it_was_asked_for_is_ok() -> None:
    verdict = judge(ASKED, mdn(), NOW)
    assert (verdict.ok, verdict.failures, verdict.signer) == (True, (), SIGNER.certificate)


OTHER = MIC(b"\x02" * 32, "sha256", "sha-256")
NOT_OK: dict[str, tuple[Asked, Answer, str]] = {
    "another MIC": (ASKED, mdn(mic=OTHER), "the MIC does not match the message"),
    "no MIC": (ASKED, mdn(mic=None), "the MDN is signed, and has no MIC"),
    "a MIC of another algorithm": (
        ASKED,
        mdn(mic=MIC(b"1", "sha1", "sha1")),
        "the MIC uses sha1, which was not requested",
    ),
    "not signed": (ASKED, mdn(signed=False), "the MDN is not signed, although a signature was requested"),
    "an error": (ASKED, mdn(modifier="processed/error: decryption-failed"), "the receiver did not process"),
    "a failure": (ASKED, mdn(modifier="failed/failure: unsupported format"), "the receiver did not process"),
    "another message": (ASKED, mdn(message_id="<2@acme.example>"), "the MDN answers another message (mdn_unreadable)"),
    "another signer": (replace(ASKED, signers=(key_pair("OTHER").certificate,)), mdn(), "(as2_signer_unknown)"),
    "signed with SHA-1": (ASKED, mdn(digest="sha1"), "it is signed with SHA-1, which only --micalg sha1"),
    "nobody to sign": (replace(ASKED, signers=()), mdn(), "(as2_signer_unknown)"),
    "changed": (ASKED, replace(mdn(), body=mdn().body.replace(b"processed", b"Processed")), "(as2_signature_bad)"),
    "no MDN": (ASKED, Answer(200, (), b""), "no MDN arrived, although one was requested"),
    "a page": (ASKED, page(200, "text/html", b"<html>"), "no MDN arrived, although one was requested"),
    "a status": (ASKED, replace(mdn(), status=500), "HTTP 500 Internal Server Error"),
    "a redirect": (replace(ASKED, mdn="none"), Answer(302, (), b""), "HTTP 302 Found"),
    "an odd status": (replace(ASKED, mdn="none"), Answer(599, (), b""), "HTTP 599"),
}


@pytest.mark.parametrize("name", NOT_OK)
def test_anything_less_is_not(name: str) -> None:
    asked, answer, words = NOT_OK[name]
    verdict = judge(asked, answer, NOW)
    assert not verdict.ok
    assert any(words in failure for failure in verdict.failures), verdict.failures


def test_what_an_mdn_of_another_says_is_shown_as_not_verified(capsys: pytest.CaptureFixture[str]) -> None:
    verdict = judge(replace(ASKED, signers=(key_pair("OTHER").certificate,)), mdn(), NOW)
    assert verdict.mdn is None
    assert verdict.as_json()["unverified_text"] == verdict.unverified
    say_verdict(verdict)
    words = capsys.readouterr().out.partition("\ntext of the MDN, not verified:\n  ")[2]
    assert "Look at" in words
    assert all(each.isprintable() for each in words.splitlines())


def test_an_mdn_that_is_accepted_has_nothing_unverified() -> None:
    assert judge(ASKED, mdn(), NOW).unverified == ""


def test_a_mic_is_shown_beside_ours_where_it_differs() -> None:
    assert judge(ASKED, mdn(), NOW).mic == f"equal ({OURS})"
    differs = judge(ASKED, mdn(mic=OTHER), NOW).mic
    assert differs.startswith(f"differs: the MDN has {OTHER}; ours is {OURS.value}; theirs is of other octets")
    assert judge(ASKED, mdn(mic=None), NOW).mic == "none"


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "sha384", "sha512"])
@pytest.mark.parametrize("layers", ["", "c", "s", "cs", "sc", "csE"])
def test_a_mic_that_differs_is_explained(algorithm: str, layers: str) -> None:
    draft = Draft("ACME", "EXAMPLE", "<1@acme.example>", (DraftDocument(b"the document", "text/plain", "order.txt"),))
    if "s" in layers:
        draft = replace(draft, signing=Signing(SIGNER))
    if "c" in layers:
        draft = replace(draft, compression=Compression.AFTER if layers == "sc" else Compression.BEFORE)
    if "E" in layers:
        draft = replace(draft, encryption=Encryption(SIGNER.certificate))
    message = compose(draft, now=NOW.timestamp())
    digest = hashlib.new(algorithm, b"the document").digest()
    asked = replace(ASKED, mics={"sha256": "other"}, hashable=message.stages)
    verdict = judge(asked, mdn(mic=MIC(digest, algorithm, algorithm)), NOW)
    assert not verdict.ok
    assert f"theirs is the {algorithm} of: the document" in verdict.mic


def test_each_algorithm_that_was_asked_for_is_compared() -> None:
    asked = replace(ASKED, mics={"sha1": "other", "sha256": OURS.value})
    assert judge(asked, mdn(), NOW).ok


def test_a_receipt_that_is_not_signed_needs_no_mic() -> None:
    asked = replace(ASKED, mdn="unsigned")
    assert judge(asked, mdn(signed=False, mic=None), NOW).ok
    assert not judge(asked, mdn(signed=False, mic=OTHER), NOW).ok


def test_sha1_is_accepted_where_it_was_asked_for() -> None:
    assert judge(replace(ASKED, relax=frozenset({"sha1"})), mdn(digest="sha1"), NOW).ok


# --- Asynchronous MDNs ----------------------------------------------------------------------------------------

LATER = replace(ASKED, waits=60)


def posted(answer: Answer) -> PostedMDN:
    return PostedMDN(answer.fields, answer.body, "192.0.2.1", None, b"")


def test_an_mdn_that_was_posted_is_judged_as_one_in_the_answer() -> None:
    verdict = judge(LATER, Answer(200, (), b""), NOW, posted(mdn()), ("192.0.2.2: a GET",))
    assert (verdict.ok, verdict.signer) == (True, SIGNER.certificate)
    assert verdict.as_json()["posted_by"] == {"address": "192.0.2.1", "certificate": None}
    assert verdict.as_json()["notes"] == ["192.0.2.2: a GET"]


LATE: dict[str, tuple[Answer, PostedMDN | None, str]] = {
    "none came": (Answer(200, (), b""), None, "no MDN for this message arrived within 60 s"),
    "in the answer": (mdn(), None, "the MDN arrived in the answer, although an asynchronous MDN was requested"),
    "an error": (Answer(200, (), b""), posted(mdn(modifier="processed/error: x")), "the receiver did not process"),
    "another signer's": (Answer(200, (), b""), posted(mdn(signed=False)), "the MDN is not signed"),
    "a status": (Answer(500, (), b""), posted(mdn()), "HTTP 500"),
}


@pytest.mark.parametrize("name", LATE)
def test_anything_less_is_not_ok_there_either(name: str) -> None:
    answer, came, words = LATE[name]
    verdict = judge(LATER, answer, NOW, came)
    assert not verdict.ok
    assert any(words in failure for failure in verdict.failures), verdict.failures


def in_base64(answer: Answer) -> Answer:
    """As some products send a multipart/signed, against RFC 2045."""
    fields = (*answer.fields, ("content-transfer-encoding", "base64"))
    return replace(answer, fields=fields, body=base64.encodebytes(answer.body))


@pytest.mark.parametrize("carried", [mdn(), mdn(modifier="processed/error: x"), in_base64(mdn())])
def test_the_mdn_of_our_message_with_the_right_signature_is_what_is_waited_for(carried: Answer) -> None:
    assert receive(LATER, NOW, posted(carried)) == Reception(200)
    assert judge(LATER, Answer(200, (), b""), NOW, posted(carried)).signer == SIGNER.certificate


def test_an_unsigned_one_is_where_no_signature_was_asked_for() -> None:
    assert receive(replace(LATER, mdn="unsigned"), NOW, posted(mdn(signed=False))) == Reception(200)


def test_what_is_not_of_our_message_is_not() -> None:
    another = receive(LATER, NOW, posted(mdn(message_id="<2@acme.example>")))
    assert another == Reception(200, "an MDN for another message, <2@acme.example>")
    assert receive(LATER, NOW, posted(page(200, "text/html", b"<html>"))).status == 400


def test_what_may_be_anybodys_is_noted_by_what_speaks_for_it() -> None:
    """The Message-ID is no secret, so that alone ends no waiting; the verdict has the best of what came."""
    stranger = receive(replace(LATER, signers=(key_pair("OTHER").certificate,)), NOW, posted(mdn()))
    weak = receive(LATER, NOW, posted(mdn(digest="sha1")))
    unsigned = receive(LATER, NOW, posted(mdn(signed=False)))
    assert 0 < unsigned.rank < stranger.rank < weak.rank
    for each, words in ((unsigned, "not signed"), (stranger, "not signed by a certificate of"), (weak, "SHA-1")):
        assert (each.status, words in (each.note or "")) == (200, True)


@settings(max_examples=100)
@given(
    st.sampled_from(["multipart/report; boundary=x", "multipart/signed; boundary=x", "multipart/signed", ""]),
    st.binary(max_size=300) | st.just(b"--x\r\n\r\n--x\r\n\r\n--x--\r\n"),
)
def test_what_a_stranger_posts_is_never_taken_for_it(content_type: str, body: bytes) -> None:
    assert receive(LATER, NOW, posted(page(200, content_type, body))).note


def test_a_signed_receipt_is_fine_where_an_unsigned_one_was_asked_for() -> None:
    assert judge(replace(ASKED, mdn="unsigned"), mdn(), NOW).ok


def test_a_problem_gives_its_reason_and_advice(capsys: pytest.CaptureFixture[str]) -> None:
    body = {"status": 403, "detail": "Ask\x1b us.", "reason": "cert_known_other_host", "request_id": "r-1"}
    verdict = judge(ASKED, page(403, "application/problem+json", json.dumps(body).encode()), NOW)
    assert (verdict.reason, verdict.request_id) == ("cert_known_other_host", "r-1")
    say_verdict(verdict)
    written = capsys.readouterr().out
    assert "advice       Ask\\x1b us.\n" in written
    assert written.endswith("FAILED: HTTP 403 Forbidden\n")


def test_the_page_of_another_product_is_shown_without_its_control_characters(
    capsys: pytest.CaptureFixture[str],
) -> None:
    say_verdict(judge(ASKED, page(502, "text/plain", b"Bad\x1b[2J\r\ngateway\xff"), NOW))
    assert "  Bad\\x1b[2J\n  gateway\ufffd\n" in capsys.readouterr().out


@settings(max_examples=200)
@given(
    status=st.integers(200, 599),
    content_type=st.sampled_from(
        ["application/problem+json", "multipart/report; boundary=x", "multipart/signed; boundary=x", "", ";;"]
    )
    | st.text(st.characters(max_codepoint=255)),
    body=st.binary(max_size=300) | st.sampled_from([b"[]", b"{}", b'{"detail": 1}', b"9" * 5000, b"[" * 100_000]),
)
def test_no_answer_of_a_stranger_breaks_it_or_is_ok(status: int, content_type: str, body: bytes) -> None:
    verdict = judge(ASKED, page(status, content_type, body), NOW)
    assert not verdict.ok
    assert json.dumps(verdict.as_json())
