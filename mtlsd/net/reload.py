"""Reloading: build a whole new snapshot, then swap one reference. A reload is never partial.

If there is an error outside of partners/, the current snapshot stays in force. Under partners/, the readable files take
effect without the others, and the log reports which file failed and why.
"""

import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import trio

from mtlsd import log
from mtlsd.errors import ConfigurationError, JournalUnavailable, Problem, SpoolFull
from mtlsd.log import Logger
from mtlsd.net import systemd
from mtlsd.net.background.checkpoints import configuration_note
from mtlsd.net.server.listeners import Listeners
from mtlsd.net.services.state import State
from mtlsd.net.watch import TreeWatch
from mtlsd.snapshot.problem_notes import notes_directory, update_notes
from mtlsd.snapshot.snapshot import Changes, Snapshot, load_snapshot

NO_WATCHES = (
    "no inotify watch is left for some directories: a change there is seen within a minute or so; raise the sysctl "
    "fs.inotify.max_user_watches above three times the number of partners"
)
FIXED = ("state", "certs", "admin", "journal", "spool")  # of `config.Server`


class Reload:
    """Reloads one daemon, one reload at a time."""

    def __init__(self, state: State, listeners: Listeners, credentials: Path | None) -> None:
        self._state = state
        self._listeners = listeners
        self._credentials = credentials
        self._lock = trio.Lock()
        self._waiting: Changes | None = Changes()  # changes that failed reloads should have read; None: all

    async def on_signals(self, signals: AsyncIterator[int]) -> None:
        """Reload on SIGHUP; return on any other signal."""
        async for number in signals:
            if number != signal.SIGHUP:
                return
            await self.reload()

    async def on_change(self) -> None:
        """Reload when the configuration or anything below certs/ changes; never returns."""
        limited = False
        with TreeWatch(lambda: self._state.snapshot) as watch:
            while True:
                changes = await watch.changed()
                if watch.limited and not limited:
                    limited = True
                    self._state.log.warning(log.WATCH_LIMITED, detail=NO_WATCHES)
                await self.reload(changes)

    async def reload(self, changes: Changes | None = None) -> None:
        """Read the changed files, or all files if `changes` is None; on any error, log it and keep the old snapshot.

        The next reload also reads the changes that a failed reload should have read.
        """
        by = "signal" if changes is None else "change"
        async with self._lock:
            changes = None if changes is None or self._waiting is None else changes | self._waiting
            self._waiting = changes
            systemd.reloading()
            outcome = "failure"
            try:
                await self._swap(changes, by)
                outcome, self._waiting = "success", Changes()
            except ConfigurationError as error:
                for problem in error.problems:
                    self._state.log.error(log.RELOAD_FAILED, **_facts(problem))
            except Exception:  # a bug that a file triggers must not stop the daemon
                self._state.log.exception(log.INTERNAL_ERROR, doing="reload")
            self._state.metrics.reload(outcome)
            systemd.ready(self.status())

    def status(self) -> str:
        """One line for `systemctl status`."""
        snapshot = self._state.snapshot
        return f"{len(snapshot.hosts)} hosts, {len(snapshot.truststore.partners)} partners"

    async def _swap(self, changes: Changes | None, by: str) -> None:
        previous = self._state.snapshot
        file = previous.configuration.file
        read_at = time.time()  # compared with file times, so not the daemon's clock
        snapshot = await trio.to_thread.run_sync(load_snapshot, file, self._credentials, read_at, previous, changes)
        _check_fixed(previous, snapshot)
        if self._state.stopping:  # the listeners have closed meanwhile, and stay closed
            return
        opened = self._listeners.bind(snapshot.listeners)
        self._state.swap(snapshot)
        self._listeners.serve(opened, keep=snapshot.listeners)
        if changes and not changes.own and _is_the_same(previous, snapshot, changes.partners):
            return  # read again only to be sure: nothing to report
        report(self._state.log, snapshot, previous if changes else None)
        await trio.to_thread.run_sync(note_problems, self._state.log, snapshot)
        if snapshot.version != previous.version:
            await self._enter(snapshot)
        self._state.log.info(
            log.RELOADED,
            by=by,
            partners=len(snapshot.truststore.partners),
            **_changes(previous, snapshot, anew=changes is None),
        )

    async def _enter(self, snapshot: Snapshot) -> None:
        """Enter the new version in the chain; the configuration is in force even if the entry cannot be written."""
        note = configuration_note(snapshot, self._state.clock())
        try:
            await trio.to_thread.run_sync(self._state.journal.proof.enter, [note])
        except (JournalUnavailable, SpoolFull) as error:
            self._state.log.error(log.CONFIGURATION_NOT_ENTERED, reason=error.reason, detail=error.detail)


def _is_the_same(previous: Snapshot, snapshot: Snapshot, read: frozenset[str]) -> bool:
    """Whether these partners were read again only to be sure, and are unchanged, including their problems."""
    if snapshot.version != previous.version or not (snapshot.registry and previous.registry):
        return False
    if not previous.registry.are_unsettled(read):
        return False
    names = snapshot.registry.concerned
    return snapshot.registry.about(names) == previous.registry.about(names)


def _changes(previous: Snapshot, snapshot: Snapshot, *, anew: bool) -> dict[str, list[str]]:
    """The differences from before: partners by name, and the addresses if they changed."""
    old, new = previous.truststore.partners, snapshot.truststore.partners
    names = snapshot.registry.concerned if snapshot.registry else frozenset()
    if anew:
        names |= old.keys()
    changes = {
        "added": sorted(name for name in names if name in new and name not in old),
        "removed": sorted(name for name in names if name in old and name not in new),
        "changed": sorted(name for name in names if name in old and name in new and old[name] != new[name]),
        "listening": sorted(map(str, snapshot.listeners))
        if snapshot.listeners.keys() != previous.listeners.keys()
        else [],
    }
    return {name: values for name, values in changes.items() if values}


def report(logger: Logger, snapshot: Snapshot, previous: Snapshot | None = None) -> None:
    """Log what is disabled, and what the operators should check: for all files, or those read since `previous`."""
    remarks = snapshot.remarks(previous)
    for problem in remarks.problems:
        logger.error(log.CONFIGURATION_PROBLEM, **_facts(problem))
    for warning in remarks.warnings:
        logger.warning(log.CONFIGURATION_WARNING, **_facts(warning))


def note_problems(logger: Logger, snapshot: Snapshot) -> None:
    """Update the notes beside the partners' files; a failure is only logged."""
    try:
        update_notes(snapshot)
    except OSError as error:
        logger.warning(log.NOTES_NOT_WRITTEN, file=str(notes_directory(snapshot)), detail=str(error))


def _facts(problem: Problem) -> dict[str, object]:
    facts = {"file": str(problem.file), "line": problem.line, "key": problem.key, "detail": problem.message}
    return dict(problem.facts) | {name: value for name, value in facts.items() if value is not None}


def _check_fixed(previous: Snapshot, snapshot: Snapshot) -> None:
    """Reject changes of settings that a running daemon cannot change."""
    old, new = previous.configuration, snapshot.configuration
    changed = [name for name in FIXED if getattr(old.server, name) != getattr(new.server, name)]
    if changed:
        message = f"`{'` and `'.join(changed)}` can be changed with a restart only"
        raise ConfigurationError((Problem(new.file, message, key="server"),))
