"""One message or refusal, with its deliveries and its MDN, as text or as values of JSON."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from itertools import groupby
from typing import Any

from mtlsd.cli.output import iso, say, say_fields, say_text
from mtlsd.config.addresses import without_query
from mtlsd.journal.columns import header_fields, lane_text
from mtlsd.journal.model import Attempt, Delivery, Message, Refusal, StoredMDN

Attempted = list[tuple[Delivery, list[Attempt]]]
LONG = 120  # characters of a value of the header
_BASE64 = re.compile(
    r"[A-Za-z0-9+/]{16,}={0,2}|[A-Za-z0-9+/]{1,15}={1,2}"
)  # of a signature: whole lines, the last line
INLINE = "journal/"  # the beginning of the name of a document that is stored in the journal itself


def say_about(about: Message | Refusal, *, full: bool) -> None:
    """Write the record; long values of the request's header only with `full`."""
    say_fields(
        [
            ("id", about.id),
            ("Message-ID", about.message_id),
            ("AS2-From", about.as2_from),
            ("AS2-To", about.as2_to),
            ("partner", about.partner),
            *(_about_message(about) if isinstance(about, Message) else _about_refusal(about)),
        ]
    )
    if isinstance(about, Message):
        say()
        say("request")
        fields = header_fields(about)
        say_fields(fields if full else [(name, _shortened(value)) for name, value in fields], indent="  ")


def say_deliveries(deliveries: Attempted, ahead: Mapping[str, Delivery]) -> None:
    """Write the deliveries with their attempts; `ahead` has, by id, what a delivery in an ordered queue waits for."""
    for delivery, attempts in deliveries:
        say()
        say(f"delivery {delivery.id} to {shown_targets(delivery)}: {delivery.state}")
        say_fields(_standing(delivery, ahead.get(delivery.id)), indent="  ")
        for each in attempts:
            outcome = " ".join(str(word) for word in (each.status, each.reason, each.detail) if word)
            target = f"to {without_query(each.target)}  " if each.target else ""
            say(f"  attempt {each.number}  {iso(each.started_at)}  {target}{outcome}")


def shown_targets(delivery: Delivery) -> str:
    """The targets of a delivery on one line, without their queries, which may be secret."""
    return " ".join(map(without_query, delivery.targets))


def _standing(delivery: Delivery, ahead: Delivery | None) -> list[tuple[str, str | None]]:
    pending = delivery.state == "pending"
    pinned = without_query(delivery.pinned) if delivery.pinned else None
    waits = f"delivery {ahead.id} of {ahead.message_id or ahead.refusal_id}, which is {ahead.state}" if ahead else None
    return [
        ("kind", delivery.kind),
        ("pinned to", pinned),
        ("waits for", waits if pending else None),
        ("next attempt", iso(delivery.not_before) if pending and not ahead else None),
        ("ended", iso(delivery.finished_at)),
        ("lease until", iso(delivery.lease_until)),
    ]


def say_mdn(mdn: StoredMDN | None, *, full: bool) -> None:
    """Write the MDN; lines of base64 only with `full`."""
    say()
    if mdn is None:
        say("no MDN: the message did not request one")
        return
    say("MDN")
    say_fields(mdn.headers, indent="  ")
    say()
    body = mdn.body.decode("latin-1")
    say_text(body if full else "\n".join(_without_base64(body)), indent="  ")


def whole(
    about: Message | Refusal, deliveries: Attempted, ahead: Mapping[str, Delivery] | None = None
) -> dict[str, object]:
    mdn = about.mdn and {"headers": about.mdn.headers, "body": about.mdn.body.decode("latin-1")}
    values = _record(about)
    return {**values, "mdn": mdn, "deliveries": [_delivery(*each, ahead or {}) for each in deliveries]}


# --- Parts ----------------------------------------------------------------------------------------------------


def _about_refusal(refusal: Refusal) -> list[tuple[str, object]]:
    return [
        ("refused", iso(refusal.refused_at)),
        ("reason", refusal.reason),
        ("at", refusal.host),
        ("request id", refusal.request_id),
    ]


def _about_message(message: Message) -> list[tuple[str, object]]:
    return [
        ("received", iso(message.received_at)),
        ("at", f"{message.host}{message.route}"),
        ("request id", message.request_id),
        ("subject", message.subject),
        ("file name", message.filename),
        ("content type", message.content_type),
        ("bytes", message.size),
        ("compressed", ("yes" if message.compressed else "no") if message.payload else "unknown"),
        ("signed by", message.signer_sha256 or ("nobody" if message.payload else "unknown")),
        ("encrypted with", message.encrypted_with or "nothing"),
        ("MIC", f"{message.mic}, {message.mic_algorithm}" if message.mic else None),
        ("payload", _place(message.payload, message.size) if message.payload else "not opened"),
        ("original", _place(message.original, message.original_size)),
        *(("note", note) for note in message.notes),
    ]


def _shortened(value: str) -> str:
    """The value, or its beginning and its length."""
    if len(value) <= LONG:
        return value
    return f"{value[: LONG // 2]}… ({len(value)} characters: --full shows them)"


def _without_base64(body: str) -> Iterator[str]:
    """The lines of a body, with one line in place of several lines of base64."""
    for is_base64, lines in groupby(body.splitlines(), lambda line: _BASE64.fullmatch(line) is not None):
        found = list(lines)
        yield from [f"({len(found)} lines of base64: --full shows them)"] if is_base64 and len(found) > 1 else found


def _place(name: str, size: int) -> str:
    return f"in the journal ({size} bytes)" if name.startswith(INLINE) else name


def _record(about: Message | Refusal) -> dict[str, Any]:
    values = asdict(about)
    if not isinstance(about, Message):
        return _with_times(values, "refused_at")
    del values["client_certificates"]
    return _with_times(values | {"headers": header_fields(about)}, "received_at")


def _delivery(delivery: Delivery, attempts: list[Attempt], ahead: Mapping[str, Delivery]) -> dict[str, Any]:
    values = {"id": delivery.id, "target": shown_targets(delivery), **asdict(delivery)}
    del values["targets"]
    values = _without_queries(values | {"lane": lane_text(delivery.lane)}, "pinned", "lane")
    values = _with_times(values, "not_before", "created_at", "lease_until", "finished_at")
    waits_for = ahead[delivery.id].id if delivery.id in ahead else None
    tried = {"attempts_made": delivery.attempts, "attempts": list(map(_attempt, attempts))}
    return {**values, "waits_for": waits_for, **tried}


def _attempt(attempt: Attempt) -> dict[str, Any]:
    return _with_times(_without_queries(asdict(attempt), "target"), "started_at", "finished_at")


def _without_queries(values: dict[str, Any], *names: str) -> dict[str, Any]:
    """The values without the queries of these URLs, which may be secret; only the journal has the whole URLs."""
    return values | {name: without_query(values[name]) for name in names if values[name] is not None}


def _with_times(values: dict[str, Any], *names: str) -> dict[str, Any]:
    return values | {name: iso(values[name]) for name in names}
