"""The validity of certificates, and the files that hold them: for warnings before a certificate expires."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path

from mtlsd.errors import Problem
from mtlsd.files.reading import FileRefused, is_directory
from mtlsd.pki.certificate import Certificate, CertificateUnreadable
from mtlsd.pki.formats.on_disk import read_own_file
from mtlsd.pki.names import SHORT

SOON = timedelta(days=30)


class Validity(StrEnum):
    """The validity of a certificate at one time."""

    EXPIRED = "expired"
    NOT_YET = "not yet valid"
    EXPIRES_SOON = "expires soon"
    VALID = "valid"

    @classmethod
    def of(cls, certificate: Certificate, now: datetime) -> "Validity":
        if now > certificate.not_after:
            return cls.EXPIRED
        if now < certificate.not_before:
            return cls.NOT_YET
        return cls.EXPIRES_SOON if certificate.not_after - now < SOON else cls.VALID


def date_warning(certificate: Certificate, place: Path, now: datetime) -> Problem | None:
    """The warning about a certificate that is expired, expires soon or is not valid yet."""
    left = days((certificate.not_after - now).days)
    words = {
        Validity.EXPIRED: f"expired on {certificate.not_after:%Y-%m-%d}",
        Validity.NOT_YET: f"is valid from {certificate.not_before:%Y-%m-%d} on",
        Validity.EXPIRES_SOON: f"expires on {certificate.not_after:%Y-%m-%d}: {left}",
    }.get(Validity.of(certificate, now))
    text = f"the certificate {certificate.subject} ({certificate.sha256[:SHORT]}) {words}"
    return Problem(place, text) if words else None


def date_warnings(directory: Path, certificates: Iterable[Certificate], now: datetime) -> Iterator[Problem]:
    """The warnings about certificates of this directory that are expired, expire soon or are not valid yet."""
    noted = [each for each in dict.fromkeys(certificates) if Validity.of(each, now) is not Validity.VALID]
    files = certificate_files(directory) if noted else {}
    for each in noted:
        if warning := date_warning(each, files.get(each.sha256, directory), now):
            yield warning


def days(number: int) -> str:
    """A number of remaining days in words."""
    return f"{number} {'day' if number == 1 else 'days'} left"


def certificate_files(directory: Path) -> Mapping[str, Path]:
    """The file of each certificate, by sha256, in a directory and at most two levels below; never raises."""
    files: dict[str, Path] = {}
    for path in _files(directory):
        try:
            certificates = read_own_file(path).contents.certificates
        except (FileRefused, CertificateUnreadable):
            continue  # a key, or a problem already
        for each in certificates:
            files.setdefault(each.sha256, path)
    return files


def _files(directory: Path, depth: int = 2) -> Iterator[Path]:
    for path in _within(directory):
        if not is_directory(path):
            yield path
        elif depth:
            yield from _files(path, depth - 1)


def _within(directory: Path) -> list[Path]:
    try:
        return sorted(each for each in directory.iterdir() if not each.name.startswith("."))
    except OSError:
        return []
