"""Every algorithm of CMS that we serve, on what `openssl cms` builds, and what becomes of it when it is damaged."""

import hashlib
from dataclasses import replace

import pytest

from mtlsd.as2.agreement import Agreement
from mtlsd.as2.headers import AS2Name
from mtlsd.as2.mdn.build import Receipt, build_mdn
from mtlsd.as2.mdn.disposition import Disposition
from mtlsd.errors import AS2DecryptFailed, AS2SecurityTooLow, AS2SignatureBad, AS2SignerUnknown, PeerError
from mtlsd.partners.partner_toml import Require
from mtlsd.pki.key_pair import KeyPair
from tests.as2.test_receiver import NOTHING, receive
from tests.support import messages
from tests.support.messages import EDI, build, curve_pair, key_pair, message

SIGNED = frozenset({Require.SIGN})
ENTITY = messages.entity()


def agreed(sender: KeyPair | None = None, us: KeyPair | None = None, require: frozenset[Require] = SIGNED) -> Agreement:
    sender, us = sender or key_pair("ACME"), us or key_pair("EXAMPLE")
    organization = replace(messages.organization(), signing=us, decryption=(us,))
    return Agreement(organization, messages.partner(certificates=(sender.certificate,)), require, is_proven=True)


MD512 = ["-keyopt", "rsa_oaep_md:sha512", "-keyopt", "rsa_mgf1_md:sha256"]
PSS = ["-keyopt", "rsa_padding_mode:pss"]
OAEP = ["-keyopt", "rsa_padding_mode:oaep"]
SIGNATURES = {
    "PSS, SHA-256": (key_pair("ACME"), "sha256", PSS),
    "PSS, SHA-512": (key_pair("ACME"), "sha512", PSS),
    "PSS, salt of 20": (key_pair("ACME"), "sha256", [*PSS, "-keyopt", "rsa_pss_saltlen:20"]),
    "PSS, no attributes": (key_pair("ACME"), "sha256", [*PSS, "-noattr"]),
    "ECDSA, P-256": (curve_pair("ACME"), "sha256", []),
    "ECDSA, P-384": (curve_pair("ACME", "secp384r1"), "sha384", []),
    "ECDSA, no attributes": (curve_pair("ACME"), "sha256", ["-noattr"]),
    "no certificate inside": (key_pair("ACME"), "sha256", ["-nocerts"]),
}  # fmt: skip


@pytest.mark.parametrize("name", SIGNATURES)
def test_a_signature_verifies_and_a_changed_content_does_not(name: str) -> None:
    pair, digest, options = SIGNATURES[name]
    signature = messages.signed_data_by_openssl(ENTITY, pair, digest, *options)
    whole = messages.multipart_signed(ENTITY, signature, micalg=digest)
    verified, payload = receive(message(whole, mdn=None), agreed(pair))
    assert (payload, verified.mic.digest) == (EDI, hashlib.new(digest, ENTITY).digest())
    with pytest.raises((AS2SignatureBad, AS2SignerUnknown)):
        receive(message(whole.replace(b"ORDERS", b"ORDERZ")), agreed(pair))


@pytest.mark.parametrize("digest", ["sha256", "sha512"])
def test_pss_with_the_mask_of_java_is_named_as_such(digest: str) -> None:
    """Java's default: another digest for the message than for the mask generation function."""
    options = [*PSS, "-keyopt", "rsa_mgf1_md:sha1"]
    signature = messages.signed_data_by_openssl(ENTITY, key_pair("ACME"), digest, *options)
    with pytest.raises(AS2SecurityTooLow, match="SHA-1 in its mask generation function") as refused:
        receive(message(messages.multipart_signed(ENTITY, signature)), agreed())
    assert f"set MGF1 to {digest} (PSSParameterSpec)" in refused.value.said


@pytest.mark.parametrize(("digest", "name"), [("sha224", "SHA-224"), ("sha3-256", "SHA3-256"), ("md5", "MD5")])
def test_a_digest_that_is_not_supported_is_named(digest: str, name: str) -> None:
    signature = messages.signed_data_by_openssl(ENTITY, key_pair("ACME"), digest)
    with pytest.raises(AS2SecurityTooLow, match=f"the digest algorithm {name} is not supported: sign with"):
        receive(message(messages.multipart_signed(ENTITY, signature)), agreed())


@pytest.mark.parametrize("chunk", [1, 100, 1 << 20])
@pytest.mark.parametrize("stream", [[], ["-stream"]], ids=["DER", "BER"])
def test_a_signature_with_its_content_inside(stream: list[str], chunk: int) -> None:
    opaque = messages.signed_data_by_openssl(ENTITY, key_pair("ACME"), "sha384", "-nodetach", *stream)
    sent = message(messages.encrypt(messages.smime("signed-data", opaque), key_pair("EXAMPLE")), mdn=None)
    verified, payload = receive(sent, agreed(require=frozenset(Require)), chunk)
    assert payload == EDI
    assert verified.mic.digest == hashlib.sha384(ENTITY).digest()


def test_a_changed_content_inside_is_refused() -> None:
    opaque = messages.signed_data_by_openssl(ENTITY, key_pair("ACME"), "sha256", "-nodetach")
    changed = messages.smime("signed-data", opaque.replace(b"ORDERS", b"ORDERZ"))
    with pytest.raises(AS2SignatureBad):
        receive(message(changed), agreed())


