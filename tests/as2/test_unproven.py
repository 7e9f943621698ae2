"""Decompression for a sender that nothing has proved yet: little of it, and none that can wait for the signature."""

import random
import zlib
from dataclasses import dataclass

import pytest

from mtlsd.as2.agreement import Agreement, MessageLimits
from mtlsd.as2.cms.decompress import CHUNK, UNPROVEN_GRACE, Inflater
from mtlsd.as2.headers import AS2Headers
from mtlsd.as2.receiver import Receiver, VerifiedMessage
from mtlsd.as2.second_pass import Hints, ReadAgain
from mtlsd.errors import (
    AS2DecompressFailed,
    AS2DecryptFailed,
    AS2Refused,
    AS2SecurityTooLow,
    AS2SignatureBad,
    AS2SignerUnknown,
)
from mtlsd.partners.partner_toml import Require
from tests.support import messages
from tests.support.messages import NOW, Sent, build, compress, encrypt, entity, key_pair, message, sign, smime

MIB = 1024 * 1024
LIMITS = MessageLimits(
    max_expanded_octets=64 * MIB, max_expansion_ratio=200, max_unproven_octets=2 * MIB, max_unproven_ratio=20
)
SIGN = frozenset({Require.SIGN})
ACME, EXAMPLE = key_pair("ACME"), key_pair("EXAMPLE")


