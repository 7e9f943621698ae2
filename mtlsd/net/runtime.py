"""The life cycle of the daemon: start, serve, reload, stop. READY is sent only after every listener is open."""

import os
import signal
import socket
import time
from pathlib import Path

import trio

from mtlsd import log
from mtlsd.config.addresses import Address
from mtlsd.journal.location import Place, open_journal
from mtlsd.journal.node_lock import lock_directory, node_of
from mtlsd.journal.proof.checkpoints import NodeKey, load_key
from mtlsd.journal.spool import Spool
from mtlsd.journal.sql.journal import Journal
from mtlsd.log import Logger
from mtlsd.net import systemd
from mtlsd.net.admin import admin
from mtlsd.net.admin.admin import Admin
from mtlsd.net.admin.health import Health
from mtlsd.net.background.checkpoints import Notary, configuration_note
from mtlsd.net.background.expiry_alerts import ExpiryLook
from mtlsd.net.background.left_out_lines import count_left_out_lines
from mtlsd.net.background.retention import keep_retention
from mtlsd.net.client.resolver import Lookups
from mtlsd.net.deliveries.health_checks import check_backends
from mtlsd.net.deliveries.worker import Worker
from mtlsd.net.reload import Reload, note_problems, report
from mtlsd.net.server.listeners import Listeners
from mtlsd.net.services.state import State
from mtlsd.snapshot.snapshot import Snapshot, load_snapshot

MAX_NAMES = 20  # of files that the log names at once


class Runtime:
    """Runs one daemon until a signal stops it."""

    def __init__(self, file: Path, logger: Logger) -> None:
        credentials = os.environ.get("CREDENTIALS_DIRECTORY")
        self._file = file
        self._credentials = Path(credentials) if credentials else None
        self._log = logger

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT.

        Raises ConfigurationError, DirectoryInUse, JournalUnavailable or SpoolFull at the start.
        """
        snapshot = load_snapshot(self._file, self._credentials, time.time())
        server = snapshot.configuration.server
        with lock_directory(server.state):
            node = node_of(server.state, f"{socket.gethostname()}-{os.urandom(4).hex()}")
            key = load_key(server.state)
            place = Place(server.journal, server.state, self._credentials)
            journal = open_journal(place, node, chain=key.node)
            await self._run_with(snapshot, node, Spool(server.spool_directory, node), journal, key)
        self._log.info(log.STOPPED)

    async def _run_with(self, snapshot: Snapshot, node: str, spool: Spool, journal: Journal, key: NodeKey) -> None:
        state = State(snapshot, journal, spool, self._log, node=node)
        trio.socket.set_custom_hostname_resolver(Lookups())
        notary = Notary(state, key)
        try:
            report(self._log, snapshot)
            note_problems(self._log, snapshot)
            self._sweep(state)
            journal.proof.enter([configuration_note(snapshot, state.clock())])
            state.promoter.recall()
            notary.sign()
            await self._serve(state, notary)
            state.promoter.flush()
            notary.sign()
        finally:
            journal.close()

    async def _serve(self, state: State, notary: Notary) -> None:
        async with trio.open_nursery() as background:
            async with trio.open_nursery() as connections:
                listeners = Listeners(state, connections)
                reload = Reload(state, listeners, self._credentials)
                addresses = state.snapshot.listeners.keys()
                with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
                    await state.revocations.load(state.snapshot)
                    listeners.serve(listeners.bind(addresses), keep=addresses)
                    admin_address = await self._watch(state, background)
                    background.start_soon(state.client_connections.run)
                    background.start_soon(Worker(state).run)
                    background.start_soon(check_backends, state)
                    background.start_soon(notary.run)
                    background.start_soon(keep_retention, state)
                    background.start_soon(state.promoter.run)
                    background.start_soon(ExpiryLook(state).run)
                    background.start_soon(count_left_out_lines, state)
                    background.start_soon(systemd.watchdog)
                    background.start_soon(reload.on_change)
                    background.start_soon(state.revocations.run, lambda: state.snapshot)
                    listening = [str(address) for address in addresses]
                    self._log.info(log.STARTED, listening=listening, admin=str(admin_address))
                    systemd.ready(reload.status())
                    await reload.on_signals(signals)
                self._log.info(log.STOPPING, connections=state.connections.total())
                systemd.stopping()
                listeners.close()
                state.stop()
                deadline = state.snapshot.configuration.limits.shutdown_seconds
                connections.cancel_scope.deadline = trio.current_time() + deadline
            background.cancel_scope.cancel()

    async def _watch(self, state: State, background: trio.Nursery) -> Address:
        """Start the health checks and the admin address, which run until the daemon ends; return the admin address."""
        configuration = state.snapshot.configuration
        listener = admin.bind(configuration.file, configuration.server.admin)
        health = Health(state)
        background.start_soon(Admin(state, health).serve, listener)
        await health.look()
        background.start_soon(health.watch)
        return Address(*listener.socket.getsockname()[:2])

    def _sweep(self, state: State) -> None:
        """Remove files that a crash left in the spool; files of messages only if the journal has any messages."""
        known = state.journal.spool_names()
        if not state.journal.messages(limit=1) and any(state.spool.kept()):
            self._log.warning(
                log.NOT_SWEPT, detail="the spool has messages and the journal has none: is it the right one?"
            )
            known = state.spool.kept()
        if swept := state.spool.sweep(known):
            detail = "left by a crash; nothing of it was acknowledged"
            self._log.warning(log.SWEPT, files=len(swept), names=swept[:MAX_NAMES], detail=detail)
