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
_CLAIMS = ("as2_from", "as2_to", "message_id", "receipt_target", "receipt_options")  # of a sender that proved nothing


@dataclass(slots=True)
class Record:
    """The data of one exchange for the log: its id, its start, and, once known, the client and its request."""

    request_id: str
    started: float
    request: Request | None = None
    peer: Peer | None = None
    partner: str = ""  # that the message proved

    @property
    def proved(self) -> str:
        """The partner that TLS or the message proved; empty if neither did."""
        return self.peer.partner.name if self.peer else self.partner


def log_refused_connection(state: State, client: str, refusal: PeerError) -> None:
    """Log that a connection was closed because of a limit, and count it."""
    if state.lines.take(client, trio.current_time()):
        state.log.warning(log.CONNECTION_REFUSED, client=client, reason=refusal.reason, detail=refusal.detail)
    state.metrics.connection_refused(refusal.reason)


def log_failed_handshake(state: State, caller: Caller, refusal: PeerError, record: Record, sni: str | None) -> None:
    """Log why a handshake failed, and count it."""
    facts = {"request_id": record.request_id, "sni": sni, "duration_ms": _milliseconds(_seconds_since(record))}
    if _may_log(state, caller, record):
        _log_refusal(state, caller, log.HANDSHAKE_FAILED, refusal, refusal.log_level, facts)
    state.metrics.handshake(refusal.reason)


def log_exchange(state: State, caller: Caller, record: Record, response: Response, octets: tuple[int, int]) -> None:
    """Log the result of an exchange, and count it; `octets` are those received and sent."""
    seconds, (received, sent) = _seconds_since(record), octets
    record.partner = response.partner or record.partner
    if _may_log(state, caller, record):
        facts = {"bytes_in": received, "bytes_out": sent, "duration_ms": _milliseconds(seconds)}
        _log_answer(state, caller, record, response, facts)
    host, reason = caller.handshake.host, response.error.reason if response.error else ""
    state.metrics.exchange(host, record.proved, response.status, reason, seconds=seconds, received=received, sent=sent)


def _may_log(state: State, caller: Caller, record: Record) -> bool:
    """Whether the log has room for a line: anyone can cause one, but a partner answers for its own."""
    return bool(record.proved) or state.lines.take(caller.address, trio.current_time())


def _log_answer(state: State, caller: Caller, record: Record, response: Response, facts: dict[str, Any]) -> None:
    facts = {
        **_request_facts(caller, record),
        "partner": record.proved,
        "status": response.status,
        **facts,
        "alert": response.alert,
        **response.facts,
    }
    if response.error is None:
        write = state.log.error if response.alert else state.log.info
        write(log.EXCHANGE_FINISHED, reason=None, **_known(facts))
    else:
        level = "error" if response.alert else response.error.log_level
        _log_refusal(state, caller, log.EXCHANGE_FINISHED, response.error, level, facts, record.proved)


def _request_facts(caller: Caller, record: Record) -> dict[str, Any]:
    """The client, its request, and the connection; what the message says of itself only if its sender is proved."""
    handshake, request = caller.handshake, record.request
    facts = {
        "request_id": record.request_id,
        "client": caller.address,
        "host": handshake.host,
        "sni": handshake.server_name,
        "tls": handshake.version,
        "revocation": list(caller.warnings),
        "method": request.method if request else None,
        "path": request.path if request else None,
    }
    if request and record.proved:
        facts |= {name.replace("-", "_"): request.get(name) for name in AS2_FIELDS}
    return facts


def _log_refusal(
    state: State, caller: Caller, event: str, refusal: PeerError, level: str, facts: dict[str, Any], proved: str = ""
) -> None:
    facts = {"client": caller.address, **facts, "reason": refusal.reason, "detail": refusal.detail}
    presented = caller.presented
    if presented and isinstance(refusal, CertificateRefused | CertKnownOtherHost):
        chain = [each.subject for each in presented.chain]
        unreadable = [each.described for each in presented.unreadable]
        facts |= presented.certificate.facts() | {"chain": chain, "unreadable": unreadable}
    facts = refusal.facts | _known(facts)
    write = getattr(state.log, level)
    write(event, **{name: value for name, value in facts.items() if proved or name not in _CLAIMS})


def _known(facts: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if value not in (None, "", [])}


def _seconds_since(record: Record) -> float:
    return trio.current_time() - record.started


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 1)
