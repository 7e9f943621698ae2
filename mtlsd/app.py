"""The daemon as one call: everything wired together, and what goes wrong at the start as an exit code."""

from pathlib import Path

import trio

from mtlsd import log
from mtlsd.errors import ConfigurationError, JournalUnavailable, SpoolFull
from mtlsd.net import Supervisor

EXIT_FINE, EXIT_REFUSED, EXIT_USAGE, EXIT_CONFIGURATION = 0, 1, 2, 78


def run(file: Path) -> int:
    """Run the daemon until it is stopped, and return the exit code.

    Raises ConfigurationError where it cannot start because of what the files say.
    """
    logger = log.configure()
    try:
        trio.run(Supervisor(file, logger).run)
    except BaseExceptionGroup as group:
        raise _only(group) from group
    except (JournalUnavailable, SpoolFull) as error:
        logger.error(log.STOPPED, reason=error.reason, detail=error.detail)
        return EXIT_REFUSED
    return EXIT_FINE


def _only(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The one error in a group that nurseries have wrapped around it, or the group."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error if isinstance(error, ConfigurationError) else group
