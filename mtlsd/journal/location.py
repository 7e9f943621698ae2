"""Where a journal is, and how it is opened there. PostgreSQL's library is loaded for those alone who use it."""

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from mtlsd.journal.proof.checkpoints import UNNAMED
from mtlsd.journal.protocol import Journal
from mtlsd.journal.spool import disk_errors
from mtlsd.journal.sql.sqlite import MIGRATIONS, SQLiteJournal, version_of

PASSWORD = "journal.password"  # noqa: S105  # the name of the systemd credential


@dataclass(frozen=True, slots=True)
class Place:
    """`journal` is "sqlite" or the URL of a PostgreSQL database; `credentials` is systemd's directory of them."""

    journal: str
    state: Path
    credentials: Path | None = None

    def __str__(self) -> str:
        return self.url or str(self.file)

    @property
    def url(self) -> str | None:
        """The database, where it is one of PostgreSQL."""
        return None if self.journal == "sqlite" else self.journal

    @property
    def file(self) -> Path:
        """The file of SQLite."""
        return self.state / "journal.sqlite"

    def password(self) -> str | None:
        """The systemd credential `journal.password`, where there is one; raises JournalUnavailable."""
        if self.credentials is None or not (self.credentials / PASSWORD).exists():
            return None
        with disk_errors():
            return (self.credentials / PASSWORD).read_text().strip("\r\n")


def open_journal(place: Place, node: str = "", *, chain: str = UNNAMED, read_only: bool = False) -> Journal:
    """Open the journal: a file is made or migrated as needed, unless it is only read; a database must be ours already.

    `node` is who we are among those who share it, and `chain` the name of our key, whose chain takes the entries.
    Raises JournalUnavailable or SpoolFull.
    """
    if place.url is None:
        return SQLiteJournal(place.file, read_only=read_only, node=chain)
    from mtlsd.journal.sql.postgres import PostgresJournal

    return PostgresJournal(place.url, node=node, chain=chain, password=place.password())


def migrate_journal(place: Place) -> tuple[int, int]:
    """Bring the journal to our version; return its version before and after. Raises JournalUnavailable or SpoolFull."""
    if place.url is None:
        before = version_of(place.file)
        with closing(SQLiteJournal(place.file)):
            return before, len(MIGRATIONS)
    from mtlsd.journal.sql.postgres import migrate

    return migrate(place.url, place.password())
