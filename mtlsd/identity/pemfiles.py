"""Certificate files: opened with care, read as PEM or DER, or refused with words that say what they are."""

import base64
import binascii
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_der_private_key
from cryptography.x509 import load_der_x509_csr

from mtlsd.errors import MtlsdError, Problem
from mtlsd.identity.certificates import MAX_RSA_BITS, UNREADABLE, Certificate, CertificateUnreadable, is_costly

MAX_FILE = 1024 * 1024  # bytes
LABELS = {b"CERTIFICATE", b"X509 CERTIFICATE"}
PRIVATE_KEY = "a private key: remove it from here and rotate it, for it may have been read by others"
EMPTY = "empty"
COSTLY = f"an RSA key of more than {MAX_RSA_BITS} bits, or with a public exponent of 2**32 or more: none is accepted"
REQUEST = "a certificate request, not a certificate: ask for what the CA made of it"
PKCS12 = "a PKCS#12 file: it may hold a private key; ask for the certificate alone, in PEM or DER"
PKCS7 = "a PKCS#7 bundle: openssl pkcs7 -print_certs -inform {form} -in X -out X.pem"

_BEGIN = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,40})-----")
_PRIVATE_KEY_LINE = re.compile(rb"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----")
_SEQUENCE = rb"\x30(?:[\x00-\x80]|\x81.|\x82.{2}|\x83.{3}|\x84.{4})"
_PKCS12 = re.compile(_SEQUENCE + rb"\x02\x01\x03\x30", re.DOTALL)  # version 3, then a ContentInfo (RFC 7292, 4)
_PKCS7 = re.compile(_SEQUENCE + rb"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07", re.DOTALL)  # contentType: pkcs-7


class FileRefused(MtlsdError):
    """A file that is not read; the text says why."""


@dataclass(frozen=True, slots=True)
class FileContent:
    """The bytes of a regular file, and its permission bits."""

    data: bytes
    mode: int


def read_file(path: Path, within: Path | None = None) -> FileContent:
    """Read a regular file of at most MAX_FILE bytes; raises FileRefused, and never blocks.

    With `within`, a symbolic link may lead to another place in that directory (as Kubernetes does it with
    `..data`), but not out of it.
    """
    try:
        if within is not None and _is_right_there(path, within):
            return _read_regular(path)
        real = Path(os.path.realpath(path, strict=True))
        if within is not None and not real.is_relative_to(os.path.realpath(within)):
            raise FileRefused("a symbolic link that leads out of the partner's directory")
        return _read_regular(real)
    except OSError as error:
        raise FileRefused(f"cannot be read: {error.strerror}") from error


def read_certificates(data: bytes) -> tuple[Certificate, ...]:
    """Every certificate in a PEM bundle or a DER file: one at least, or CertificateUnreadable is raised."""
    if not data.strip():
        raise CertificateUnreadable(EMPTY)
    if _PRIVATE_KEY_LINE.search(data):  # before anything else in the file: this one cannot wait
        raise CertificateUnreadable(PRIVATE_KEY)
    blocks = tuple(_pem_blocks(data))
    if not blocks:
        return (_affordable(_certificate_from_der(data)),)
    return tuple(_affordable(_certificate_from_block(label, body)) for label, body in blocks)


def is_directory(path: Path) -> bool:
    """Whether this is a directory that we can look at; never raises."""
    try:
        return path.is_dir()
    except OSError:
        return False


def missing_directory(directory: Path) -> Problem | None:
    """The problem where this directory does not exist, with the name nearest to it that does."""
    if os.path.lexists(directory):
        return None
    names = {each.name.lower(): each.name for each in _directories(directory.parent)}
    alike = get_close_matches(directory.name.lower(), names, n=1)
    hint = f"; there is {names[alike[0]]}" if alike else ""
    return Problem(directory, f"there is no such directory{hint}")


def _directories(directory: Path) -> tuple[Path, ...]:
    try:
        return tuple(filter(is_directory, sorted(directory.iterdir())))
    except OSError:
        return ()


def _is_right_there(path: Path, directory: Path) -> bool:
    """Whether no link is on the way from the directory to the file: then nothing else has to be looked at."""
    parent = path.parent
    below = parent == directory or (parent.parent == directory and not parent.is_symlink())
    return below and not path.is_symlink()


def _read_regular(path: Path) -> FileContent:
    # O_NONBLOCK: opening a FIFO must not wait for its writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOCTTY)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise FileRefused("not a regular file")
        data = file.read(MAX_FILE + 1)
    if len(data) > MAX_FILE:
        raise FileRefused(f"larger than {MAX_FILE} bytes")
    return FileContent(data, stat.S_IMODE(status.st_mode))


def _pem_blocks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The label and the body of each block; text around the blocks is skipped (RFC 7468, section 2)."""
    at = 0
    while begin := _BEGIN.search(data, at):
        label = begin[1]
        end_line = b"-----END " + label + b"-----"
        end = data.find(end_line, begin.end())
        if end < 0:
            raise CertificateUnreadable(f"cut short: there is no {end_line.decode()}")
        yield label, data[begin.end() : end]
        at = end + len(end_line)


def _certificate_from_block(label: bytes, body: bytes) -> Certificate:
    if label not in LABELS:
        raise CertificateUnreadable(_meaning_of(label))
    try:
        der = base64.b64decode(b"".join(body.split()), validate=True)
    except binascii.Error as error:
        raise CertificateUnreadable(f"damaged base64: {error}") from error
    return Certificate.from_der(der)


def _affordable(certificate: Certificate) -> Certificate:
    try:
        costly = is_costly(certificate.x509.public_key())
    except UNREADABLE:  # a key of a kind that is not known: whoever needs it says so
        costly = False
    if costly:
        raise CertificateUnreadable(f"{certificate.subject}: {COSTLY}")
    return certificate


def _meaning_of(label: bytes) -> str:
    if b"CERTIFICATE REQUEST" in label:
        return REQUEST
    if label in {b"PKCS7", b"CMS"}:
        return PKCS7.format(form="PEM")
    return f"a PEM block of {label.decode()}, not a certificate"


def _certificate_from_der(data: bytes) -> Certificate:
    try:
        return Certificate.from_der(data)
    except CertificateUnreadable as error:
        raise CertificateUnreadable(_looks_like(data) or str(error)) from error


def _looks_like(data: bytes) -> str | None:
    """What bytes that are no certificate seem to be; None for damaged DER, of which the parser said more."""
    start = data.lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return "an HTML page, not a certificate"
    if data[:1] != b"\x30":
        return "neither PEM nor DER: nothing that we know as a certificate"
    if _PKCS12.match(data):
        return PKCS12
    if _PKCS7.match(data):
        return PKCS7.format(form="DER")
    if _is_private_key(data):
        return PRIVATE_KEY
    return REQUEST if _is_request(data) else None


def _is_private_key(der: bytes) -> bool:
    try:
        load_der_private_key(der, None)
    except TypeError:  # encrypted: a key all the same
        return True
    except (ValueError, UnsupportedAlgorithm):
        return False
    return True


def _is_request(der: bytes) -> bool:
    try:
        load_der_x509_csr(der)
    except UNREADABLE:
        return False
    return True
