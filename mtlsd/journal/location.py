"""The place of a journal, and how the journal is opened. The driver of PostgreSQL is imported only if it is used."""

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from mtlsd.journal.proof.checkpoints import UNNAMED
from mtlsd.journal.spool import disk_errors
from mtlsd.journal.sql.journal import Journal
from mtlsd.journal.sql.sqlite import MIGRATIONS, SQLiteJournal, version_of

PASSWORD = "journal.password"  # noqa: S105  # the name of the systemd credential


@dataclass(frozen=True, slots=True)
class Place:
    """The place of a journal: `journal` is "sqlite" or the URL of a PostgreSQL database.

    `credentials` is the directory of the credentials of systemd.
    """

    journal: str
    state: Path
    credentials: Path | None = None

    def __str__(self) -> str:
        return self.url or str(self.file)

    @property
    def url(self) -> str | None:
        """The URL of the PostgreSQL database, if the journal is in one."""
        return None if self.journal == "sqlite" else self.journal

    @property
    def file(self) -> Path:
        """The file of SQLite."""
        return self.state / "journal.sqlite"

    def password(self) -> str | None:
        """The systemd credential `journal.password`, if it exists; raises JournalUnavailable."""
        if self.credentials is None or not (self.credentials / PASSWORD).exists():
            return None
        with disk_errors():
            return (self.credentials / PASSWORD).read_text().strip("\r\n")


def open_journal(place: Place, node: str = "", *, chain: str = UNNAMED, read_only: bool = False) -> Journal:
    """Open the journal. A file is created or migrated if needed, unless `read_only`; a database must be migrated.

    `node` is the name of this node among the nodes of the database, and `chain` the name of its chain, which is the
    fingerprint of its key. Raises JournalUnavailable or SpoolFull.
    """
    if place.url is None:
        return SQLiteJournal(place.file, read_only=read_only, node=chain)
    from mtlsd.journal.sql.postgres import PostgresJournal

    return PostgresJournal(place.url, node=node, chain=chain, password=place.password())


def migrate_journal(place: Place) -> tuple[int, int]:
    """Migrate the journal; return its version before and after. Raises JournalUnavailable or SpoolFull."""
    if place.url is None:
        before = version_of(place.file)
        with closing(SQLiteJournal(place.file)):
            return before, len(MIGRATIONS)
    from mtlsd.journal.sql.postgres import migrate

    return migrate(place.url, place.password())
