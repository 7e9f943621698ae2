"""The log: one JSON object per line on stderr, or one short line for people if stderr is a terminal.

Events are names, not sentences. No payload, key, token or passphrase is ever logged, at any level.

A peer chooses many of the values, so all of them are cut here: a value at 256 characters, a sentence or a path of ours
at 1,024, a list at half as many items, and the longest values further until the line has at most MAX_LINE octets.
"""

import json
import logging
import sys
from collections.abc import Callable, Mapping
from itertools import islice
from typing import TextIO

import structlog

from mtlsd.log_lines import short_line
from mtlsd.text import LONGEST, cut, printable

EXCHANGE_FINISHED = "exchange_finished"
HANDSHAKE_FAILED = "handshake_failed"
CONNECTION_REFUSED = "connection_refused"
DELIVERY_FINISHED = "delivery_finished"
RELOADED = "reloaded"
RELOAD_FAILED = "reload_failed"
WATCH_LIMITED = "watch_limited"
CONFIGURATION_PROBLEM = "configuration_problem"
CONFIGURATION_WARNING = "configuration_warning"
STARTED = "started"
STOPPING = "stopping"
STOPPED = "stopped"
SWEPT = "spool_swept"
NOT_SWEPT = "spool_not_swept"
DISK_LOW = "disk_low"
DISK_LOW_OVER = "disk_low_over"
CERTIFICATE_EXPIRES = "certificate_expires"
EXPIRY_ALERT_FAILED = "expiry_alert_failed"
INTERNAL_ERROR = "internal_error"
LINES_LEFT_OUT = "lines_left_out"
BACKEND_PAUSED = "backend_paused"
BACKEND_RESUMED = "backend_resumed"
ANSWER_MALFORMED = "answer_malformed"
WORKER_TROUBLE = "worker_trouble"
CHECKPOINT_SIGNED = "checkpoint_signed"
CHECKPOINT_FAILED = "checkpoint_failed"
CHAIN_BROKEN = "chain_broken"
PRUNED = "contents_pruned"
RETENTION_FAILED = "retention_failed"
CONFIGURATION_NOT_ENTERED = "configuration_not_entered"
CERTIFICATE_PROMOTED = "certificate_promoted"
PROMOTION_NOT_ENTERED = "promotion_not_entered"
CRL_FETCHED = "crl_fetched"
CRL_FETCH_FAILED = "crl_fetch_failed"
OCSP_FAILED = "ocsp_failed"
LIBRARY_TROUBLE = "library_trouble"
REPEAT_SECONDS = 60  # until a library's warning may be logged again
NOTES_NOT_WRITTEN = "notes_not_written"

MAX_LINE = 4096  # octets, without a traceback
_MAX_BARE = 3072  # on a terminal: the rest is for colours
_LONGEST_OF_OURS = {"detail": 1024, "file": 1024}  # by name; values of a peer in them are cut where they are quoted

_ENCODER = json.JSONEncoder(default=repr)  # created once: `json.dumps` with any option creates one per line

Logger = structlog.typing.FilteringBoundLogger


