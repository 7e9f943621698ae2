"""The daemon as one call: connects all parts, and returns an exit code if the start fails."""

import sqlite3
import sys
from pathlib import Path

import trio

from mtlsd import log
from mtlsd.config.load import read_configuration
from mtlsd.config.model import Server
from mtlsd.errors import ConfigurationError, JournalUnavailable, SpoolFull
from mtlsd.journal.location import Place
from mtlsd.journal.node_lock import DirectoryInUse
from mtlsd.net.runtime import Runtime

EXIT_FINE, EXIT_REFUSED, EXIT_USAGE, EXIT_CONFIGURATION = 0, 1, 2, 78
SWITCH_SECONDS = 0.0005  # that a busy thread may keep the event loop waiting; the default of Python is 0.005


def run(file: Path, *, verbose: bool = False, colours: bool = True) -> int:
    """Run the daemon until it is stopped, and return the exit code.

    `verbose` and `colours` are for a log that goes to a terminal.
    Raises ConfigurationError if an error in the files prevents the start.
    """
    logger = log.configure(verbose=verbose, colours=colours)
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        trio.run(Runtime(file, logger).run)
    except BaseExceptionGroup as group:
        raise _only(group) from group
    except DirectoryInUse as error:  # no configuration error: the other daemon may be about to stop
        logger.error(log.STOPPED, reason="state_in_use", detail=str(error))
        return EXIT_REFUSED
    except (JournalUnavailable, SpoolFull) as error:
        logger.error(log.STOPPED, reason=error.reason, detail=_advice(error, read_configuration(file).server))
        return EXIT_REFUSED
    return EXIT_FINE


def _advice(error: JournalUnavailable | SpoolFull, server: Server) -> str:
    """The location of the problem, the problem, and the advice."""
    cause = error.__cause__
    if isinstance(cause, OSError):
        place, what = cause.filename or server.state, cause.strerror or str(cause)
    else:
        place, what = Place(server.journal, server.state), error.detail
    return ": ".join(filter(None, (f"cannot use {place}", what, _remedy(error))))


def _remedy(error: JournalUnavailable | SpoolFull) -> str:
    if isinstance(error, SpoolFull):
        return "make room on its disk"
    match error.__cause__:
        case OSError() | sqlite3.OperationalError():
            return "look at its disk, and make it belong to the user of mtlsd"
        case sqlite3.DatabaseError():
            return "restore it from a backup, or move it away for a new one, which then knows of no message"
    return ""  # the journal's own message has the advice


def _only(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The only error in a group that nurseries have wrapped around it, otherwise the group."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error if isinstance(error, ConfigurationError) else group
