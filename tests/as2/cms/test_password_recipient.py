"""Values sealed to a certificate or a passphrase: OpenSSL opens them, and so do we."""

import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtlsd.as2.cms.password_recipient import open_with_key, open_with_passphrase, seal_to, seal_with
from mtlsd.errors import AS2Refused
from mtlsd.pki.key_pair import KeyPair
from tests.support import pki
from tests.support.pki import NOW, Issued

CONTENT = bytes(range(256)) * 40
ROUNDS = 1000  # of PBKDF2, that the tests are quick


def recipients() -> dict[str, Issued]:
    return {"RSA": pki.self_signed("rsa", key=pki.rsa_key("rsa")), "P-256": pki.self_signed("ec", key=pki.ec_key("ec"))}


def pair(issued: Issued) -> KeyPair:
    return KeyPair(issued.certificate, (), issued.key)


def openssl(folder: Path, sealed: bytes, *more: str) -> bytes:
    (folder / "sealed").write_bytes(sealed)
    command = ["openssl", "cms", "-decrypt", "-binary", "-inform", "DER", "-in", str(folder / "sealed"), *more]
    return subprocess.run(command, capture_output=True, check=True).stdout


@pytest.mark.parametrize("kind", ["RSA", "P-256"])
def test_what_is_sealed_to_a_certificate_is_opened_with_its_key(kind: str, tmp_path: Path) -> None:
    issued = recipients()[kind]
    sealed = seal_to(CONTENT, issued.certificate)
    assert open_with_key(sealed, [pair(issued)], NOW) == CONTENT
    issued.write(tmp_path, "cert.pem", "key.pem")
    more = ("-recip", str(tmp_path / "cert.pem"), "-inkey", str(tmp_path / "key.pem"))
    assert openssl(tmp_path, sealed, *more) == CONTENT


def test_what_is_sealed_to_a_passphrase_is_opened_with_it(tmp_path: Path) -> None:
    sealed = seal_with(CONTENT, b"open sesame", ROUNDS)
    assert open_with_passphrase(sealed, b"open sesame") == CONTENT
    assert openssl(tmp_path, sealed, "-pwri_password", "open sesame") == CONTENT


def test_nobody_else_opens_it() -> None:
    one, other = recipients().values()
    with pytest.raises(AS2Refused):
        open_with_key(seal_to(CONTENT, one.certificate), [pair(other)], NOW)
    with pytest.raises(AS2Refused):
        open_with_passphrase(seal_with(CONTENT, b"one", ROUNDS), b"other")
    with pytest.raises(AS2Refused, match="not sealed to a passphrase"):
        open_with_passphrase(seal_to(CONTENT, one.certificate), b"one")
    with pytest.raises(AS2Refused):
        open_with_key(seal_with(CONTENT, b"one", ROUNDS), [pair(one)], NOW)


def test_a_count_of_iterations_that_takes_hours_is_refused() -> None:
    sealed = seal_with(b"", b"one", 1_000_000)
    costly = sealed.replace((1_000_000).to_bytes(3, "big"), (8_000_000).to_bytes(3, "big"))
    assert costly != sealed
    with pytest.raises(AS2Refused, match="iterations"):
        open_with_passphrase(costly, b"one")


SEALED = seal_with(b"content", b"one", 1)


@given(st.integers(0, len(SEALED) - 1), st.integers(1, 255))
def test_what_was_changed_is_never_opened(at: int, difference: int) -> None:
    changed = SEALED[:at] + bytes([SEALED[at] ^ difference]) + SEALED[at + 1 :]
    with suppress(AS2Refused):
        assert open_with_passphrase(changed, b"one") == b"content"  # version numbers mean nothing


@given(st.binary(max_size=300))
def test_any_octets_are_refused_with_our_own_error(data: bytes) -> None:
    with pytest.raises(AS2Refused):
        open_with_passphrase(data, b"one")
    with pytest.raises(AS2Refused):
        open_with_key(data, [], NOW)
