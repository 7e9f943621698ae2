"""What an operator does where the journal or the spool cannot be used."""

import sqlite3

from mtlsd.errors import JournalUnavailable, SpoolFull

_HELD = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_DATABASE = "Start PostgreSQL, or look at the network between, and at `journal` and its password file."


def remedy(error: JournalUnavailable | SpoolFull) -> str:
    """One sentence, by what the system or the database said."""
    cause = error.__cause__
    if isinstance(error, SpoolFull):
        return f"Make room on the disk of {'the database' if _is_of_postgres(cause) else '`state` and `spool`'}."
    if isinstance(cause, sqlite3.Error) and getattr(cause, "sqlite_errorcode", 0) & 0xFF in _HELD:
        return "End the other program that holds the journal, such as a backup or a shell of `sqlite3`."
    if _is_of_postgres(cause):
        return _DATABASE
    if cause is None:
        return "Do what the detail says; where it stays so, restart mtlsd."
    return "Look at the disk, the mode and the owner of `state` and `spool`."


def _is_of_postgres(cause: BaseException | None) -> bool:
    """Whether it is from PostgreSQL's driver, which is not loaded where nothing uses it."""
    return type(cause).__module__.partition(".")[0] == "psycopg"
