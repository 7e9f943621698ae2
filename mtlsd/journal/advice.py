"""Advice for operators if the journal or the spool cannot be used."""

import sqlite3

from mtlsd.errors import JournalUnavailable, SpoolFull

_HELD = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def remedy(error: JournalUnavailable | SpoolFull) -> str:
    """One sentence, chosen by the error of the system or the database."""
    cause = error.__cause__
    if isinstance(error, SpoolFull):
        return f"Make room on the disk of {'the database' if _is_of_postgres(cause) else '`state` and `spool`'}."
    if isinstance(cause, sqlite3.Error) and getattr(cause, "sqlite_errorcode", 0) & 0xFF in _HELD:
        return "Stop the other program that locks the journal, such as a backup or a `sqlite3` shell."
    if _is_of_postgres(cause):
        return "Start PostgreSQL, or check the network, `journal` and the password file."
    if cause is None:
        return "Follow the detail; if the error remains, restart mtlsd."
    return "Check the disk, the mode and the owner of `state` and `spool`."


def _is_of_postgres(cause: BaseException | None) -> bool:
    """Whether the error is from the driver of PostgreSQL, which is imported only if it is used."""
    return type(cause).__module__.partition(".")[0] == "psycopg"
