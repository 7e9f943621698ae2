"""A document that begins with a MIME header: an S/MIME entity is read or refused, and everything else is delivered."""

import base64
import hashlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtlsd.as2.agreement import Agreement
from mtlsd.as2.mime.document import MAX_BLANK, DocumentBeginning
from mtlsd.as2.receiver import VerifiedMessage
from mtlsd.errors import (
    AS2DecryptFailed,
    AS2MIMEMalformed,
    AS2SecurityTooLow,
    AS2SignatureBad,
    PeerError,
)
from mtlsd.partners.partner_toml import MICProfile, Require
from tests.as2.test_receiver import NOTHING, agreement, receive
from tests.support import messages
from tests.support.messages import EDI, build, key_pair, message

ACME, EXAMPLE = key_pair("ACME"), key_pair("EXAMPLE")
CONSENT = "application/EDI-Consent"
SIGN, ENCRYPT = frozenset({Require.SIGN}), frozenset({Require.ENCRYPT})

# What mendelson sends if it only compresses: the Content-Type of the document, then the entity with its header.
HELD = ["c", "s", "cs", "sc", "E", "cE", "sE", "csE", "scE"]


def holding(entity: bytes, content_type: str = CONSENT, **more: str) -> bytes:
    """A document of this type, in whose place a product put an entity."""
    return messages.entity(entity, content_type, **more)


def signed(entity: bytes) -> bytes:
    """Signed by the partner, with a boundary of its own: the document may be a multipart/signed."""
    return messages.multipart_signed(entity, messages.signed_data(entity, ACME), boundary="outside")


def opaque() -> bytes:
    der = messages.openssl("-sign", "-nodetach", stdin=messages.entity(), signer=ACME)
    return messages.smime("signed-data", der)


def received(entity: bytes, agreed: Agreement | None = None, chunk: int = 1 << 20) -> tuple[VerifiedMessage, bytes]:
    return receive(message(entity), agreed or agreement(NOTHING), chunk)


# --- Read -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layers", HELD)
@pytest.mark.parametrize("chunk", [1, 7, 1 << 20])
def test_row_an_entity_in_the_place_of_the_document_is_read(layers: str, chunk: int) -> None:
    """All but the way it is wrapped is as in the same message without that: the layers, the signer, the MIC."""
    verified, payload = received(holding(build(layers)), chunk=chunk)
    usual, _ = received(build(layers))
    assert payload == EDI
    assert verified == usual


def test_a_signature_with_its_content_inside_is_read() -> None:
    verified, payload = received(holding(opaque()), agreement(SIGN))
    assert (payload, verified.signer) == (EDI, ACME.certificate)


@pytest.mark.parametrize("profile", MICProfile)
def test_the_mic_is_the_one_of_a_compressed_message(profile: MICProfile) -> None:
    usual = agreement(NOTHING)
    agreed = replace(usual, partner=replace(usual.partner, mic_profile=profile))
    assert received(holding(build("c")), agreed)[0].mic == received(build("c"), agreed)[0].mic


def test_the_mic_by_the_rfc_is_over_the_decompressed_entity() -> None:
    assert received(holding(build("c")))[0].mic.digest == hashlib.sha256(build("")).digest()


@pytest.mark.parametrize(
    "header",
    [
        b"Content-Type: application/pkcs7-mime; smime-type=compressed-data; name=smime.p7z\r\n\r\n",
        b"content-type:application/x-pkcs7-mime\n\n",
        b"MIME-Version: 1.0\r\nContent-Type: APPLICATION/PKCS7-MIME\r\nContent-Transfer-Encoding: binary\r\n\r\n",
        b"Content-Disposition: attachment\r\nContent-Type: application/pkcs7-mime;\r\n\tname=x\r\n\r\n",
        b"MIME-Version: 1.0\r\nMessage-ID: <1@x>\r\nContent-Type: application/pkcs7-mime\r\n\r\n",
        b"\r\nContent-Type: application/pkcs7-mime\r\n\r\n",
        b"\n\r\n\nContent-Type: application/pkcs7-mime\r\n\r\n",
    ],
)
@pytest.mark.parametrize("encode", [False, True], ids=["binary", "base64"])
def test_any_header_of_such_an_entity_is_found(header: bytes, encode: bool) -> None:
    der = messages.split(build("c"))[1]
    entity = holding(header + (base64.encodebytes(der) if encode else der))
    assert received(entity, chunk=5)[1] == EDI


