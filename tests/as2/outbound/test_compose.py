"""Every message that the test partner can make: our receiver takes it, and so do others where they can."""

import base64
import hashlib
from collections.abc import Callable
from dataclasses import replace

import pytest
from asn1crypto import cms
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from hypothesis import given
from hypothesis import strategies as st

from mtlsd.as2.agreement import Agreement, MessageLimits
from mtlsd.as2.cms.encrypt import ENCRYPT_ALGORITHMS, KEY_ALGORITHMS
from mtlsd.as2.cms.sign import Padding
from mtlsd.as2.headers import AS2Headers, algorithm_of
from mtlsd.as2.mic import DIGESTS
from mtlsd.as2.outbound.compose import BuiltMessage, compose
from mtlsd.as2.outbound.draft import Compression, Draft, DraftDocument, Encryption, MDNRequest, Signing
from mtlsd.as2.receiver import Receiver, VerifiedMessage
from mtlsd.partners.ours.organization import Organization
from mtlsd.pki.certificate import Certificate
from mtlsd.pki.key_pair import KeyPair
from tests.support import pki
from tests.support.messages import EDI, NOW, curve_pair, key_pair, openssl, partner
from tests.support.pyas2_oracle import Identity, openssl_decrypt, openssl_verify, organization, pyas2_parse
from tests.support.pyas2_oracle import partner as pyas2_partner

US, THEM = key_pair("ACME"), key_pair("EXAMPLE")
CURVE, THEIR_CURVE = curve_pair("ACME on a curve"), curve_pair("EXAMPLE on a curve", "secp384r1")
ORDER = DraftDocument(EDI + b"\x00\xff lone \n and \r\n--", "application/edifact", "order.edi")
PLAIN = Draft("ACME", "EXAMPLE", "<1@acme.example>", (ORDER,))
FULL = replace(PLAIN, signing=Signing(US), encryption=Encryption(THEM.certificate))
LIMITS = MessageLimits(10**6, 1000)


def composed(draft: Draft) -> BuiltMessage:
    return compose(draft, now=NOW.timestamp())


def received(message: BuiltMessage) -> tuple[VerifiedMessage, bytes]:
    """What our receiver makes of it, and the payload."""
    ours = Organization("EXAMPLE", "EXAMPLE", THEM, (THEM, THEIR_CURVE))
    them = partner(certificates=(US.certificate, CURVE.certificate), relax=frozenset({"sha1", "3des"}))
    headers = AS2Headers.parse(message.headers)
    receiver = Receiver(headers, Agreement(ours, them, frozenset(), is_proven=True), LIMITS, NOW)
    receiver.receive_data(message.body)
    payload = b"".join(event.data for event in receiver.events())
    verified = receiver.finish()
    assert isinstance(verified, VerifiedMessage)
    return verified, payload


def split(entity: bytes) -> tuple[dict[str, str], bytes]:
    """The header and the body, as a MIME entity has them."""
    head, _, body = entity.partition(b"\r\n\r\n")
    return dict(line.split(": ", 1) for line in head.decode().split("\r\n")), body


# --- Every combination ----------------------------------------------------------------------------------------

SIGNINGS: dict[str, Signing | None] = {
    "": None,
    **{f"rsa-{digest}": Signing(US, digest) for digest in DIGESTS},
    **{f"pss-{digest}": Signing(US, digest, Padding.PSS) for digest in DIGESTS},
    **{f"ecdsa-{digest}": Signing(CURVE, digest) for digest in DIGESTS},
    **{f"opaque-{name}": Signing(pair, opaque=True) for name, pair in (("rsa", US), ("ecdsa", CURVE))},
}
ENCRYPTIONS: dict[str, Encryption | None] = {
    "": None,
    **{cipher: Encryption(THEM.certificate, cipher) for cipher in ENCRYPT_ALGORITHMS},
    **{
        f"{how}-{cipher}": Encryption((THEIR_CURVE if how.startswith("ecdh") else THEM).certificate, cipher, how)
        for how in KEY_ALGORITHMS
        for cipher in ("aes128-cbc", "aes192-gcm", "aes256-cbc")
    },
}


