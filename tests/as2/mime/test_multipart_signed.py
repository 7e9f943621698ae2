"""A whole multipart/signed: what comes back is what was signed, to the octet, or an AS2 error."""

import base64
from collections.abc import Callable
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st

from mtlsd.as2.headers import AS2Name
from mtlsd.as2.mdn.build import Receipt, build_mdn
from mtlsd.as2.mdn.disposition import Disposition
from mtlsd.as2.mic import MIC
from mtlsd.as2.mime.multipart_signed import open_detached, verify_detached
from mtlsd.errors import AS2MIMEMalformed, AS2Refused, AS2SecurityTooLow, AS2SignatureBad, AS2SignerUnknown
from mtlsd.pki.certificate import Certificate
from tests.support.messages import NOW, entity, key_pair, multipart_signed, sign, signed_data, split
from tests.support.pyas2_oracle import identity, organization, partner, pyas2_build, pyas2_parse

Headers = tuple[tuple[str, str], ...]
SIGNER = key_pair("ACME")
OTHER = key_pair("OTHER")
ENTITY = entity(b"line one\r\nline two", "text/plain")


def parts_of(whole: bytes) -> tuple[Headers, bytes]:
    fields, body = split(whole)
    return tuple(fields.items()), body


def our_mdn(algorithm: str) -> tuple[Headers, bytes]:
    receipt = Receipt(
        as2_from=AS2Name.parse("EXAMPLE"),
        as2_to=AS2Name.parse("ACME"),
        original_message_id="<1@example.com>",
        disposition=Disposition.of(None),
        mic=MIC(b"\x01" * 32, "sha256", "sha-256"),
        explanation="Received.",
        reference="ref-1",
    )
    made = build_mdn(receipt, now=NOW.timestamp(), host="acme.example", signing=(SIGNER, algorithm), product="mtlsd")
    return made.headers, made.body


@pytest.mark.parametrize("algorithm", ["sha256", "sha384", "sha512"])
@pytest.mark.parametrize("attributes", [True, False])
def test_the_octets_that_were_signed_come_back_as_they_came(algorithm: str, attributes: bool) -> None:
    headers, body = parts_of(sign(ENTITY, SIGNER, algorithm, attributes=attributes))
    assert verify_detached(headers, body, [OTHER.certificate, SIGNER.certificate], NOW) == ENTITY


@pytest.mark.parametrize("algorithm", ["sha256", "sha384", "sha512"])
def test_our_own_mdn_verifies_and_the_signer_is_named(algorithm: str) -> None:
    opened = open_detached(*our_mdn(algorithm), [OTHER.certificate, SIGNER.certificate], NOW)
    assert opened.signer == SIGNER.certificate
    assert opened.octets.startswith(b"Content-Type: multipart/report;")


def test_an_mdn_of_pyas2lib_verifies() -> None:
    us, them = identity("US"), identity("THEM")
    message = pyas2_build(b"x", us, them, content_type="text/plain", encrypt=None)
    answer = pyas2_parse(message.headers, message.body, organization(them), partner(us))
    certificate = Certificate.from_der(them.certificate.public_bytes(Encoding.DER))
    assert verify_detached(answer.mdn_headers, answer.mdn_body, [certificate], NOW).startswith(b"Content-Type: ")


def test_a_digest_that_micalg_does_not_announce_is_computed_all_the_same() -> None:
    headers, body = parts_of(multipart_signed(ENTITY, signed_data(ENTITY, SIGNER, "sha512"), micalg="unknown"))
    assert verify_detached(headers, body, [SIGNER.certificate], NOW) == ENTITY


def test_a_multipart_in_base64_is_decoded() -> None:
    headers, body = parts_of(sign(ENTITY, SIGNER))
    fields = (*headers, ("content-transfer-encoding", "Base64"))
    assert verify_detached(fields, base64.encodebytes(body), [SIGNER.certificate], NOW) == ENTITY


def test_sha1_needs_to_be_relaxed() -> None:
    headers, body = parts_of(sign(ENTITY, SIGNER, "sha1"))
    with pytest.raises(AS2SecurityTooLow):
        verify_detached(headers, body, [SIGNER.certificate], NOW)
    assert verify_detached(headers, body, [SIGNER.certificate], NOW, relax={"sha1"}) == ENTITY


def test_nothing_but_the_given_certificates_verifies() -> None:
    headers, body = parts_of(sign(ENTITY, SIGNER))
    for certificates in ([], [OTHER.certificate]):
        with pytest.raises(AS2SignerUnknown):
            verify_detached(headers, body, certificates, NOW)


def test_an_expired_certificate_does_not_verify() -> None:
    headers, body = parts_of(sign(ENTITY, SIGNER))
    with pytest.raises(AS2SignerUnknown, match="expired"):
        verify_detached(headers, body, [SIGNER.certificate], NOW + timedelta(days=366))


@pytest.mark.parametrize("attributes", [True, False])
def test_other_content_is_refused(attributes: bool) -> None:
    headers, body = parts_of(sign(ENTITY, SIGNER, attributes=attributes))
    with pytest.raises(AS2SignatureBad):
        verify_detached(headers, body.replace(b"line one", b"line won"), [SIGNER.certificate], NOW)


def without_signature(body: bytes) -> bytes:
    return b"--signed-1\r\n" + ENTITY + b"\r\n--signed-1--\r\n"


@pytest.mark.parametrize(
    ("headers", "change"),
    [
        ((), bytes),
        ((("Content-Type", "multipart/report; boundary=signed-1"),), bytes),
        ((("Content-Type", "multipart/signed"),), bytes),
        ((("Content-Type", "multipart/signed; boundary=other"),), bytes),
        ((("Content-Type", "multipart/signed; boundary=signed-1"),), without_signature),
        ((("Content-Type", "multipart/signed; boundary=signed-1"),), lambda body: body[:-10]),
        ((("Content-Type", "multipart/signed; boundary=signed-1"),), lambda body: body.replace(b"MII", b"XXX")),
        ((("Content-Type", "multipart/signed; boundary=signed-1"),), lambda body: b"--signed-1\r\n\r\n" + body),
    ],
    ids=["no type", "not signed", "no boundary", "other boundary", "one part", "cut short", "no CMS", "three parts"],
)
def test_what_is_no_multipart_of_two_parts_is_malformed(headers: Headers, change: Callable[[bytes], bytes]) -> None:
    _, body = parts_of(sign(ENTITY, SIGNER))
    with pytest.raises(AS2MIMEMalformed):
        verify_detached(headers, change(body), [SIGNER.certificate], NOW)


@settings(max_examples=300)
@given(st.data())
def test_a_mutation_yields_the_signed_octets_or_an_as2_error(data: st.DataObject) -> None:
    headers, original = parts_of(sign(ENTITY, SIGNER))
    body = bytearray(original)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(body)))
        body[at : at + data.draw(st.integers(0, 40))] = data.draw(st.binary(max_size=8))
    try:
        signed = verify_detached(headers, bytes(body), [SIGNER.certificate], NOW)
    except AS2Refused:
        return
    assert signed.replace(b"\r", b"") == ENTITY.replace(b"\r", b"")  # lone line feeds are taken as CRLF


@settings(max_examples=200)
@given(content_type=st.text(max_size=60), body=st.binary(max_size=400))
def test_anything_else_raises_an_as2_error(content_type: str, body: bytes) -> None:
    for headers in ((("Content-Type", content_type),), (("Content-Type", f"multipart/signed; {content_type}"),)):
        with pytest.raises(AS2Refused):
            verify_detached(headers, body, [SIGNER.certificate], NOW)
