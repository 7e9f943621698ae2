"""The dates of certificates as TOML has them: `[[certificate]]` of a partner, `[[pair]]` of ours.

A day counts as a whole, in UTC: `active_from` from its first moment on, `retire_after` to its last one.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from pathlib import Path, PurePosixPath
from typing import Any

from mtlsd.errors import Problem
from mtlsd.files.reading import FileRefused
from mtlsd.partners.toml_schema import Rows
from mtlsd.pki.certificate import Certificate, CertificateUnreadable
from mtlsd.pki.dates import Dates
from mtlsd.pki.formats.on_disk import read_public_file

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class CertificateRow:
    """The dates of what a file holds, or of the certificate with this sha256."""

    file: str | None
    sha256: str | None
    dates: Dates


@dataclass(frozen=True, slots=True)
class PairRow:
    """The dates of the pair in a directory; "." is the one that organization.toml or host.toml is in."""

    directory: str
    dates: Dates


def first_moment(value: object) -> datetime:
    """A day's first moment, or a moment with its offset."""
    return _moment(value, time.min)


def last_moment(value: object) -> datetime:
    """A day's last moment, or a moment with its offset."""
    return _moment(value, time.max)


def relative_path(value: object) -> str:
    """A file or a directory below the one that names it, in one spelling."""
    expected = "a path below this directory, such as acme-2027.pem"
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError(expected)
    path = PurePosixPath(value)
    if path.is_absolute() or ".." in path.parts:
        raise ValueError(expected)
    return str(path)


def fingerprint(value: object) -> str:
    """A SHA-256 in hexadecimal digits, with colons or without."""
    digits = value.replace(":", "").lower() if isinstance(value, str) else ""
    if not _SHA256.fullmatch(digits):
        raise ValueError("the SHA-256 of a certificate: 64 hexadecimal digits")
    return digits


def _moment(value: object, of_day: time) -> datetime:
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC)
    if isinstance(value, date) and not isinstance(value, datetime):
        return datetime.combine(value, of_day, UTC)
    raise ValueError("a day such as 2027-01-15, or a moment such as 2027-01-15T08:00:00Z, without quotation marks")


def _dates(row: Mapping[str, Any]) -> Dates:
    dates = Dates(row.get("active_from"), row.get("retire_after"))
    if dates.active_from and dates.retire_after and dates.active_from > dates.retire_after:
        raise ValueError("an active_from that is before retire_after")
    return dates


def _certificate_row(row: Mapping[str, Any]) -> CertificateRow:
    if ("file" in row) == ("sha256" in row):
        raise ValueError("either file or sha256, to say which certificate it is")
    return CertificateRow(row.get("file"), row.get("sha256"), _dates(row))


def _pair_row(row: Mapping[str, Any]) -> PairRow:
    if "directory" not in row:
        raise ValueError('a directory, to say which pair it is: "." is the one beside this file')
    return PairRow(row["directory"], _dates(row))


_DATES = {"active_from": first_moment, "retire_after": last_moment}
CERTIFICATES = Rows({"file": relative_path, "sha256": fingerprint, **_DATES}, _certificate_row)
PAIRS = Rows({"directory": relative_path, **_DATES}, _pair_row)


# --- Which certificates and pairs they are of -------------------------------------------------------------------


def dates_by_certificate(
    rows: Iterable[CertificateRow], directory: Path, settings: Path, known: Iterable[Certificate]
) -> tuple[dict[str, Dates], list[Problem], list[Problem]]:
    """The dates by sha256, the mistakes, and the warnings: a row about nothing is none, for what is gone is gone."""
    found: dict[str, Dates] = {}
    mistakes, warnings = [], []
    there = {each.sha256 for each in known}
    for number, row in enumerate(rows, 1):
        named = _named(row, directory) & there
        if not named:
            warnings.append(Problem(settings, _of_nothing(row.file or row.sha256), key=f"certificate[{number}]"))
        if named & found.keys():
            mistakes.append(Problem(settings, "its certificate has dates already", key=f"certificate[{number}]"))
        found |= dict.fromkeys(named, row.dates)
    return found, mistakes, warnings


def _named(row: CertificateRow, directory: Path) -> set[str]:
    if row.file is None:
        return {row.sha256} if row.sha256 else set()
    try:
        return {each.sha256 for each in read_public_file(directory / row.file, within=directory).certificates}
    except (FileRefused, CertificateUnreadable):
        return set()  # among the mistakes already, or gone


def _of_nothing(name: str | None) -> str:
    return f"no certificate that connects or verifies messages is {name}: take these lines out, or put it in"
