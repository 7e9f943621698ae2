"""The log as people read it on a terminal: one short line for each event. The full events are in `log`."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

Event = Mapping[str, Any]

_RESET, _DIM, _RED, _GREEN, _YELLOW = "\x1b[0m", "\x1b[2m", "\x1b[31m", "\x1b[32m", "\x1b[33m"
_LEVELS = {"warning": _YELLOW, "error": _RED, "critical": _RED}
# Too long for a short line, or written elsewhere in the line.
_HIDDEN = frozenset({"time", "level", "event", "exception", "reason", "detail", "file", "line", "key"}) | frozenset(
    {"request_id", "delivery", "subject", "issuer", "serial", "sha256", "chain", "unreadable", "mic", "signature"}
    | {"digest", "node", "at", "configuration"}
)


def short_line(event: Event, *, colours: bool) -> str:
    """One line for an event whose values are printable: time, who, what, and in a refusal why; then any traceback."""
    level = event.get("level", "info")
    words = _WRITERS.get(event["event"], _other)(event)
    text = " ".join(str(word) for word in words if word not in (None, ""))
    time, mark = str(event.get("time", "")), "" if level == "info" else f"{level} "
    if colours:
        time, mark = f"{_DIM}{time}{_RESET}", f"{_LEVELS[level]}{mark}{_RESET}" if mark else ""
    traceback = f"\n{event['exception']}" if event.get("exception") else ""
    return f"{time} {mark}{text}{traceback}"


def _exchange(event: Event) -> Iterator[object]:
    yield event.get("partner") or event.get("client")
    yield event.get("method")
    yield event.get("path")
    yield event.get("status")
    yield event.get("reason")
    yield _octets(event.get("payload_bytes"))
    yield event.get("filename")
    yield "duplicate" if event.get("duplicate_of") else None
    yield from _ending(event, event.get("alert"))


def _delivery(event: Event) -> Iterator[object]:
    yield event.get("partner")
    yield "MDN" if event.get("kind") == "mdn" else "delivery"
    yield event.get("state")
    yield event.get("reason")
    yield "to"
    yield event.get("target")
    yield f"attempt {event['attempt']}" if event.get("attempt", 1) != 1 else None
    yield from _ending(event)


def _handshake(event: Event) -> Iterator[object]:
    yield event.get("client")
    yield "handshake failed:"
    yield event.get("reason")
    yield from _ending(event)


def _other(event: Event) -> Iterator[object]:
    """The event's name, its values, and the sentence with its place."""
    yield event["event"]
    yield event.get("reason")
    shown = ((name, value) for name, value in event.items() if name not in _HIDDEN and value not in (None, "", []))
    yield from (f"{name}={_listed(value)}" for name, value in shown)
    place = ":".join(str(event[name]) for name in ("file", "line", "key") if event.get(name))
    if place:
        yield f"{place}:" if event.get("detail") else place
    yield event.get("detail")


def _ending(event: Event, alert: object = None) -> Iterator[object]:
    """How long it took, and in parentheses what went wrong and with which certificate."""
    if event.get("duration_ms") is not None:
        yield f"{event['duration_ms']:.0f} ms"
    for said in (alert, event.get("detail"), event.get("subject"), event.get("nearest")):
        if said:
            yield f"({said})"


def _listed(value: object) -> object:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else value


def _octets(count: object) -> str | None:
    if not isinstance(count, int):
        return None
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} B"


_WRITERS: dict[str, Callable[[Event], Iterator[object]]] = {
    "exchange_finished": _exchange,
    "delivery_finished": _delivery,
    "handshake_failed": _handshake,
}