def test_several_signers_of_whom_one_is_ours() -> None:
    signature = messages.signed_data_by_openssl(ENTITY, key_pair("MALLORY"), "sha256")
    both = messages.resign(signature, ENTITY, key_pair("ACME"))
    assert receive(message(messages.multipart_signed(ENTITY, both)), agreed())[0].signer == key_pair("ACME").certificate
    with pytest.raises(AS2SignerUnknown):
        receive(message(messages.multipart_signed(ENTITY, both)), agreed(key_pair("SOMEBODY")))


ENVELOPES = {
    "OAEP, SHA-1": (key_pair("EXAMPLE"), ["-aes256", *OAEP]),
    "OAEP, SHA-256": (key_pair("EXAMPLE"), ["-aes256", *OAEP, "-keyopt", "rsa_oaep_md:sha256"]),
    "OAEP, SHA-512": (key_pair("EXAMPLE"), ["-aes256", *OAEP, *MD512]),
    "ECDH, P-256": (curve_pair("EXAMPLE"), ["-aes256"]),
    "ECDH, P-384, SHA-384": (curve_pair("EXAMPLE", "secp384r1"), ["-aes128", "-keyopt", "ecdh_kdf_md:sha384"]),
    "ECDH by key identifier": (curve_pair("EXAMPLE"), ["-aes256", "-keyid"]),
    "AES-128-GCM": (key_pair("EXAMPLE"), ["-aes-128-gcm"]),
    "AES-192-GCM": (key_pair("EXAMPLE"), ["-aes-192-gcm"]),
    "AES-256-GCM": (key_pair("EXAMPLE"), ["-aes-256-gcm"]),
    "AES-256-GCM to a curve": (curve_pair("EXAMPLE"), ["-aes-256-gcm"]),
}  # fmt: skip


@pytest.mark.parametrize("name", ENVELOPES)
@pytest.mark.parametrize("chunk", [1, 1000])
def test_an_envelope_opens(name: str, chunk: int) -> None:
    us, options = ENVELOPES[name]
    enveloped = messages.openssl("-encrypt", *options, stdin=build("s"), recipient=us)
    verified, payload = receive(message(messages.smime("enveloped-data", enveloped)), agreed(us=us), chunk)
    assert payload == EDI
    assert verified.cipher is not None


@pytest.mark.parametrize("name", ENVELOPES)
@pytest.mark.parametrize("at", [-1, -5, -20, -200])
def test_a_damaged_envelope_is_a_failed_decryption(name: str, at: int) -> None:
    us, options = ENVELOPES[name]
    enveloped = bytearray(messages.openssl("-encrypt", *options, stdin=EDI * 20, recipient=us))
    enveloped[at] ^= 0x55
    try:
        _, payload = receive(
            message(messages.smime("enveloped-data", bytes(enveloped))), agreed(us=us, require=NOTHING)
        )
    except AS2DecryptFailed:
        return
    except PeerError as refusal:
        pytest.fail(f"told apart: {refusal!r}")
    assert "GCM" not in name, "authenticated content was changed"
    assert payload != EDI * 20


def test_authenticated_attributes_are_authenticated() -> None:
    """They come behind the content: the body is read once more, with them."""
    enveloped = messages.with_authenticated_attributes(build("s"), key_pair("EXAMPLE"))
    assert receive(message(messages.smime("authEnveloped-data", enveloped)), agreed(), 50)[1] == EDI
    changed = enveloped.replace(b"an attribute", b"no attribute")
    with pytest.raises(AS2DecryptFailed):
        receive(message(messages.smime("authEnveloped-data", changed)), agreed())


def test_several_recipients_in_any_order() -> None:
    for first, second in (("EXAMPLE", "ELSEWHERE"), ("ELSEWHERE", "EXAMPLE")):
        enveloped = messages.openssl_to_many(build("s"), key_pair(first), key_pair(second), curve_pair("EXAMPLE"))
        assert receive(message(messages.smime("enveloped-data", enveloped)), agreed())[1] == EDI
        assert receive(message(messages.smime("enveloped-data", enveloped)), agreed(us=curve_pair("EXAMPLE")))[1] == EDI


@pytest.mark.parametrize("curve", ["secp256r1", "secp384r1"])
def test_our_receipt_is_signed_on_a_curve(curve: str) -> None:
    pair = curve_pair("EXAMPLE", curve)
    name = AS2Name.of("ACME")
    receipt = Receipt(name, AS2Name.of("EXAMPLE"), "<1@a>", Disposition.of(None), None, "fine", "ref")
    mdn = build_mdn(receipt, now=0.0, host="as2.example.com", signing=(pair, "sha256"), product="mtlsd/0")
    entity = dict(mdn.headers)["Content-Type"].encode()
    whole = messages.Sent((*message(ENTITY).fields[:-1], ("Content-Type", entity.decode())), mdn.body)
    fields = tuple(field for field in whole.fields if field != ("Content-Type", "application/EDIFACT"))
    assert receive(replace(whole, fields=fields), agreed(pair))[0].signer == pair.certificate
