"""A certificate as `mtlsd check` and `mtlsd partner list` show it."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from mtlsd.cli.output import moment
from mtlsd.errors import Problem
from mtlsd.partners.validity import Validity, date_warning
from mtlsd.pki.certificate import Certificate

SUBDIRECTORIES = ("tls", "as2", "mdn", "sign", "decrypt")


@dataclass(frozen=True, slots=True)
class ListedCertificate:
    """A certificate with its owner, its use, and its remaining validity."""

    owner: str
    use: str
    certificate: Certificate
    place: Path
    now: datetime

    @property
    def days_left(self) -> int:
        """Whole days; below zero once it has expired."""
        return (self.certificate.not_after - self.now).days

    @property
    def state(self) -> Validity:
        return Validity.of(self.certificate, self.now)

    @property
    def left(self) -> str:
        """The days left, followed by the state unless the certificate is valid."""
        return f"{self.days_left}" if self.state is Validity.VALID else f"{self.days_left}  {self.state.upper()}"

    def warning(self) -> Problem | None:
        """The warning if the certificate is not valid, or not for long."""
        return date_warning(self.certificate, self.place, self.now)

    @property
    def file(self) -> str:
        """The name of the file, with its directory if that is below the directory of the partner or organization."""
        parent = self.place.parent.name
        return f"{parent}/{self.place.name}" if parent in SUBDIRECTORIES else self.place.name

    def as_json(self) -> dict[str, object]:
        return {
            "owner": self.owner,
            "use": self.use,
            "file": str(self.place),
            "subject": self.certificate.subject,
            "sha256": self.certificate.sha256,
            "not_before": moment(self.certificate.not_before),
            "not_after": moment(self.certificate.not_after),
            "days_left": self.days_left,
            "state": self.state.value,
        }
