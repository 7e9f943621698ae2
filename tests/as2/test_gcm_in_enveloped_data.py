"""AES-GCM in EnvelopedData, with the tag behind the ciphertext, as mendelson, libas2 and phase2 send it."""

import os
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from mtlsd.as2.agreement import Agreement
from mtlsd.as2.cms import reader
from mtlsd.as2.cms.decrypt import GCM, UNSUPPORTED
from mtlsd.as2.cms.der import context, encode_integer, encode_oid
from mtlsd.as2.cms.encrypt import _recipient_info as recipient_info
from mtlsd.errors import AS2CipherUnsupported, AS2DecryptFailed, AS2Refused, AS2SecurityTooLow
from mtlsd.pki.ber import OCTET_STRING, SEQUENCE, SET, encode
from mtlsd.pki.relaxations import Relax
from tests.as2.test_receiver import NOTHING, agreement, receive
from tests.support import messages
from tests.support.messages import EDI, build, key_pair

EXAMPLE = key_pair("EXAMPLE")
LENGTHS = {each.name: each.key_length for each in GCM.values()}
OIDS = {each.name: oid for oid, each in GCM.items()}
ABSENT = None


def envelope(
    content: bytes,
    *,
    cipher: str = "aes256-gcm",
    oid: str = "",
    icv_length: int | bytes | None = 16,
    tag: int = 16,
    piece: int = 0,
    change: int | None = None,
) -> bytes:
    """The entity; `piece` makes a BER octet string of such pieces, `change` flips a bit of ciphertext and tag."""
    key, nonce = os.urandom(LENGTHS[cipher]), os.urandom(12)
    sealed = bytearray(AESGCM(key).encrypt(nonce, content, None))
    del sealed[len(content) + tag :]
    if change is not None:
        sealed[change % len(sealed)] ^= 1
    parameters = encode(OCTET_STRING, nonce)
    if isinstance(icv_length, bytes):
        parameters += icv_length
    elif icv_length is not ABSENT:
        parameters += encode_integer(icv_length)
    algorithm = encode(SEQUENCE, encode_oid(oid or OIDS[cipher]), encode(SEQUENCE, parameters))
    pieces = [bytes(sealed[at : at + piece]) for at in range(0, len(sealed), piece)] if piece else []
    octets = (
        encode(context(0), *(encode(OCTET_STRING, each) for each in pieces))
        if piece
        else encode(context(0, constructed=False), bytes(sealed))
    )
    version, recipient = recipient_info(key, EXAMPLE.certificate, None)
    encrypted = encode(SEQUENCE, encode_oid(reader.DATA), algorithm, octets)
    body = encode(SEQUENCE, encode_integer(version), encode(SET, recipient), encrypted)
    return encode(SEQUENCE, encode_oid(reader.ENVELOPED_DATA), encode(context(0), body))


def opened(cms: bytes, chunk: int = 1 << 20, *, relaxed: bool = True, kind: str = "enveloped-data") -> bytes:
    return receive(messages.message(messages.smime(kind, cms)), agreed(relaxed=relaxed), chunk)[1]


def agreed(*, relaxed: bool) -> Agreement:
    relax = frozenset({Relax.GCM_IN_ENVELOPED_DATA}) if relaxed else frozenset[str]()
    return agreement(NOTHING, relax)


@pytest.mark.parametrize("cipher", LENGTHS)
@pytest.mark.parametrize("piece", [0, 1, 15, 16, 1000])
@pytest.mark.parametrize("chunk", [1, 100, 1 << 20])
def test_relax_gcm_in_enveloped_data(cipher: str, piece: int, chunk: int) -> None:
    assert opened(envelope(build("s"), cipher=cipher, piece=piece), chunk) == EDI


@pytest.mark.parametrize("kind", ["enveloped-data", "authEnveloped-data", "authenveloped-data"])
def test_the_object_identifier_decides_and_not_the_header(kind: str) -> None:
    """mendelson calls it authEnveloped-data."""
    assert opened(envelope(build("s")), kind=kind) == EDI


def test_without_the_relaxation_both_sides_are_told_what_to_do() -> None:
    with pytest.raises(AS2SecurityTooLow, match="gcm-in-enveloped-data") as refused:
        opened(envelope(build("s")), relaxed=False)
    assert "AuthEnvelopedData (RFC 5084) or AES-CBC" in refused.value.said
    assert "aes256-gcm in EnvelopedData" in refused.value.said


@pytest.mark.parametrize("tag", [12, 13, 14, 15, 16])
def test_the_tag_has_the_length_that_the_parameters_say(tag: int) -> None:
    assert opened(envelope(build("s"), icv_length=tag, tag=tag)) == EDI


def test_the_tag_has_16_octets_if_the_parameters_do_not_say() -> None:
    assert opened(envelope(build("s"), icv_length=ABSENT)) == EDI
    with pytest.raises(AS2DecryptFailed):
        opened(envelope(build("s"), icv_length=ABSENT, tag=12))


@pytest.mark.parametrize("length", [0, 4, 8, 11, 17, 32, -1])
def test_other_lengths_are_refused(length: int) -> None:
    with pytest.raises(AS2DecryptFailed, match="tag has a length"):
        opened(envelope(build("s"), icv_length=length, tag=min(max(length, 0), 16)))


def test_a_length_that_is_no_integer_is_refused() -> None:
    with pytest.raises(AS2Refused):
        opened(envelope(build("s"), icv_length=encode(OCTET_STRING, b"\x10")))


@pytest.mark.parametrize("change", [0, 10, -17, -16, -1])
def test_nothing_that_was_changed_is_accepted(change: int) -> None:
    """Whether the content or the tag was changed, the words are the same."""
    with pytest.raises(AS2DecryptFailed) as refused:
        opened(envelope(build(""), change=change))
    assert refused.value.said == AS2DecryptFailed.advice


@pytest.mark.parametrize("content", [b"", b"\r\n"])
def test_an_empty_document_is_one(content: bytes) -> None:
    assert opened(envelope(content)) == b""


@pytest.mark.parametrize("count", [0, 1, 15])
def test_less_than_a_tag_is_refused(count: int) -> None:
    with pytest.raises(AS2DecryptFailed):
        opened(envelope(b"", tag=count))


@given(content=st.binary(max_size=200), piece=st.integers(0, 40), chunk=st.integers(1, 60), at=st.integers(0, 500))
def test_any_content_is_read_whole_or_refused_whole(content: bytes, piece: int, chunk: int, at: int) -> None:
    entity = messages.entity(content)
    assert opened(envelope(entity, piece=piece), chunk) == content
    with pytest.raises(AS2DecryptFailed):
        opened(envelope(entity, piece=piece, change=at), chunk)


@pytest.mark.parametrize(("oid", "name"), [*UNSUPPORTED.items(), ("1.2.3.4", "1.2.3.4")])
@pytest.mark.parametrize("relaxed", [True, False])
def test_what_is_not_supported_is_named(oid: str, name: str, relaxed: bool) -> None:
    with pytest.raises(AS2CipherUnsupported) as refused:
        opened(envelope(build("s"), oid=oid), relaxed=relaxed)
    assert f"{name} in EnvelopedData, which is not supported" in refused.value.said


def test_a_message_that_must_be_signed_and_is_not_is_refused() -> None:
    agreed_to_sign = replace(agreed(relaxed=True), require=agreement().require)
    with pytest.raises(AS2SecurityTooLow, match="not signed"):  # nobody without the key made it, so no oracle
        receive(messages.message(messages.smime("enveloped-data", envelope(build("")))), agreed_to_sign)
