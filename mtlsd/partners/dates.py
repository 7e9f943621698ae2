"""The dates of certificates in TOML: the rows `[[certificate]]` of a partner, and `[[pair]]` of our key pairs.

A day counts as a whole, in UTC: `active_from` is its first moment, `retire_after` is its last moment.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from mtlsd.config import fields
from mtlsd.config.document import TOMLDocument
from mtlsd.errors import Problem
from mtlsd.files.reading import FileRefused
from mtlsd.pki.certificate import Certificate, CertificateUnreadable
from mtlsd.pki.dates import Dates
from mtlsd.pki.formats.on_disk import read_public_file


@dataclass(frozen=True, slots=True, kw_only=True)
class _DatedRow:
    active_from: fields.FirstMoment | None = None
    retire_after: fields.LastMoment | None = None

    def __post_init__(self) -> None:
        if self.active_from and self.retire_after and self.active_from > self.retire_after:
            raise ValueError("expected an active_from that is before retire_after")

    @property
    def dates(self) -> Dates:
        return Dates(self.active_from, self.retire_after)


@fields.table
@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateRow(_DatedRow):
    """The dates of the certificates in a file, or of the certificate with this sha256."""

    file: fields.RelativePath | None = None
    sha256: fields.Fingerprint | None = None

    def __post_init__(self) -> None:
        if (self.file is None) == (self.sha256 is None):
            raise ValueError("expected either file or sha256, to say which certificate it is")
        _DatedRow.__post_init__(self)


@fields.table
@dataclass(frozen=True, slots=True, kw_only=True)
class PairRow(_DatedRow):
    """The dates of the pair in a directory; "." is the directory of organization.toml or host.toml."""

    directory: Annotated[fields.RelativePath, fields.key(example='"."')]


# --- The certificates that the dates belong to ------------------------------------------------------------------


def dates_by_certificate(
    rows: tuple[CertificateRow, ...], directory: Path, document: TOMLDocument, known: Iterable[Certificate]
) -> tuple[dict[str, Dates], list[Problem], list[Problem]]:
    """The dates by sha256, the errors, and the warnings.

    A row whose certificate is missing is only a warning, because the certificate may have been removed after its end.
    """
    found: dict[str, Dates] = {}
    mistakes, warnings = [], []
    there = {each.sha256 for each in known} if rows else set()
    for index, row in enumerate(rows):
        named = _named(row, directory) & there
        if not named:
            missing = f"no certificate for connections or messages is {row.file or row.sha256}"
            text = f"{missing}: remove these lines, or add the certificate"
            key = "file" if row.file else "sha256"
            warnings.append(document.problem(("certificate", index, key), text))
        if named & found.keys():
            mistakes.append(document.problem(("certificate", index), "its certificate has dates already"))
        found |= dict.fromkeys(named, row.dates)
    return found, mistakes, warnings


def _named(row: CertificateRow, directory: Path) -> set[str]:
    if row.file is None:
        return {row.sha256} if row.sha256 else set()
    try:
        return {each.sha256 for each in read_public_file(directory / row.file, within=directory).certificates}
    except (FileRefused, CertificateUnreadable):
        return set()  # a problem already, or removed