@pytest.mark.parametrize("compression", Compression)
@pytest.mark.parametrize("encryption", ["", "aes256-cbc", "aes128-gcm"])
@pytest.mark.parametrize("signing", ["", "rsa-sha256", "opaque-rsa", "ecdsa-sha384"])
def test_every_nest_of_layers_is_received(signing: str, compression: Compression, encryption: str) -> None:
    draft = replace(PLAIN, signing=SIGNINGS[signing], compression=compression, encryption=ENCRYPTIONS[encryption])
    message = composed(draft)
    verified, payload = received(message)
    assert payload == ORDER.data
    assert (verified.signer is not None, verified.compressed) == (bool(signing), compression is not Compression.NONE)
    assert verified.cipher == (encryption or None)
    assert verified.mic.value == message.mic(verified.mic.algorithm)
    assert (verified.content_type, verified.disposition) == ("application/edifact", 'attachment; filename="order.edi"')


@pytest.mark.parametrize("signing", [*filter(None, SIGNINGS)])
def test_every_signature_is_received(signing: str) -> None:
    message = composed(replace(PLAIN, signing=SIGNINGS[signing]))
    verified, payload = received(message)
    assert payload == ORDER.data
    made_by = SIGNINGS[signing]
    assert made_by
    assert verified.signer == made_by.pair.certificate
    assert verified.mic.value == message.mic(verified.mic.algorithm)


@pytest.mark.parametrize("encryption", [*filter(None, ENCRYPTIONS)])
def test_every_envelope_is_received(encryption: str) -> None:
    draft = replace(PLAIN, signing=Signing(US), encryption=ENCRYPTIONS[encryption])
    assert received(composed(draft))[1] == ORDER.data


@pytest.mark.parametrize("micalg", DIGESTS)
@pytest.mark.parametrize("signing", ["", "rsa-sha256"])
def test_the_mic_is_that_of_the_receiver_with_every_digest(signing: str, micalg: str) -> None:
    for encryption in ("", "aes256-cbc"):
        draft = replace(PLAIN, signing=SIGNINGS[signing], encryption=ENCRYPTIONS[encryption], micalg=micalg)
        mic = received(message := composed(draft))[0].mic
        assert (mic.algorithm, mic.value) == (micalg, message.mic(micalg))


@pytest.mark.parametrize("compression", Compression)
@pytest.mark.parametrize("signing", ["", "rsa-sha256"])
def test_several_documents_are_one_multipart(signing: str, compression: Compression) -> None:
    drawing = DraftDocument(b"%PDF\n\x00\r\n", "application/pdf", "drawing.pdf")
    message = composed(replace(PLAIN, documents=(ORDER, drawing), signing=SIGNINGS[signing], compression=compression))
    verified, payload = received(message)
    assert verified.content_type.startswith('multipart/related; type="application/edifact"; boundary="')
    assert verified.mic.value == message.mic("sha256")
    boundary = verified.content_type.split('"')[-2].encode()
    assert [part.partition(b"\r\n\r\n")[2] for part in payload.split(b"--" + boundary)[1:3]] == [
        ORDER.data + b"\r\n",
        drawing.data + b"\r\n",
    ]


@given(st.binary(max_size=300))
def test_a_document_arrives_untouched(data: bytes) -> None:
    draft = replace(FULL, documents=(DraftDocument(data, "text/plain", "x"),), compression=Compression.BEFORE)
    assert received(composed(draft))[1] == data


# --- What others make of them ---------------------------------------------------------------------------------


def identity(pair: KeyPair, name: str) -> Identity:
    assert isinstance(pair.private_key, RSAPrivateKey)
    return Identity(name, pair.private_key, pair.certificate.x509)


