"""The MIC of a message that is not signed, as each profile means it; of a signed one it is always the same."""

import base64
import hashlib
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtlsd.as2.agreement import Agreement
from mtlsd.as2.explain import explain
from mtlsd.as2.headers import AS2Headers
from mtlsd.partners.partner_toml import MICProfile
from tests.as2.test_receiver import LIMITS, NOTHING, agreement, receive
from tests.support import messages
from tests.support.messages import EDI, NOW, key_pair

ENCODINGS: dict[str, Callable[[bytes], bytes]] = {
    "binary": bytes,
    "base64": base64.encodebytes,
    "quoted-printable": lambda data: b"=\r\n".join(b"=%02X" % each for each in data),
}
UNSIGNED = ["", "c", "E", "cE"]
SIGNED = ["s", "cs", "sc", "sE", "csE", "scE"]


def agreed(profile: MICProfile) -> Agreement:
    usual = agreement(NOTHING)
    return replace(usual, partner=replace(usual.partner, mic_profile=profile))


def entity(payload: bytes, encoding: str) -> bytes:
    fields = {"Content-Transfer-Encoding": encoding, "Content-Disposition": 'attachment; filename="order.edi"'}
    lines = "".join(f"{name}: {value}\r\n" for name, value in {"Content-Type": "application/EDIFACT", **fields}.items())
    return lines.encode() + b"\r\n" + ENCODINGS[encoding](payload)


def layered(layers: str, inner: bytes) -> bytes:
    for layer in layers:
        if layer == "c":
            inner = messages.compress(inner)
        elif layer == "s":
            inner = messages.sign(inner, key_pair("ACME"))
        else:
            inner = messages.encrypt(inner, key_pair("EXAMPLE"))
    return inner


def expected(profile: MICProfile, layers: str, encoding: str, asked: str) -> tuple[bytes, str]:
    """What is hashed, and how, by the table in docs/as2.md."""
    whole = entity(EDI, encoding)
    if profile is MICProfile.MENDELSON:
        return EDI, "sha1"
    if profile is MICProfile.OPENAS2 and layers == "c":
        return EDI, asked
    if layers or profile is MICProfile.WITH_HEADERS:
        return whole, asked
    return ENCODINGS[encoding](EDI), asked


@pytest.mark.parametrize("profile", MICProfile)
@pytest.mark.parametrize("layers", UNSIGNED)
@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("asked", ["sha256", "sha512"])
def test_an_unsigned_message(profile: MICProfile, layers: str, encoding: str, asked: str) -> None:
    sent = messages.message(layered(layers, entity(EDI, encoding)), mdn=f"optional,{asked}")
    verified, payload = receive(sent, agreed(profile), chunk=100)
    content, algorithm = expected(profile, layers, encoding, asked)
    assert payload == EDI
    assert verified.mic.algorithm == algorithm
    assert verified.mic.digest == hashlib.new(algorithm, content).digest()


def test_mendelson_s_digest_is_named_as_it_is() -> None:
    verified, _ = receive(messages.message(entity(EDI, "binary"), mdn="optional,SHA-512"), agreed(MICProfile.MENDELSON))
    assert verified.mic.label == "sha1"


@pytest.mark.parametrize("profile", MICProfile)
@pytest.mark.parametrize("layers", SIGNED)
def test_a_signed_message_is_the_same_in_each_profile(profile: MICProfile, layers: str) -> None:
    sent = messages.message(layered(layers, entity(EDI, "base64")), mdn="optional,sha-256")
    assert receive(sent, agreed(profile))[0].mic == receive(sent, agreed(MICProfile.RFC))[0].mic


def test_with_headers_takes_the_fields_as_they_were_spelled_and_in_their_order() -> None:
    fields = (
        ("content-TYPE", "application/EDIFACT"),
        ("AS2-From", "ACME"),
        ("AS2-To", "EXAMPLE"),
        ("Message-ID", "<1@acme.example>"),
        ("Content-Length", str(len(EDI))),
        ("Content-Disposition", "attachment;  filename=x"),
    )
    sent = messages.Sent(fields=fields, body=EDI)
    verified, _ = receive(sent, agreed(MICProfile.WITH_HEADERS))
    header = b"content-TYPE: application/EDIFACT\r\nContent-Disposition: attachment;  filename=x\r\n\r\n"
    assert verified.mic.digest == hashlib.sha256(header + EDI).digest()


@given(payload=st.binary(max_size=400), chunk=st.integers(1, 50), layers=st.sampled_from(["", "c"]))
def test_the_document_is_hashed_as_it_is_delivered(payload: bytes, chunk: int, layers: str) -> None:
    sent = messages.message(layered(layers, entity(payload, "base64")))
    verified, delivered = receive(sent, agreed(MICProfile.MENDELSON), chunk)
    assert verified.mic.digest == hashlib.sha1(delivered, usedforsecurity=False).digest()


@pytest.mark.parametrize("current", MICProfile)
@pytest.mark.parametrize("wanted", MICProfile)
@pytest.mark.parametrize("layers", UNSIGNED)
@pytest.mark.parametrize("encoding", ["binary", "base64"])
def test_the_explainer_names_the_profile_that_fits(
    current: MICProfile, wanted: MICProfile, layers: str, encoding: str
) -> None:
    sent = messages.message(layered(layers, entity(EDI, encoding)))
    candidates = explain(AS2Headers.parse(sent.fields), agreed(current), LIMITS, NOW, [sent.body])
    content, algorithm = expected(wanted, layers, encoding, "sha256")
    digest = hashlib.new(algorithm, content).digest()
    fitting = [each for each in candidates if each.mic.digest == digest]
    assert all(wanted in each.profiles for each in fitting)
    assert fitting
    assert len({(each.what, each.form, each.mic.algorithm) for each in candidates}) == len(candidates)


@pytest.mark.parametrize("layers", SIGNED)
def test_the_explainer_names_no_profile_for_a_signed_message(layers: str) -> None:
    sent = messages.message(layered(layers, entity(EDI, "base64")))
    candidates = explain(AS2Headers.parse(sent.fields), agreed(MICProfile.RFC), LIMITS, NOW, [sent.body])
    assert not any(each.profiles for each in candidates)
