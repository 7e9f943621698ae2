"""Claims due deliveries, lane by lane. These functions are parts of a transaction.

In a lane without order, deliveries that another node is claiming are skipped. In an ordered lane only the first
delivery counts: if another node has it, or it waits, or it has failed, nothing in the lane can be claimed.
"""

from collections.abc import Iterator, Mapping, Sequence

from mtlsd.journal import columns
from mtlsd.journal.model import Claimed, Delivery, Lane, Message, Refusal
from mtlsd.journal.sql import rows
from mtlsd.journal.sql.port import Statements


def due(db: Statements, now: float, limit: int, room: Mapping[Lane, int]) -> list[Delivery]:
    """The deliveries that may be claimed in all lanes, the oldest first, locked until the commit."""
    found = (each for lane in _lanes(db) for each in _due_in(db, lane, now, min(limit, room.get(lane, limit))))
    return sorted(found, key=lambda each: (each.not_before, each.id))[:limit]


def claim(db: Statements, leased: Sequence[Delivery]) -> list[Claimed]:
    """Write the leases, and read the message or refusal of each delivery."""
    leases = [
        {"id": each.id, "attempts": each.attempts, "owner": each.lease_owner, "until": each.lease_until}
        for each in leased
    ]
    db.each("lease_delivery", leases)
    messages = {row["id"]: rows.message(row) for row in _each_by_id(db, "message", [d.message_id for d in leased])}
    refusals = {row["id"]: rows.refusal(row) for row in _each_by_id(db, "refusal", [d.refusal_id for d in leased])}
    about: dict[str, Message | Refusal] = {**messages, **refusals}
    return [Claimed(each, about[rows.subject(each)]) for each in leased]


def next_due(db: Statements, room: Mapping[Lane, int]) -> Iterator[float]:
    """The time of the next claim in each lane that has room."""
    for lane in _lanes(db):
        if room.get(lane, 1) > 0 and (at := _next_due_in(db, lane)) is not None:
            yield at


def first(db: Statements, lane: Lane) -> Delivery | None:
    """The first delivery of an ordered lane."""
    row = db.one("first_in_lane", lane=columns.lane_text(lane))
    return rows.delivery(row) if row else None


def _lanes(db: Statements) -> list[Lane]:
    return [columns.lane(row["lane"]) for row in db.all("open_lanes")]


def _due_in(db: Statements, lane: Lane, now: float, limit: int) -> list[Delivery]:
    """The deliveries that may be claimed in one lane, the oldest first; in an ordered lane the first, if it is due."""
    if limit <= 0:
        return []
    if not lane.ordered:
        return [rows.delivery(row) for row in db.all("due_in_lane", lane=columns.lane_text(lane), now=now, limit=limit)]
    at = rows.due_at(only := _lock_first(db, lane))
    return [only] if only and at is not None and at <= now else []


def _lock_first(db: Statements, lane: Lane) -> Delivery | None:
    """The first delivery of an ordered lane; None if another node has it, because no other may overtake it."""
    found = first(db, lane)
    row = db.one("lock_first", id=found.id) if found else None
    return rows.delivery(row) if row else None


def _next_due_in(db: Statements, lane: Lane) -> float | None:
    if lane.ordered:
        return rows.due_at(first(db, lane))
    row = db.one("next_due_in_lane", lane=columns.lane_text(lane))
    return row["due"] if row else None


def _each_by_id(db: Statements, query: str, ids: Sequence[str | None]) -> list[rows.Row]:
    wanted = dict.fromkeys(id_ for id_ in ids if id_ is not None)
    return [row for row in db.each_one(query, [{"id": id_} for id_ in wanted]) if row]