@pytest.mark.parametrize("compression", [Compression.NONE, Compression.BEFORE])
@pytest.mark.parametrize("cipher", [None, "3des", "aes128-cbc", "aes192-cbc", "aes256-cbc"])
@pytest.mark.parametrize("digest", [None, *DIGESTS])
def test_pyas2lib_receives_what_it_knows(digest: str | None, cipher: str | None, compression: Compression) -> None:
    text = DraftDocument(EDI, "application/edifact", "order.edi")
    signing = Signing(US, digest) if digest else None
    encryption = Encryption(THEM.certificate, cipher) if cipher else None
    message = composed(
        replace(PLAIN, documents=(text,), signing=signing, compression=compression, encryption=encryption)
    )
    us, them = identity(US, "ACME"), identity(THEM, "EXAMPLE")
    found = pyas2_parse(message.headers, message.body, organization(them), pyas2_partner(us))
    assert (found.status, found.error, found.payload) == ("processed", None, EDI)
    achieved = (found.signed, found.encrypted, found.compressed)
    assert achieved == (digest is not None, cipher is not None, compression is not Compression.NONE)
    assert found.mic == (message.mic(digest) if digest else None)


@pytest.mark.parametrize("signing", [name for name in SIGNINGS if name and not name.startswith("opaque")])
def test_openssl_verifies_every_detached_signature(signing: str) -> None:
    made_by = SIGNINGS[signing]
    assert made_by
    message = composed(replace(PLAIN, signing=made_by))
    signer = Identity("ACME", made_by.pair.private_key, made_by.pair.certificate.x509)  # type: ignore[arg-type]
    entity = openssl_verify(message.headers, message.body, signer)
    assert message.mic(made_by.digest) == base64.b64encode(hashlib.new(made_by.digest, entity).digest()).decode()
    assert split(entity)[1] == ORDER.data


@pytest.mark.parametrize("encryption", [*filter(None, ENCRYPTIONS)])
def test_openssl_opens_every_envelope(encryption: str) -> None:
    to = ENCRYPTIONS[encryption]
    assert to
    pair = THEM if to.recipient == THEM.certificate else THEIR_CURVE
    message = composed(replace(PLAIN, encryption=to))
    recipient = Identity("EXAMPLE", pair.private_key, pair.certificate.x509)  # type: ignore[arg-type]
    assert split(openssl_decrypt(message.body, recipient))[1] == ORDER.data


@pytest.mark.parametrize("pair", [US, CURVE], ids=["rsa", "ecdsa"])
def test_openssl_verifies_an_opaque_signature(pair: KeyPair) -> None:
    message = composed(replace(PLAIN, signing=Signing(pair, opaque=True)))
    entity = openssl("-verify", "-inform", "DER", "-noverify", stdin=message.body)
    assert split(entity)[1] == ORDER.data


def test_asn1crypto_reads_what_is_compressed() -> None:
    message = composed(replace(PLAIN, compression=Compression.BEFORE))
    assert split(cms.ContentInfo.load(message.body)["content"].decompressed)[1] == ORDER.data


# --- The header -----------------------------------------------------------------------------------------------


def header(**changes: object) -> dict[str, str]:
    return dict(composed(replace(FULL, **changes)).headers)  # type: ignore[arg-type]


def test_the_headers_are_as2s_own_and_unfolded() -> None:
    found = header(as2_from="A ME")
    assert (found["AS2-From"], found["AS2-To"], found["AS2-Version"]) == ('"A ME"', "EXAMPLE", "1.2")
    assert (found["MIME-Version"], found["Subject"]) == ("1.0", "AS2 message")
    assert found["Date"] == "Sat, 21 Nov 2026 12:00:00 GMT"
    assert not any("\n" in value or "\r" in value for value in found.values())


@pytest.mark.parametrize("message_id", ["<a@b>", "no-brackets", "<spaces and (parens)@b>", f"<{'x' * 300}@b>"])
def test_the_message_id_goes_out_as_given(message_id: str) -> None:
    assert header(message_id=message_id)["Message-ID"] == message_id