# --- What the partner has to do is still done -------------------------------------------------------------------------


@pytest.mark.parametrize("layers", ["", "c", "E", "cE"])
def test_a_partner_that_must_sign_is_refused_without_a_signature(layers: str) -> None:
    with pytest.raises((AS2SecurityTooLow, AS2DecryptFailed)):
        received(holding(build(layers)), agreement(SIGN))


@pytest.mark.parametrize("layers", ["c", "s", "cs"])
def test_a_partner_that_must_encrypt_is_refused_without_an_envelope(layers: str) -> None:
    with pytest.raises(AS2SecurityTooLow):
        received(holding(build(layers)), agreement(ENCRYPT))


@pytest.mark.parametrize("layers", ["s", "sE", "csE"])
def test_a_partner_that_must_sign_is_served_with_a_signature(layers: str) -> None:
    assert received(holding(build(layers)), agreement(SIGN))[1] == EDI


def test_a_signature_that_does_not_verify_is_refused() -> None:
    with pytest.raises(AS2SignatureBad):
        received(holding(build("s").replace(b"ORDERS", b"INVOIC")))


def test_an_entity_that_is_none_is_refused() -> None:
    with pytest.raises(AS2MIMEMalformed):
        received(holding(b"Content-Type: application/pkcs7-mime\r\n\r\n" + EDI))


def test_an_entity_inside_an_entity_of_the_same_kind_is_refused() -> None:
    with pytest.raises(AS2MIMEMalformed):
        received(holding(holding(build("c"), "application/pkcs7-mime") + b"\r\n"))


@pytest.mark.parametrize(("held", "around"), [("c", "s"), ("s", "c"), ("sc", "E"), ("s", "E"), ("c", "sE")])
def test_inside_a_layer_an_entity_is_read_as_well(held: str, around: str) -> None:
    entity = holding(build(held))
    for layer in around:
        if layer == "c":
            entity = messages.compress(entity)
        else:
            entity = signed(entity) if layer == "s" else messages.encrypt(entity, EXAMPLE)
    verified, payload = received(entity, chunk=9)
    assert (payload, len(verified.layers)) == (EDI, len(held + around))


@pytest.mark.parametrize(("held", "around"), [("s", "s"), ("E", "s"), ("E", "E")])
def test_layers_in_an_order_that_as2_lacks_are_refused(held: str, around: str) -> None:
    entity = holding(build(held))
    with pytest.raises((AS2MIMEMalformed, AS2DecryptFailed)):
        received(signed(entity) if around == "s" else messages.encrypt(entity, EXAMPLE))


# --- Refused: nobody would open it ------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["base64", "quoted-printable"])
@pytest.mark.parametrize("sign", [False, True])
def test_a_document_that_holds_an_entity_behind_a_transfer_encoding_is_refused(encoding: str, sign: bool) -> None:
    held = build("s")
    encoded = base64.encodebytes(held) if encoding == "base64" else held.replace(b"=", b"=3D")
    entity = holding(encoded, Content_Transfer_Encoding=encoding)
    with pytest.raises(AS2MIMEMalformed, match="was not opened"):
        received(signed(entity) if sign else entity, chunk=3)


@pytest.mark.parametrize("held", HELD)
def test_a_message_that_is_passed_on_has_no_entity_in_the_place_of_the_document(held: str) -> None:
    """The backend goes by the header of the message, and would take the entity for the document."""
    passed_on = replace(agreement(NOTHING), passed_on=True)
    assert received(build(held), passed_on)[1] == EDI
    with pytest.raises(AS2MIMEMalformed, match="was not opened"):
        received(holding(build(held)), passed_on)


# --- Delivered as they are --------------------------------------------------------------------------------------------

