"""The MIC explainer finds what a partner hashed, whatever it was."""

import hashlib
from collections.abc import Iterator

import pytest

from mtlsd.as2.explain import Candidate, explain
from mtlsd.as2.headers import AS2Headers
from tests.as2.test_receiver import LIMITS, NOTHING, agreement
from tests.support import messages
from tests.support.messages import EDI, NOW, build, key_pair, message


def candidates(entity: bytes, chunk: int = 1000) -> list[Candidate]:
    sent = message(entity)
    pieces: Iterator[bytes] = (sent.body[at : at + chunk] for at in range(0, len(sent.body), chunk))
    return explain(AS2Headers.parse(sent.fields), agreement(NOTHING), LIMITS, NOW, pieces)


def names(entity: bytes, hashed: bytes, algorithm: str = "sha256") -> set[str]:
    """What the explainer says a partner hashed whose MIC is this."""
    digest = hashlib.new(algorithm, hashed).digest()
    return {
        f"{each.what} ({each.form}, {each.mic.algorithm})" for each in candidates(entity) if each.mic.digest == digest
    }


LF, CRLF = build("s", payload=b"a\nb\n"), build("", payload=b"a\r\nb\r\n")
COMPRESSED = messages.compress(build(""))


@pytest.mark.parametrize(
    ("entity", "hashed", "name"),
    [
        (build("sE"), build(""), "decrypted, signed part, with header (raw, sha256)"),
        (build("sE"), EDI, "decrypted, signed part, without header (raw, sha256)"),
        (build("E"), build(""), "decrypted, with header (raw, sha256)"),
        (build("E"), EDI, "decrypted, without header (raw, sha256)"),
        (messages.sign(COMPRESSED, key_pair("ACME")), COMPRESSED, "signed part, with header (raw, sha256)"),
        (messages.sign(COMPRESSED, key_pair("ACME")), EDI, "signed part, decompressed, without header (raw, sha256)"),
        (build(""), EDI, "body as received (raw, sha256)"),
        (build("", payload=b"a\nb\n"), b"a\r\nb\r\n", "body as received (full-crlf, sha256)"),
        (
            build("s", payload=b"a\nb\n"),
            build("", payload=b"a\r\nb\r\n"),
            "signed part, with header (full-crlf, sha256)",
        ),
    ],
)
def test_it_names_what_was_hashed(entity: bytes, hashed: bytes, name: str) -> None:
    assert name in names(entity, hashed)


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "sha384", "sha512"])
def test_it_names_the_algorithm(algorithm: str) -> None:
    assert names(build("cE"), build(""), algorithm) == {f"decrypted, decompressed, with header (raw, {algorithm})"}


@pytest.mark.parametrize("chunk", [1, 7, 1 << 20])
def test_it_does_not_depend_on_the_chunks(chunk: int) -> None:
    entity = build("csE")
    assert candidates(entity, chunk) == candidates(entity)


def test_what_cannot_be_opened_is_explained_as_far_as_it_goes() -> None:
    assert {each.what for each in candidates(build("sE", recipient="ELSEWHERE"))} == {"body as received"}


def test_a_message_that_only_an_earlier_version_accepted_has_the_candidates_of_its_body() -> None:
    found = candidates(messages.entity(content_type="edi"))
    assert hashlib.sha256(EDI).digest() in {each.mic.digest for each in found}
    assert {each.what for each in found} == {"body as received"}
