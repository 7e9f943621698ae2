"""Logs one summary line for each exchange and for each failed handshake, and updates the metrics."""

from dataclasses import dataclass
from typing import Any

import trio

from mtlsd import log
from mtlsd.errors import CertificateRefused, CertKnownOtherHost, PeerError
from mtlsd.http.messages import Request, Response
from mtlsd.net.server.caller import Caller
from mtlsd.net.services.state import State
from mtlsd.partners.matching import Peer

AS2_FIELDS = ("as2-from", "as2-to", "message-id")  # as received; the log escapes them


@dataclass(slots=True)
class Record:
    """The data of one exchange for the log: its id, its start, and, once known, the client and its request."""

    request_id: str
    started: float
    request: Request | None = None
    peer: Peer | None = None


def log_failed_handshake(state: State, caller: Caller, refusal: PeerError, record: Record, sni: str | None) -> None:
    """Log why a handshake failed, and count it."""
    facts = {"request_id": record.request_id, "sni": sni, "duration_ms": _milliseconds(_seconds_since(record))}
    _log_refusal(state, caller, log.HANDSHAKE_FAILED, refusal, refusal.log_level, facts)
    state.metrics.handshake(refusal.reason)


def log_exchange(state: State, caller: Caller, record: Record, response: Response, octets: tuple[int, int]) -> None:
    """Log the result of an exchange, and count it; `octets` are those received and sent."""
    seconds, (received, sent) = _seconds_since(record), octets
    partner = response.partner or (record.peer.partner.name if record.peer else "")
    facts = {
        **_request_facts(caller, record),
        "partner": partner,
        "status": response.status,
        "bytes_in": received,
        "bytes_out": sent,
        "duration_ms": _milliseconds(seconds),
        "alert": response.alert,
        **response.facts,
    }
    if response.error is None:
        write = state.log.error if response.alert else state.log.info
        write(log.EXCHANGE_FINISHED, reason=None, **_known(facts))
    else:
        level = "error" if response.alert else response.error.log_level
        _log_refusal(state, caller, log.EXCHANGE_FINISHED, response.error, level, facts)
    host, reason = caller.handshake.host, response.error.reason if response.error else ""
    state.metrics.exchange(host, partner, response.status, reason, seconds=seconds, received=received, sent=sent)


def _request_facts(caller: Caller, record: Record) -> dict[str, Any]:
    """The client, its request, and the connection."""
    handshake, request = caller.handshake, record.request
    return {
        "request_id": record.request_id,
        "client": caller.address,
        "host": handshake.host,
        "sni": handshake.server_name,
        "tls": handshake.version,
        "revocation": list(caller.warnings),
        "method": request.method if request else None,
        "path": request.path if request else None,
        **({name.replace("-", "_"): request.get(name) for name in AS2_FIELDS} if request else {}),
    }


def _log_refusal(
    state: State, caller: Caller, event: str, refusal: PeerError, level: str, facts: dict[str, Any]
) -> None:
    facts = {"client": caller.address, **facts, "reason": refusal.reason, "detail": refusal.detail}
    presented = caller.presented
    if presented and isinstance(refusal, CertificateRefused | CertKnownOtherHost):
        chain = [each.subject for each in presented.chain]
        facts |= presented.certificate.facts() | {"chain": chain, "unreadable": list(presented.unreadable)}
    write = getattr(state.log, level)
    write(event, **(refusal.facts | _known(facts)))


def _known(facts: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if value not in (None, "", [])}


def _seconds_since(record: Record) -> float:
    return trio.current_time() - record.started


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 1)
