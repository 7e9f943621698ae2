"""The client of a connection: its certificates from the handshake, and its identity as judged for each request."""

from datetime import UTC, datetime

from mtlsd.access.authenticate import Judgement
from mtlsd.config.model import ClientCertificate, VirtualHost
from mtlsd.errors import (
    CertificateRefused,
    CertKnownOtherHost,
    CertUntrustedIssuer,
    ClientCertMissing,
    PeerError,
    SNIHostMismatch,
    SNIUnknown,
)
from mtlsd.http import routing
from mtlsd.http.messages import Request
from mtlsd.net.services.state import State
from mtlsd.partners.matching import Peer
from mtlsd.pki.certificate import Presented
from mtlsd.tls.engine import HandshakeCompleted


class Caller:
    """The client of one connection. Its handshake is known after `shook_hands`; the judgement is cached."""

    def __init__(self, state: State, address: str) -> None:
        self.address = address
        self._state = state
        self._judgement = Judgement(state.revocations, state.certificates)
        self._handshake: HandshakeCompleted | None = None

    def shook_hands(self, handshake: HandshakeCompleted) -> None:
        """Note that the handshake is complete."""
        self._handshake = handshake

    @property
    def handshake(self) -> HandshakeCompleted:
        assert self._handshake is not None
        return self._handshake

    @property
    def presented(self) -> Presented | None:
        """The certificate and the chain that the client sent, if the handshake is complete."""
        return self._handshake.presented if self._handshake else None

    @property
    def has_whoami(self) -> bool:
        """Whether the client can ask whoami what mtlsd saw of its certificate."""
        host = self._state.snapshot.hosts.get(self._handshake.host) if self._handshake else None
        return host is not None and host.whoami

    @property
    def warnings(self) -> tuple[str, ...]:
        """The warnings of the current judgement."""
        return self._judgement.warnings

    def examine(self, host: str, presented: Presented) -> PeerError | None:
        """Return why the client is refused during the handshake; checks that must wait are made on its requests."""
        judgement = Judgement(self._state.revocations, self._state.certificates, may_ask_later=True)
        try:
            judgement.peer(presented, self._state.snapshot, host, self._now())
        except (CertificateRefused, CertKnownOtherHost) as refusal:
            refusal.facts |= {"chain": [each.subject for each in presented.chain], "host": host}
            if presented.unreadable:
                refusal.facts |= {"unreadable": [each.described for each in presented.unreadable]}
            return refusal
        return None

    def host(self, request: Request) -> VirtualHost:
        """The virtual host of the handshake, as configured now; raises SNIHostMismatch or SNIUnknown."""
        handshake = self.handshake
        host = self._state.snapshot.hosts.get(handshake.host)
        if host is None:
            raise SNIHostMismatch(f"{handshake.host} is not served any longer")
        try:
            routing.check_host(host, request)
        except SNIHostMismatch as error:
            if handshake.server_name not in (None, host.name):
                raise SNIUnknown(f"no host here is {handshake.server_name!r}; {error.detail}") from error
            raise
        return host

    async def learn_of_revocations(self, host: VirtualHost) -> None:
        """Request the revocation data that `identify` needs and that nobody has requested yet."""
        if self.presented and host.client_certificate is not ClientCertificate.NONE:
            await self._state.revocations.prepare(self.presented, self._state.snapshot)

    def identify(self, host: VirtualHost) -> Peer | None:
        """Return who the client is, judged now; None if TLS proves no identity and the host allows that."""
        handshake = self.handshake
        if host.client_certificate is ClientCertificate.NONE:
            return None
        if handshake.unreadable:
            raise CertUntrustedIssuer(str(handshake.unreadable), **handshake.unreadable.facts)
        if handshake.presented is None:
            if host.client_certificate is ClientCertificate.REQUIRED:
                raise ClientCertMissing()
            return None
        return self._judgement.peer(handshake.presented, self._state.snapshot, host.name, self._now())

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._state.clock(), UTC)
