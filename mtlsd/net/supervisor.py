"""The daemon's life: start, serve, reload, stop. READY is said only when every listener is up."""

import os
import signal
from pathlib import Path

import trio

from mtlsd import log
from mtlsd.errors import ConfigurationError, Problem
from mtlsd.journal import DirectoryInUse, Spool, SQLiteJournal, lock_directory
from mtlsd.log import Logger
from mtlsd.net import systemd
from mtlsd.net.daemon import Daemon
from mtlsd.net.health import check_backends
from mtlsd.net.listeners import Listeners
from mtlsd.net.lookups import Lookups
from mtlsd.net.reload import Reload, report
from mtlsd.net.snapshot import Snapshot, load
from mtlsd.net.worker import Worker


class Supervisor:
    """Runs one daemon until a signal stops it."""

    def __init__(self, file: Path, logger: Logger) -> None:
        credentials = os.environ.get("CREDENTIALS_DIRECTORY")
        self._file = file
        self._credentials = Path(credentials) if credentials else None
        self._log = logger

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT; raises ConfigurationError, JournalUnavailable or SpoolFull at the start."""
        snapshot = load(self._file, self._credentials)
        state = snapshot.configuration.server.state
        try:
            with lock_directory(state):
                await self._run_with(snapshot, Spool(state / "spool"), SQLiteJournal(state / "journal.sqlite"))
        except DirectoryInUse as error:
            raise ConfigurationError((Problem(self._file, str(error), key="server.state"),)) from error
        self._log.info(log.STOPPED)

    async def _run_with(self, snapshot: Snapshot, spool: Spool, journal: SQLiteJournal) -> None:
        daemon = Daemon(snapshot, journal, spool, self._log)
        trio.socket.set_custom_hostname_resolver(Lookups())
        try:
            report(self._log, snapshot)
            self._sweep(daemon)
            await self._serve(daemon)
        finally:
            journal.close()

    async def _serve(self, daemon: Daemon) -> None:
        async with trio.open_nursery() as background:
            async with trio.open_nursery() as connections:
                listeners = Listeners(daemon, connections)
                reload = Reload(daemon, listeners, self._credentials)
                addresses = daemon.snapshot.listeners.keys()
                with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
                    listeners.serve(listeners.bind(addresses), keep=addresses)
                    background.start_soon(Worker(daemon).run)
                    background.start_soon(check_backends, daemon)
                    background.start_soon(systemd.watchdog)
                    background.start_soon(reload.on_change)
                    self._log.info(log.STARTED, listening=[str(address) for address in addresses])
                    systemd.ready(reload.status())
                    await reload.on_signals(signals)
                self._log.info(log.STOPPING, connections=daemon.connections.total())
                systemd.stopping()
                listeners.close()
                daemon.stop()
                deadline = daemon.snapshot.configuration.limits.shutdown_seconds
                connections.cancel_scope.deadline = trio.current_time() + deadline
            background.cancel_scope.cancel()

    def _sweep(self, daemon: Daemon) -> None:
        """Remove what a crash left in the spool; not where the journal knows of nothing at all."""
        known = set(daemon.journal.spool_names())
        if not known and daemon.spool.holds_messages():
            self._log.warning(
                log.NOT_SWEPT, detail="the spool has messages and the journal has none: is it the right one?"
            )
            return
        if swept := daemon.spool.sweep(known):
            self._log.warning(log.SWEPT, files=len(swept), detail="left by a crash; nothing of it was acknowledged")