MAIL = b"From: a@acme.example\r\nDate: Sat, 21 Nov 2026 12:00:00 GMT\r\nMIME-Version: 1.0\r\n"
DOCUMENTS = {
    "a mail": MAIL + build("s"),
    "a mail whose MIME fields come first": b"MIME-Version: 1.0\r\nFrom: a@acme.example\r\n" + build("s"),
    "a mail that a server received": b"Content-Language: en\r\nReceived: from x by y\r\n" + build("c"),
    "another header": b"Content-Type: application/EDIFACT\r\n\r\n" + EDI,
    "a multipart": b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n" + build("s") + b"\r\n--b--\r\n",
    "a header that does not begin": b"\x20Content-Type: application/pkcs7-mime\r\n\r\n" + EDI,
    "a text": b"Dear all,\r\nContent-Type: application/pkcs7-mime\r\n\r\n" + EDI,
    "a header and no body": b"Content-Type: text/plain",
    "the beginning of a header": b"Conten",
    "a long text of fields": b"Content-Type: text/plain\r\n" + b"key: value\r\n" * 150,
    "many fields": b"Key: value\r\n" * 500 + b"\r\n",
    "EDIFACT with its separators": b"UNA:+.? '\r\n" + EDI * 5000,
    "blank lines": b"\r\n" * 5000,
    "blank lines, then text": b"\r\n" * (MAX_BLANK // 2) + b"Content",
    "nothing": b"",
}


@pytest.mark.parametrize("name", DOCUMENTS)
@pytest.mark.parametrize("layers", ["", "s", "sE"])
@pytest.mark.parametrize("chunk", [1, 1 << 20])
def test_a_document_is_delivered_as_it_is(name: str, layers: str, chunk: int) -> None:
    document = DOCUMENTS[name]
    if chunk == 1 and len(document) > 20_000:
        document = document[:20_000]
    entity = messages.entity(document)
    if "s" in layers:
        entity = signed(entity)
    if "E" in layers:
        entity = messages.encrypt(entity, EXAMPLE)
    assert received(entity, chunk=chunk)[1] == document


@pytest.mark.parametrize("content_type", ["message/rfc822", "MESSAGE/RFC822; name=x.eml", "message/global"])
@pytest.mark.parametrize("sign", [False, True])
def test_a_mail_by_its_media_type_is_delivered_as_it_is(content_type: str, sign: bool) -> None:
    mail = messages.entity(build("s"), content_type)
    assert received(signed(mail) if sign else mail, chunk=11)[1] == build("s")


# --- Any octets -------------------------------------------------------------------------------------------------------

LINES = st.sampled_from(
    [
        b"Content-Type: application/pkcs7-mime",
        b"Content-Type: multipart/signed",
        b"Content-Type: text/plain",
        b"MIME-Version: 1.0",
        b"From: x",
        b"Content-",
        b" folded",
        b"text",
        b"",
        b"\r",
        b"\xff",
    ]
)
OCTETS = st.one_of(st.binary(max_size=200), st.lists(LINES, max_size=8).map(b"\r\n".join))


def beginning(pieces: list[bytes]) -> DocumentBeginning:
    found = DocumentBeginning()
    for piece in pieces:
        found.write(piece)
    found.close()
    return found


@given(data=OCTETS, chunk=st.integers(1, 60))
def test_pieces_do_not_change_what_is_found(data: bytes, chunk: int) -> None:
    whole = beginning([data])
    pieces = beginning([data[at : at + chunk] for at in range(0, len(data), chunk)])
    assert whole.is_known
    assert pieces.is_known
    assert (whole.entity is None) == (pieces.entity is None)
    if whole.entity and pieces.entity:
        assert whole.entity[0] == pieces.entity[0]


@given(data=OCTETS, layers=st.sampled_from(["", "s"]), chunk=st.integers(1, 60))
def test_a_document_is_delivered_whole_or_refused_by_us(data: bytes, layers: str, chunk: int) -> None:
    entity = messages.entity(data)
    try:
        _, payload = received(signed(entity) if layers else entity, chunk=chunk)
    except PeerError:
        assert b"application/pkcs7-mime" in data or b"multipart/signed" in data
    else:
        assert payload == data
