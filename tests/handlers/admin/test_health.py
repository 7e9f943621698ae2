"""The probes: each check says what is wrong and what helps; only what keeps us from serving makes us unready."""

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from mtlsd.errors import JournalUnavailable, SpoolFull
from mtlsd.handlers.admin import health
from mtlsd.handlers.admin.health import BackendSeen, Condition, Facts, OwnCertificate, Status
from mtlsd.http.messages import Request

NOW = datetime(2026, 11, 21, tzinfo=UTC)
DAY = timedelta(days=1)


def certificate(begins: float = -1, ends: float = 365, use: str = "signing") -> OwnCertificate:
    """One of ours; when it begins and ends is in days from now."""
    return OwnCertificate(use, "EXAMPLE", NOW + begins * DAY, NOW + ends * DAY)


def backend(reason: str | None = None, *, asked_first: bool = False, name: str = "one") -> BackendSeen:
    return BackendSeen(f"http://{name}.example/in", asked_first, 3.0, reason)


FINE = Facts(
    now=NOW,
    stopping=False,
    silent=1.0,
    trouble=None,
    free=10**9,
    low=False,
    backends=(backend(),),
    certificates=(certificate(),),
)
DOWN = "upstream_unreachable"


def answer(facts: Facts) -> tuple[int, dict[str, Any]]:
    response = health.readyz(facts)
    return response.status, json.loads(response.body)


def standing(facts: Facts) -> dict[str, str]:
    """The checks that are not simply right."""
    return {each.check: each.status.value for each in health.checks(facts) if each.status is not Status.OK}


def test_all_is_well() -> None:
    status, said = answer(FINE)
    assert (status, said["ready"]) == (200, True)
    assert [each["check"] for each in said["checks"]] == [
        "daemon",
        "journal",
        "disk",
        "backend http://one.example/in",
        "certificate signing EXAMPLE",
    ]
    assert {each["status"] for each in said["checks"]} == {"ok"}


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"stopping": True}, {"daemon": "fail"}),
        ({"silent": 31.0}, {"journal": "fail"}),
        ({"trouble": SpoolFull("no room")}, {"journal": "fail"}),
        ({"trouble": JournalUnavailable("read-only")}, {"journal": "fail"}),
        ({"low": True}, {"disk": "fail"}),
        ({"free": None}, {"disk": "fail"}),
        ({"certificates": (certificate(ends=29),)}, {"certificate signing EXAMPLE": "warn"}),
        ({"certificates": (certificate(ends=-0.1),)}, {"certificate signing EXAMPLE": "fail"}),
        ({"certificates": (certificate(begins=0.1),)}, {"certificate signing EXAMPLE": "fail"}),
        ({"certificates": (certificate(ends=-9), certificate())}, {}),  # the retiring one beside the current one
        ({"certificates": (certificate(begins=9, ends=999), certificate())}, {}),
        (
            {"certificates": (certificate(ends=-9), certificate(use="server"))},
            {"certificate signing EXAMPLE": "fail"},
        ),
        ({"backends": (backend(DOWN),)}, {"backend http://one.example/in": "warn"}),
        ({"backends": (backend(DOWN, asked_first=True),)}, {"backend http://one.example/in": "fail"}),
        (
            {"backends": (backend(DOWN, asked_first=True), backend(name="two"))},
            {"backend http://one.example/in": "warn"},
        ),
        (
            {"backends": (backend(DOWN, asked_first=True), backend(DOWN, name="two"))},
            {"backend http://one.example/in": "warn", "backend http://two.example/in": "warn"},
        ),
        ({"backends": (BackendSeen("http://one.example/in", True),)}, {}),
        ({"backends": ()}, {}),
    ],
)
def test_what_is_wrong_is_named(changes: dict[str, Any], found: dict[str, str]) -> None:
    facts = replace(FINE, **changes)
    assert standing(facts) == found
    status, said = answer(facts)
    assert (status, said["ready"]) == ((503, False) if "fail" in found.values() else (200, True))
    for each in said["checks"]:
        assert bool(each["advice"]) == (each["check"] in found)


def after(cause: Exception, error: JournalUnavailable | SpoolFull) -> JournalUnavailable | SpoolFull:
    error.__cause__ = cause
    return error


def locked() -> sqlite3.Error:
    """What SQLite says while somebody else holds the database."""
    with closing(sqlite3.connect("file:held?mode=memory&cache=shared", uri=True, timeout=0)) as one:
        one.execute("BEGIN EXCLUSIVE")
        with closing(sqlite3.connect("file:held?mode=memory&cache=shared", uri=True, timeout=0)) as other:
            with pytest.raises(sqlite3.Error) as raised:
                other.execute("CREATE TABLE t (a)")
            return raised.value


@pytest.mark.parametrize(
    ("changes", "advice"),
    [
        ({"trouble": after(psycopg.OperationalError("refused"), JournalUnavailable("refused"))}, "Start PostgreSQL"),
        ({"trouble": after(locked(), JournalUnavailable("database is locked"))}, "the other program that locks"),
        ({"trouble": after(PermissionError("no"), JournalUnavailable("no"))}, "the mode and the owner of `state`"),
        ({"trouble": after(OSError("no room"), SpoolFull("no room"))}, "Make room on the disk of `state`"),
        ({"trouble": after(psycopg.errors.DiskFull("x"), SpoolFull("x"))}, "Make room on the disk of the database"),
        ({"backends": (BackendSeen("dir:/srv/in", False, 3.0, DOWN),)}, "Make the directory"),
        ({"backends": (backend(DOWN),)}, "Start the backend"),
    ],
)
def test_the_advice_fits_what_is_wrong(changes: dict[str, Any], advice: str) -> None:
    (found,) = [each for each in health.checks(replace(FINE, **changes)) if each.status is not Status.OK]
    assert advice in found.advice


def test_the_days_that_are_left_are_said() -> None:
    (check,) = [each for each in health.checks(FINE) if each.check.startswith("certificate")]
    assert check == Condition("certificate signing EXAMPLE", Status.OK, "until 2027-11-21T00:00:00Z, 365 days")


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({}, 200),
        ({"silent": 29.0}, 200),
        ({"silent": 30.0}, 503),
        ({"trouble": SpoolFull("full"), "low": True, "stopping": True}, 200),  # no restart would mend these
    ],
)
def test_alive_is_a_loop_that_turns_and_a_journal_that_answers(changes: dict[str, Any], status: int) -> None:
    assert health.healthz(replace(FINE, **changes)).status == status


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", None),
        ("127.0.0.1", None),
        ("127.9.8.7", None),
        ("[::1]", None),
        (None, None),
        ("evil.example", 421),
        ("localhost.evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("10.0.0.1", 421),
        ("[::]", 421),
        ("0", 421),
        ("*", 421),
    ],
)
def test_only_this_machine_is_meant(host: str | None, status: int | None) -> None:
    response = health.refuse(Request("GET", "/readyz", (), "1.1", host))
    assert (response and response.status) == status


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "get"])
def test_nothing_but_reading(method: str) -> None:
    response = health.refuse(Request(method, "/readyz", (), "1.1", "localhost"))
    assert response
    assert (response.status, ("Allow", "GET, HEAD") in response.fields) == (405, True)
