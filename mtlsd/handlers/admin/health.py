"""The answers of the admin address: alive, able to serve, or why not. Pure: takes facts, returns a Response.

A check that fails makes the daemon unready; a check that warns does not. Each check reports the problem and its fix.
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from ipaddress import ip_address
from itertools import chain

from mtlsd.config.addresses import DIRECTORY
from mtlsd.errors import JournalUnavailable, PeerError, SpoolFull
from mtlsd.http.messages import Request, Response
from mtlsd.journal.advice import remedy

SILENCE_SECONDS = 30  # without an answer of the journal's thread: then we are not alive
WARN_DAYS = 30  # before a certificate of ours expires
METHODS = ("GET", "HEAD")
_SILENT = "Look at the disk of `state`, or at PostgreSQL and the network between; then restart mtlsd."
_BACKEND = "Start the backend, or look at the network between."
_DIRECTORY = "Make the directory, and let the user of mtlsd write there: its owner and mode, ReadWritePaths=, the disk."


class Status(StrEnum):
    """The result of a check."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition of being ready, and what to do if it is not met."""

    check: str
    status: Status
    detail: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class OwnCertificate:
    """A certificate of ours; if several have the same use and name, one valid certificate is enough."""

    use: str  # server | client | signing | decryption
    name: str
    not_before: datetime
    not_after: datetime


@dataclass(frozen=True, slots=True)
class BackendSeen:
    """The result of the last attempt to reach a backend; unknown if `ago` is None."""

    url: str
    asked_first: bool  # its route answers only once the backend has
    ago: float | None = None  # seconds
    reason: str | None = None  # why it was not reached


@dataclass(frozen=True, slots=True)
class Facts:
    """The observed state of the daemon. `free` is None if the free space cannot be determined."""

    now: datetime
    stopping: bool
    silent: float  # seconds since the journal's thread answered
    trouble: JournalUnavailable | SpoolFull | None  # the error of the last write to journal and spool
    free: int | None
    low: bool
    backends: tuple[BackendSeen, ...]
    certificates: tuple[OwnCertificate, ...]


def refuse(request: Request) -> Response | None:
    """The answer to a request that is not for us: another method, or a host that is not this machine.

    A page in a browser may ask its own name to be resolved to 127.0.0.1; its requests then name that host.
    """
    if request.method not in METHODS:
        return _json(405, {"detail": "GET and HEAD only"}, ("Allow", ", ".join(METHODS)))
    if not _is_loopback(request.host):
        return _json(421, {"detail": "Host must be localhost or a loopback address"})
    return None


def refusal(error: PeerError) -> Response:
    """The answer to input that is not a valid request."""
    return _json(error.http_status or 400, {"detail": error.advice, "reason": error.reason})


def unknown() -> Response:
    """The answer to an unknown path."""
    return _json(404, {"detail": "expected /healthz, /readyz or /metrics"})


def healthz(facts: Facts) -> Response:
    """Alive: an answer proves that the loop runs; the journal's thread answered lately, even with an error."""
    alive = facts.silent < SILENCE_SECONDS
    detail = "alive" if alive else f"the journal's thread has not answered for {facts.silent:.0f} s: restart mtlsd"
    return _json(200 if alive else 503, {"alive": alive, "detail": detail})


def readyz(facts: Facts) -> Response:
    """Able to serve, or the failed checks with advice."""
    found = checks(facts)
    ready = all(each.status is not Status.FAIL for each in found)
    return _json(200 if ready else 503, {"ready": ready, "checks": [asdict(each) for each in found]})


def checks(facts: Facts) -> tuple[Condition, ...]:
    """All checks, in a fixed order."""
    parts = (_daemon(facts), _journal(facts), _disk(facts))
    return *parts, *chain(_backends(facts.backends), _certificates(facts))


def _daemon(facts: Facts) -> Condition:
    if facts.stopping:
        return Condition("daemon", Status.FAIL, "stopping", "Wait for it to start again.")
    return Condition("daemon", Status.OK, "serving")


def _journal(facts: Facts) -> Condition:
    if facts.silent >= SILENCE_SECONDS:
        return Condition("journal", Status.FAIL, f"no answer for {facts.silent:.0f} s", _SILENT)
    if facts.trouble is not None:
        detail = f"{facts.trouble.reason}: {facts.trouble.detail}"
        return Condition("journal", Status.FAIL, detail, remedy(facts.trouble))
    return Condition("journal", Status.OK, "journal and spool were written")


def _disk(facts: Facts) -> Condition:
    if facts.free is None:
        return Condition("disk", Status.FAIL, "cannot be asked", "Look at the disk of `state`.")
    if facts.low:
        advice = "Make room on the disk of `state`, or lower disk_warn_bytes."
        return Condition("disk", Status.FAIL, f"only {facts.free} bytes are free", advice)
    return Condition("disk", Status.OK, f"{facts.free} bytes are free")


def _backends(backends: tuple[BackendSeen, ...]) -> Iterator[Condition]:
    """Unready if no route can take a message: all routes ask a backend first, and no backend was reached lately."""
    useless = bool(backends) and all(each.asked_first and each.reason for each in backends)
    for each in backends:
        name = f"backend {each.url}"
        if each.ago is None:
            yield Condition(name, Status.OK, "not asked lately")
        elif each.reason is None:
            yield Condition(name, Status.OK, f"answered {each.ago:.0f} s ago")
        else:
            then = "its partners get 503" if each.asked_first else "messages are kept and delivered later"
            status = Status.FAIL if useless else Status.WARN
            detail = f"{each.reason} {each.ago:.0f} s ago: {then}"
            yield Condition(name, status, detail, _DIRECTORY if each.url.startswith(DIRECTORY) else _BACKEND)


def _certificates(facts: Facts) -> Iterator[Condition]:
    by_use: Mapping[tuple[str, str], list[OwnCertificate]] = defaultdict(list)
    for each in facts.certificates:
        by_use[each.use, each.name].append(each)
    for (use, name), group in by_use.items():
        yield _certificate(f"certificate {use} {name}", group, facts.now)


def _certificate(name: str, group: list[OwnCertificate], now: datetime) -> Condition:
    best = max(group, key=lambda each: (each.not_before <= now <= each.not_after, each.not_after))
    left = best.not_after - now
    detail = f"until {best.not_after:%Y-%m-%dT%H:%M:%SZ}, {left.days} days"
    renew = "Put a new certificate in its place, and tell the partners beforehand."
    if best.not_before > now:
        later = f"not valid before {best.not_before:%Y-%m-%dT%H:%M:%SZ}"
        return Condition(name, Status.FAIL, later, "Look at the clock of this machine, or wait.")
    if now > best.not_after:
        return Condition(name, Status.FAIL, f"expired on {best.not_after:%Y-%m-%dT%H:%M:%SZ}", renew)
    if left < timedelta(days=WARN_DAYS):
        return Condition(name, Status.WARN, detail, renew)
    return Condition(name, Status.OK, detail)


def _is_loopback(host: str | None) -> bool:
    if host in (None, "localhost"):  # a request without Host is HTTP/1.0, which no browser uses
        return True
    try:
        return ip_address((host or "").removeprefix("[").removesuffix("]")).is_loopback
    except ValueError:
        return False


def _json(status: int, value: object, *fields: tuple[str, str]) -> Response:
    body = json.dumps(value, indent=2).encode("ascii") + b"\n"
    return Response(status, (("Content-Type", "application/json"), *fields), body)