def of_ratio(ratio: int, size: int) -> bytes:
    """A document that deflate packs to about 1/ratio of its size."""
    source, block = random.Random(1), 60_000
    noise = block // ratio - block // 900
    return b"".join(source.randbytes(noise).ljust(block, b"a") for _ in range(size // block))


STEEP, FLAT = of_ratio(116, 4 * MIB), of_ratio(10, MIB)


@dataclass
class Inflated:
    """How many octets all inflaters wrote."""

    octets: int = 0


@pytest.fixture(autouse=True)
def inflated(monkeypatch: pytest.MonkeyPatch) -> Inflated:
    counted, inflate = Inflated(), Inflater._inflate

    def counting(self: Inflater, data: bytes) -> int:
        written = inflate(self, data)
        counted.octets += written
        return written

    monkeypatch.setattr(Inflater, "_inflate", counting)
    return counted


def receive(sent: Sent, *, is_proven: bool, require: frozenset[Require] = SIGN) -> tuple[VerifiedMessage, bytes, int]:
    """The verdict, the payload, and the number of passes."""
    agreement = Agreement(messages.organization(), messages.partner(), require, is_proven=is_proven)
    hints = Hints()
    for passes in range(1, 5):
        receiver, payload = Receiver(AS2Headers.parse(sent.fields), agreement, LIMITS, NOW, hints), b""
        try:
            for start in range(0, len(sent.body), 16_384):
                receiver.receive_data(sent.body[start : start + 16_384])
                payload += b"".join(event.data for event in receiver.events())
            verified = receiver.finish()
        except ReadAgain as again:
            hints = again.hints
            continue
        assert isinstance(verified, VerifiedMessage)
        return verified, payload + b"".join(event.data for event in receiver.events()), passes
    pytest.fail("the receiver asks for ever")


def refused(sent: Sent, error: type[AS2Refused], *, is_proven: bool = False) -> AS2Refused:
    with pytest.raises(error) as caught:
        receive(sent, is_proven=is_proven)
    return caught.value


@pytest.mark.parametrize("layers", ["cs", "csE"])
@pytest.mark.parametrize("document", [messages.EDI, STEEP], ids=["small", "ratio 116"])
def test_compressed_then_signed_is_verified_first_and_inflated_afterwards(
    layers: str, document: bytes, inflated: Inflated
) -> None:
    verified, payload, passes = receive(message(build(layers, payload=document)), is_proven=False)
    assert payload == document
    assert verified.signer == ACME.certificate
    assert passes == 2
    assert len(document) <= inflated.octets <= len(document) + 200  # once only: the MIME header comes on top


@pytest.mark.parametrize("layers", ["cs", "sc", "csE", "scE"])
def test_of_a_proven_partner_everything_is_inflated_at_once(layers: str) -> None:
    _, payload, passes = receive(message(build(layers, payload=STEEP)), is_proven=True)
    assert (payload, passes) == (STEEP, 1)


@pytest.mark.parametrize("layers", ["cs", "csE"])
def test_a_signature_that_does_not_verify_proves_nothing(layers: str, inflated: Inflated) -> None:
    stranger, damaged = build("cs", payload=STEEP, sender="MALLORY"), bytearray(build("cs", payload=STEEP))
    damaged[damaged.index(zlib.compress(STEEP)[:2]) + 1000] ^= 1
    for signed, error in ((stranger, AS2SignerUnknown), (bytes(damaged), AS2SignatureBad)):
        refused(message(encrypt(signed, EXAMPLE) if "E" in layers else signed), error)
    assert inflated.octets == 0


@pytest.mark.parametrize("layers", ["sc", "scE"])
def test_signed_then_compressed_keeps_the_ratio_of_the_unproven(layers: str, inflated: Inflated) -> None:
    expected = AS2DecryptFailed if "E" in layers else AS2DecompressFailed
    refusal = refused(message(build(layers, payload=STEEP)), expected)
    assert "expands more than 20 times" in refusal.detail
    assert inflated.octets <= UNPROVEN_GRACE + len(build("sc", payload=STEEP)) * 20
    assert inflated.octets <= MIB


def test_signed_then_compressed_keeps_the_size_of_the_unproven(inflated: Inflated) -> None:
    refusal = refused(message(build("sc", payload=of_ratio(10, 3 * MIB))), AS2DecompressFailed)
    assert f"expands beyond {2 * MIB} octets" in refusal.detail
    assert inflated.octets <= 2 * MIB + CHUNK


@pytest.mark.parametrize("layers", ["sc", "scE"])
def test_signed_then_compressed_within_these_limits_is_received(layers: str) -> None:
    verified, payload, passes = receive(message(build(layers, payload=FLAT)), is_proven=False)
    assert (payload, passes, verified.signer) == (FLAT, 1, ACME.certificate)


def test_the_limits_of_the_proven_still_hold_after_a_signature() -> None:
    refusal = refused(message(build("cs", payload=bytes(8 * MIB))), AS2DecompressFailed)
    assert "expands more than 200 times" in refusal.detail


@pytest.mark.parametrize("inner", ["", "c"])
def test_without_a_signature_nothing_is_kept(inner: str) -> None:
    """Nobody waits for the end of a message to hear that its signature is missing."""
    sent = message(build(inner, payload=FLAT))
    agreement = Agreement(messages.organization(), messages.partner(), SIGN)

    def begin() -> None:
        Receiver(AS2Headers.parse(sent.fields), agreement, LIMITS, NOW).receive_data(sent.body[:20_000])

    with pytest.raises(AS2SecurityTooLow, match="not signed"):
        begin()


def test_in_an_envelope_a_missing_signature_is_reported_at_the_end_as_before() -> None:
    for inner in (entity(FLAT), compress(entity(FLAT))):
        refused(message(encrypt(inner, EXAMPLE)), AS2DecryptFailed)


def test_another_digest_and_a_proof_need_another_pass_each() -> None:
    announced = sign(compress(entity(STEEP)), ACME, "sha512").replace(b"sha-512", b"sha-256")
    verified, payload, passes = receive(message(announced), is_proven=False)
    assert (payload, passes, verified.digest) == (STEEP, 3, "sha512")


def test_opaque_signatures_prove_a_partner_as_well(inflated: Inflated) -> None:
    opaque = smime("signed-data", messages.signed_data_by_openssl(compress(entity(STEEP)), ACME, "sha256", "-nodetach"))
    _, payload, passes = receive(message(opaque), is_proven=False)
    assert (payload, passes) == (STEEP, 2)
    assert inflated.octets <= len(STEEP) + 200


def test_a_bad_signature_over_damaged_content_is_a_bad_signature() -> None:
    damaged = sign(smime("compressed-data", messages.compressed_data(b"nonsense")), ACME)
    refused(message(damaged.replace(b"smime.p7m", b"smime.p7z", 1)), AS2SignatureBad)
    refused(message(damaged), AS2DecompressFailed)
