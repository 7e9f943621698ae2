"""The arguments of a handler."""

from dataclasses import dataclass
from datetime import UTC, datetime

from mtlsd.access.rate_limits import FailureLimit, network_of
from mtlsd.as2.agreement import MessageLimits
from mtlsd.as2.headers import AS2Headers
from mtlsd.config.model import MDNMode, Route
from mtlsd.http.messages import Request
from mtlsd.journal.documents import MAX_INLINE
from mtlsd.journal.spool import Spool
from mtlsd.journal.sql.journal import Journal
from mtlsd.partners.matching import Peer
from mtlsd.partners.ours.organization import Organization
from mtlsd.partners.partner import Partner
from mtlsd.partners.trust_store import TrustStore
from mtlsd.pki.certificate import Presented


@dataclass(frozen=True, slots=True)
class Services:
    """Services that outlive an exchange: journal, spool, limits, and whether the evidence of signatures is kept."""

    journal: Journal
    spool: Spool
    limits: MessageLimits
    failures: FailureLimit
    max_inline: int = MAX_INLINE  # octets of a document that the journal itself stores
    keeps_evidence: bool = True  # otherwise only its digests


@dataclass(frozen=True, slots=True)
class Call:
    """One request to an AS2 route, and its client. `peer` is None if TLS proved no identity."""

    request: Request
    request_id: str
    host: str
    route: Route
    organization: Organization
    truststore: TrustStore
    peer: Peer | None
    address: str  # of the client
    now: float
    configuration: str = ""  # the version in force
    presented: Presented | None = None  # the certificate and the chain that the client sent

    @property
    def time(self) -> datetime:
        """`now` as a datetime, to compare with certificates."""
        return datetime.fromtimestamp(self.now, UTC)


@dataclass(frozen=True, slots=True)
class Inbound:
    """A message being received: the call, its AS2 header, and its partner; None if no partner has this AS2-From."""

    call: Call
    headers: AS2Headers
    partner: Partner | None

    @property
    def target(self) -> str | None:
        """The URL for the MDN, if the MDN is not in the answer."""
        return self.headers.receipt.target if self.headers.receipt else None

    @property
    def backend_answers(self) -> bool:
        """Whether the MDN is the backend's own."""
        return self.call.route.mdn is MDNMode.BACKEND

    @property
    def failure_key(self) -> str:
        """The key charged for a failure: the partner if TLS proved it, otherwise the claimed name with the address."""
        assert self.partner is not None
        return self.partner.name if self.call.peer else f"{self.partner.name} from {network_of(self.call.address)}"
