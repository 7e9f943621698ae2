"""Certificate files are read, or refused with words that help."""

import base64
import os
import socket
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.hazmat.primitives.serialization.pkcs12 import serialize_key_and_certificates
from hypothesis import given
from hypothesis import strategies as st

from mtlsd.files.reading import FileRefused, read_file
from mtlsd.pki.certificate import CertificateUnreadable
from mtlsd.pki.formats.reader import read_certificates, read_contents
from tests.support import pki

CA = pki.root()
LEAF = pki.leaf(CA)
REQUEST = (
    x509.CertificateSigningRequestBuilder()
    .subject_name(x509.Name.from_rfc4514_string("CN=a"))
    .sign(LEAF.key, hashes.SHA256())
)
BUNDLE = LEAF.pem + CA.pem


def key_der(encrypted: bool = False) -> bytes:
    protection = BestAvailableEncryption(b"secret") if encrypted else NoEncryption()
    return LEAF.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, protection)


def p12() -> bytes:
    cas = [CA.certificate.x509]
    return serialize_key_and_certificates(b"a", LEAF.key, LEAF.certificate.x509, cas, NoEncryption())


@pytest.mark.parametrize(
    ("form", "data"),
    [
        ("a bundle", BUNDLE),
        ("text around the blocks", b"Bag Attributes\n  name: x\n" + LEAF.pem + b"subject=CN = x\n" + CA.pem),
        ("CRLF", BUNDLE.replace(b"\n", b"\r\n")),
        ("CR", BUNDLE.replace(b"\n", b"\r")),
        ("no newline at the end", BUNDLE.rstrip()),
        ("a byte-order mark", b"\xef\xbb\xbf" + BUNDLE),
        ("another label", BUNDLE.replace(b" CERTIFICATE-", b" X509 CERTIFICATE-")),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_certificate_of_a_pem_file_is_read(form: str, data: bytes) -> None:
    assert read_certificates(data) == (LEAF.certificate, CA.certificate), form


@pytest.mark.parametrize(
    "der", [LEAF.certificate.der, LEAF.certificate.der + b"\0", b"\x30\x03\x02\x01\x01", b"", b"a"]
)
def test_one_plain_block_says_the_same_as_with_text_before_it(der: bytes) -> None:
    pem = b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(der) + b"-----END CERTIFICATE-----\n"
    assert outcome(pem) == outcome(b"text\n" + pem)
    assert outcome(pem.replace(b"=", b"")) == outcome(b"text\n" + pem.replace(b"=", b""))


def outcome(data: bytes) -> object:
    try:
        return read_contents(data)
    except CertificateUnreadable as error:
        return str(error)


def test_der_is_read() -> None:
    assert read_certificates(LEAF.certificate.der) == (LEAF.certificate,)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b" \r\n\n", "empty"),
        (LEAF.key_pem, "a private key: remove the file and rotate the key"),
        (LEAF.pem + LEAF.key_pem, "a private key"),
        (b"-----BEGIN CERTIFICATE-----\n" + LEAF.key_pem, "a private key"),
        (LEAF.key_pem[:200], "a private key"),
        (LEAF.encrypted_key_pem(b"secret"), "a private key"),
        (key_der(), "a private key"),
        (key_der(encrypted=True), "a private key"),
        (REQUEST.public_bytes(Encoding.PEM), "a certificate request"),
        (REQUEST.public_bytes(Encoding.DER), "a certificate request"),
        (p12(), "a private key: remove the file and rotate the key"),
        (b"<!DOCTYPE html><html></html>", "an HTML page"),
        (b"\n<HTML>", "an HTML page"),
        (b"hello", "neither PEM nor DER"),
        (LEAF.pem[:300], "incomplete"),
        (LEAF.pem + CA.pem[:300], "incomplete"),
        (LEAF.pem.replace(b"\nMII", b"\nM*I"), "damaged base64"),
        (LEAF.certificate.der[:300], "incomplete: 300 of"),
        (b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n", "a certificate revocation list"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_file_that_holds_no_certificate_is_refused_by_what_it_looks_like(data: bytes, words: str) -> None:
    with pytest.raises(CertificateUnreadable, match=words):
        read_certificates(data)


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_a_file_is_read_or_refused_and_nothing_else(before: bytes, after: bytes) -> None:
    for data in (before, before + LEAF.pem + after, before + b"-----BEGIN CERTIFICATE-----" + after):
        try:
            assert read_certificates(data)
        except CertificateUnreadable:
            continue


@given(st.data())
def test_a_damaged_pem_file_is_read_or_refused_and_nothing_else(data: st.DataObject) -> None:
    pem = bytearray(data.draw(st.sampled_from([BUNDLE, LEAF.certificate.der, key_der()])))
    for _ in range(data.draw(st.integers(1, 4))):
        pem[data.draw(st.integers(0, len(pem) - 1))] = data.draw(st.integers(0, 255))
    try:
        assert read_certificates(bytes(pem))
    except CertificateUnreadable:
        return


def test_a_file_of_many_openings_is_refused_at_once() -> None:
    with pytest.raises(CertificateUnreadable, match="complete or not"):
        read_certificates(b"-----BEGIN CERTIFICATE-----\n" * 35_000)


def test_a_regular_file_is_read_with_its_mode(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    (tmp_path / "a").chmod(0o640)
    assert read_file(tmp_path / "a").mode == 0o640


def test_what_is_not_a_regular_file_is_refused_without_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        monkeypatch.chdir(tmp_path)  # the path of a socket must be short
        listener.bind("socket")
        for name in ("fifo", "socket", ".", "missing"):
            with pytest.raises(FileRefused):
                read_file(tmp_path / name)


def test_a_file_of_several_pieces_is_read_whole(tmp_path: Path) -> None:
    data = bytes(range(256)) * 4096  # as large as a file may be
    (tmp_path / "a").write_bytes(data)
    assert read_file(tmp_path / "a").data == data


def test_a_file_that_is_too_large_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * (1024 * 1024 + 1))
    with pytest.raises(FileRefused, match="larger than"):
        read_file(tmp_path / "a")


def test_a_symbolic_link_may_lead_around_but_not_out(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    inside.mkdir()
    outside.write_bytes(b"x")
    (inside / "..2026").mkdir()
    (inside / "..2026" / "a").write_bytes(b"a")
    (inside / "..data").symlink_to("..2026")
    (inside / "a").symlink_to("..data/a")
    (inside / "b").symlink_to("../out")
    (inside / "loop").symlink_to("loop")
    assert read_file(inside / "a", within=inside).data == b"a"
    with pytest.raises(FileRefused, match="leads out"):
        read_file(inside / "b", within=inside)
    with pytest.raises(FileRefused, match="symbolic links"):
        read_file(inside / "loop", within=inside)