def configure(
    stream: TextIO = sys.stderr, *, console: bool | None = None, verbose: bool = False, colours: bool = True
) -> Logger:
    """Set up the log, once, and return it. With `verbose`, a terminal gets every value of an event."""
    console = stream.isatty() if console is None else console
    short = console and not verbose
    shared: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if short else "iso", utc=not short, key="time"),
        structlog.processors.format_exc_info,
    ]
    if console:
        renderer = _for_people(colours=colours) if short else _with_all_values(colours=colours)
        ending: list[structlog.typing.Processor] = [_short(_MAX_BARE, _size_on_terminal), _printable, renderer]
    else:
        ending = [_short(MAX_LINE, _size_in_json), structlog.processors.JSONRenderer(_json)]
    structlog.configure(
        processors=shared + ending,
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
    logger: Logger = structlog.get_logger().bind()  # bound once: the lazy proxy would create one per line
    _adopt_libraries(logger)
    return logger


def _for_people(*, colours: bool) -> structlog.typing.Processor:
    return lambda _, __, event: short_line(event, colours=colours)


def _with_all_values(*, colours: bool) -> structlog.typing.Processor:
    # The plain traceback, because the rich one shows the values of variables: keys and documents.
    return structlog.dev.ConsoleRenderer(colors=colours, exception_formatter=structlog.dev.plain_traceback)


def _adopt_libraries(logger: Logger) -> None:
    """Log the warnings of libraries in our format: trio, for example, warns if no file descriptors are left."""
    logging.getLogger("psycopg").propagate = False  # our own errors contain its messages
    logging.getLogger("psycopg").addHandler(logging.NullHandler())
    root = logging.getLogger()
    root.handlers = [*(each for each in root.handlers if not isinstance(each, _Libraries)), _Libraries(logger)]


class _Libraries(logging.Handler):
    """Passes on the warnings of libraries, and repeats the same warning only after REPEAT_SECONDS."""

    def __init__(self, logger: Logger) -> None:
        super().__init__(logging.WARNING)
        self._logger = logger
        self._said: dict[str, float] = {}  # by text: the time of the last log line, in seconds of the epoch

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.created - self._said.get(text, 0) < REPEAT_SECONDS:
            return
        if len(self._said) > 100:  # in case a text differs each time
            self._said.clear()
        self._said[text] = record.created
        self._logger.warning(LIBRARY_TROUBLE, library=record.name, detail=text)


def _short(max_line: int, size: Callable[[Mapping[str, object]], int]) -> structlog.typing.Processor:
    """A processor that cuts the values, so that the line has at most so many octets; a traceback stays whole.

    `size` gives the octets that an event, or a part of it, takes in the line.
    """

    def shorten(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        traceback = {"exception": event.pop("exception")} if "exception" in event else {}
        longest = {name: _LONGEST_OF_OURS.get(name, LONGEST) for name in event}
        short = {name: _cut(value, longest[name]) for name, value in event.items()}
        while size(short) >= max_line:  # one octet ends the line
            name = max(short, key=lambda each: size({each: short[each]}))
            if not longest[name]:
                break
            longest[name] //= 2
            short[name] = _cut(event[name], longest[name])
        return short | traceback

    return shorten


def _cut(value: object, longest: int) -> object:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        items = [(cut(str(name), longest), _cut(each, longest)) for name, each in islice(value.items(), longest // 2)]
        return dict(items) | ({"...": f"{len(value)} in all"} if len(value) > len(items) else {})
    if isinstance(value, list | tuple | set | frozenset):
        kept = [_cut(each, longest) for each in islice(value, longest // 2)]
        return [*kept, f"... ({len(value)} in all)"] if len(value) > len(kept) else kept
    return cut(value if isinstance(value, str) else repr(value), longest)


def _printable(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Escape values, so that none can control the terminal; a traceback keeps its lines."""
    lines = str(event.pop("exception", "")).splitlines()
    shown = {name: _shown(value) for name, value in event.items()}
    return {**shown, "exception": "\n".join(map(printable, lines))} if lines else shown


def _shown(value: object) -> object:
    text = value if isinstance(value, str) else repr(value)
    return value if text.isprintable() else printable(text)


def _size_in_json(event: Mapping[str, object]) -> int:
    return len(_json(event))


def _size_on_terminal(event: Mapping[str, object]) -> int:
    """Without the colours, and as if all values were quoted: backslashes of escapes and quotes count twice then."""
    return sum(len(f"{name}={_shown(value)!r} ".encode()) for name, value in event.items())


def _json(event: object, **_: object) -> str:
    """Return one line: the encoder escapes everything that is not ASCII, line ends and terminal controls."""
    return _ENCODER.encode(event)
