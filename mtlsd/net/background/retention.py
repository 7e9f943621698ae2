"""Retention in the daemon: runs periodically, in batches small enough that nothing has to wait."""

from collections.abc import Iterator
from functools import partial

import trio

from mtlsd import log
from mtlsd.errors import JournalUnavailable, SpoolFull
from mtlsd.journal.retention import Pruned, RetentionPolicy, prune
from mtlsd.net.services.state import State
from mtlsd.snapshot.snapshot import Snapshot

FIRST_SECONDS = 60  # after the start
EVERY_SECONDS = 3600
PAUSE_SECONDS = 0.1  # between two batches


async def keep_retention(state: State) -> None:
    """Delete contents as `[retention]` says, until cancelled."""
    await trio.sleep(FIRST_SECONDS)
    while True:
        try:
            await prune_once(state)
        except (JournalUnavailable, SpoolFull) as error:
            state.log.error(log.RETENTION_FAILED, reason=error.reason, detail=error.detail)
        await trio.sleep(EVERY_SECONDS)


async def prune_once(state: State) -> None:
    """Delete everything that is due now."""
    policy_of = partial(retention_of, state.snapshot)
    batches = prune(state.journal, state.spool, policy_of, "mtlsd", state.clock())
    while (batch := await trio.to_thread.run_sync(_next, batches)) is not None:
        state.log.info(log.PRUNED, partner=batch.partner, **_counts(batch))
        await trio.sleep(PAUSE_SECONDS)


def _counts(batch: Pruned) -> dict[str, int]:
    return {"refusals": batch.refusals} if batch.refusals else {"messages": batch.messages, "bytes": batch.octets}


def retention_of(snapshot: Snapshot, partner: str) -> RetentionPolicy:
    """The retention of a partner: its own if it has one, otherwise the general retention."""
    settings, known = snapshot.configuration.retention, snapshot.truststore.partners.get(partner)
    days = known.retention_days if known else None
    max_bytes = known.retention_max_bytes if known else None
    return RetentionPolicy(
        settings.days if days is None else days, settings.max_bytes if max_bytes is None else max_bytes
    )


def _next(batches: Iterator[Pruned]) -> Pruned | None:
    return next(batches, None)
