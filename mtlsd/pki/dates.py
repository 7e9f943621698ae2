"""The period in which a certificate is used, within its own validity."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Dates:
    """The period in which a certificate is used; None: no limit but its own validity."""

    active_from: datetime | None = None
    retire_after: datetime | None = None  # the last moment, inclusive

    def have_begun(self, now: datetime) -> bool:
        return self.active_from is None or now >= self.active_from

    def have_ended(self, now: datetime) -> bool:
        return self.retire_after is not None and now > self.retire_after

    def hold(self, now: datetime) -> bool:
        """Whether the certificate may be used."""
        return self.have_begun(now) and not self.have_ended(now)


ALWAYS = Dates()
