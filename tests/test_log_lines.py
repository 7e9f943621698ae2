"""The short lines of a log on a terminal: who, what, and why it was refused."""

import io
import re
from typing import Any

import pytest

from mtlsd import log
from mtlsd.log_lines import short_line

EXCHANGE: dict[str, Any] = {
    "event": "exchange_finished",
    "level": "info",
    "time": "19:30:17",
    "request_id": "01a231f0-3de7-7351-9adf-26559330cc1c",
    "client": "192.0.2.7",
    "host": "as2.example.com",
    "partner": "acme",
    "method": "POST",
    "path": "/as2",
    "status": 200,
    "payload_bytes": 39,
    "filename": "order-4711.edi",
    "duration_ms": 25.4,
    "mic": "r5xeeeZ80G0C, sha-256",
}
REFUSED = {
    "event": "exchange_finished",
    "level": "warning",
    "time": "19:30:17",
    "client": "192.0.2.7",
    "method": "POST",
    "path": "/as2",
    "status": 400,
    "reason": "cert_pin_mismatch",
    "duration_ms": 0.6,
    "subject": "CN=edi.acme.example",
    "issuer": "CN=ACME CA",
    "nearest": "same key as a certificate of acme, renewed: not registered yet",
}
DELIVERY = {
    "event": "delivery_finished",
    "level": "info",
    "time": "19:30:18",
    "partner": "acme",
    "kind": "backend",
    "attempt": 1,
    "target": "http://127.0.0.1:9000/inbound",
    "duration_ms": 3.9,
    "state": "delivered",
}


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (EXCHANGE, "19:30:17 acme POST /as2 200 39 B order-4711.edi 25 ms"),
        (EXCHANGE | {"payload_bytes": 4_294_967_296}, "19:30:17 acme POST /as2 200 4.3 GB order-4711.edi 25 ms"),
        (EXCHANGE | {"payload_bytes": 1500, "filename": ""}, "19:30:17 acme POST /as2 200 1.5 kB 25 ms"),
        (EXCHANGE | {"duplicate_of": "01a"}, "19:30:17 acme POST /as2 200 39 B order-4711.edi duplicate 25 ms"),
        (
            EXCHANGE | {"level": "error", "alert": "the signing certificate has expired"},
            "19:30:17 error acme POST /as2 200 39 B order-4711.edi 25 ms (the signing certificate has expired)",
        ),
        (
            REFUSED,
            "19:30:17 warning 192.0.2.7 POST /as2 400 cert_pin_mismatch 1 ms (CN=edi.acme.example) "
            "(same key as a certificate of acme, renewed: not registered yet)",
        ),
        (DELIVERY, "19:30:18 acme delivery delivered to http://127.0.0.1:9000/inbound 4 ms"),
        (
            DELIVERY | {"state": "pending", "reason": "upstream_unreachable", "level": "warning", "attempt": 3},
            "19:30:18 warning acme delivery pending upstream_unreachable to http://127.0.0.1:9000/inbound "
            "attempt 3 4 ms",
        ),
        (
            DELIVERY | {"kind": "mdn", "target": "https://acme.example/mdn"},
            "19:30:18 acme MDN delivered to https://acme.example/mdn 4 ms",
        ),
        (
            {"event": "handshake_failed", "level": "info", "time": "1", "client": "192.0.2.7", "reason": "tls_aborted"},
            "1 192.0.2.7 handshake failed: tls_aborted",
        ),
        (
            {
                "event": "reloaded",
                "level": "info",
                "time": "1",
                "by": "change",
                "added": ["acme", "beta"],
                "removed": [],
            },
            "1 reloaded by=change added=acme, beta",
        ),
        (
            {
                "event": "configuration_problem",
                "level": "error",
                "time": "1",
                "file": "partner.toml",
                "line": 7,
                "key": "as2_id",
                "detail": "needs quotes",
            },
            "1 error configuration_problem partner.toml:7:as2_id: needs quotes",
        ),
    ],
)
def test_an_event_is_one_short_line(event: dict[str, object], line: str) -> None:
    assert short_line(event, colours=False) == line
    coloured = short_line(event, colours=True)
    assert re.sub(r"\x1b\[\d*m", "", coloured) == line
    assert coloured.endswith(line.rsplit(" ", 1)[-1])  # the colour ends before the text


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("colours", "colour"), [(True, "\x1b[33m"), (False, "")])
def test_a_terminal_gets_the_short_line_with_the_time_of_day(colours: bool, colour: str) -> None:
    log.configure(terminal := Terminal(), colours=colours).warning(log.DISK_LOW, free=7)
    line = terminal.getvalue()
    assert re.search(r"\d\d:\d\d:\d\d", line)
    assert line.endswith("disk_low free=7\n")
    assert colour in line
    assert ("\x1b" in line) is colours


@pytest.mark.parametrize("verbose", [True, False])
def test_verbose_shows_every_value(verbose: bool) -> None:
    log.configure(terminal := Terminal(), verbose=verbose, colours=False).info(log.EXCHANGE_FINISHED, mic="a-mic")
    assert ("mic=a-mic" in terminal.getvalue()) is verbose
