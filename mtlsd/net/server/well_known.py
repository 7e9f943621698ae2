"""The paths below /.well-known/mtlsd/, which mtlsd itself answers on every host."""

from dataclasses import replace
from datetime import UTC, datetime

from mtlsd.access.rate_limits import network_of
from mtlsd.config.model import ClientCertificate, VirtualHost
from mtlsd.errors import CertUntrustedIssuer, ClientCertMissing
from mtlsd.handlers.well_known import whoami
from mtlsd.http.messages import Request, Response
from mtlsd.net.services.state import State
from mtlsd.partners import matching
from mtlsd.pki.certificate import Presented
from mtlsd.tls import report
from mtlsd.tls.engine import HandshakeCompleted

Seen = whoami.Seen


def admit(state: State, request: Request, address: str) -> None:
    """Check a request to whoami before any work is done for it; raises TooManyRequests or ReadOnly."""
    state.whoami.take(network_of(address), state.clock())
    whoami.check_method(request)


def who_is_it(
    state: State, handshake: HandshakeCompleted, host: VirtualHost, request: Request, request_id: str, address: str
) -> Response:
    """The answer of whoami to a request that `admit` has let through."""
    now = datetime.fromtimestamp(state.clock(), UTC)
    seen = whoami.Seen(
        request=request,
        request_id=request_id,
        now=now,
        address=address,
        host=host.name,
        client_certificate=host.client_certificate,
        tls=handshake.version,
        cipher=handshake.cipher,
        sni=handshake.server_name,
    )
    return whoami.answer(_judged(seen, state, handshake, host))


def _judged(seen: Seen, state: State, handshake: HandshakeCompleted, host: VirtualHost) -> Seen:
    """Add how every other request with this certificate, or without a certificate, would be answered."""
    if host.client_certificate is ClientCertificate.NONE:
        return seen
    if handshake.unreadable:
        return replace(seen, unreadable=str(handshake.unreadable), refusal=CertUntrustedIssuer("it cannot be read"))
    if handshake.presented is None:
        required = host.client_certificate is ClientCertificate.REQUIRED
        return replace(seen, refusal=ClientCertMissing() if required else None)
    return _with_verdict(seen, state, handshake.presented, host)


def _with_verdict(seen: Seen, state: State, presented: Presented, host: VirtualHost) -> Seen:
    snapshot = state.snapshot
    claim = matching.claim(presented, snapshot.truststore)
    evidence = state.revocations.evidence(claim)
    told = report.report(presented, claim, snapshot.truststore, host.name, seen.now, evidence)
    seen = replace(seen, presented=presented, findings=told.findings, refusal=told.refusal, partner=told.partner)
    if seen.refusal:
        return seen
    return replace(seen, routes=tuple((each, snapshot.organizations[each.organization].as2_id) for each in host.routes))