@pytest.mark.parametrize("mdn", ["none", "unsigned", "signed"])
@pytest.mark.parametrize("url", [None, "http://acme.example/mdn"])
def test_the_mdn_is_asked_for_as_told(mdn: MDNRequest, url: str | None) -> None:
    receipt = AS2Headers.parse(composed(replace(FULL, mdn=mdn, micalg="sha512", receipt_url=url)).headers).receipt
    assert (receipt is not None) == (mdn != "none")
    assert receipt is None or receipt.target == url
    assert receipt is None or receipt.signed == (mdn == "signed")
    assert receipt is None or [algorithm_of(label) for _, label in receipt.algorithms] == ["sha512"] * receipt.signed


def test_a_subject_and_a_file_name_in_any_language_are_encoded() -> None:
    order = replace(ORDER, filename="Lieferschein für März.edi")
    found = header(subject="Grüße " * 40, documents=(order,), signing=None, encryption=None)
    assert found["Subject"].startswith("=?utf-8?")
    assert found["Content-Disposition"].endswith("filename*=utf-8''Lieferschein%20f%C3%BCr%20M%C3%A4rz.edi")
    assert all(value.isascii() and value.isprintable() for value in found.values())


def test_a_file_name_with_quotes_is_quoted() -> None:
    order = replace(ORDER, filename='a "b" \\ c.edi')
    assert header(documents=(order,), encryption=None, signing=None)["Content-Disposition"] == (
        'attachment; filename="a \\"b\\" \\\\ c.edi"'
    )


# --- What fits no message -------------------------------------------------------------------------------------

WRONG: dict[str, Callable[[], Draft]] = {
    "a subject of two lines": lambda: replace(FULL, subject="a\r\nX-Injected: b"),
    "a file name of two lines": lambda: replace(FULL, documents=(replace(ORDER, filename="a\nb"),)),
    "a type of two lines": lambda: replace(FULL, documents=(replace(ORDER, content_type="text/plain\r\nX: y"),)),
    "a Message-ID of two lines": lambda: replace(FULL, message_id="<a\r\n@b>"),
    "a Message-ID not in ASCII": lambda: replace(FULL, message_id="<ü@b>"),
    "no Message-ID": lambda: replace(FULL, message_id=""),
    "a name of two lines": lambda: replace(FULL, as2_to="a\nb"),
    "a URL of two lines": lambda: replace(FULL, receipt_url="http://a\r\nX: y"),
    "a digest": lambda: replace(FULL, signing=Signing(US, "md5")),
    "a MIC": lambda: replace(FULL, micalg="md5"),
    "a cipher": lambda: replace(FULL, encryption=Encryption(THEM.certificate, "rc2")),
    "a key encryption": lambda: replace(FULL, encryption=Encryption(THEM.certificate, key_algorithm="rsa-kem")),
    "key agreement with RSA": lambda: replace(FULL, encryption=_to(THEM.certificate, "ecdh-sha256")),
    "key transport with a curve": lambda: replace(FULL, encryption=_to(CURVE.certificate, "rsa")),
    "encryption to Ed25519": lambda: replace(FULL, encryption=_to(_ed25519().certificate, None)),
    "a signature by Ed25519": lambda: replace(FULL, signing=Signing(_ed25519())),
    "PSS on a curve": lambda: replace(FULL, signing=Signing(CURVE, rsa_padding=Padding.PSS)),
}


def _to(certificate: Certificate, how: str | None) -> Encryption:
    return Encryption(certificate, key_algorithm=how)


def _ed25519() -> KeyPair:
    issued = pki.issue("Ed25519", key=ed25519.Ed25519PrivateKey.generate())
    return KeyPair(issued.certificate, (), issued.key)


@pytest.mark.parametrize("name", WRONG)
def test_what_fits_no_message_is_a_value_error(name: str) -> None:
    with pytest.raises(ValueError, match=r"^unknown|not the value|does not support|RSA"):
        composed(WRONG[name]())
