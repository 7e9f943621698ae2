"""The types of the configuration, with the default and the bounds of every key.

They are plain frozen dataclasses, and check nothing themselves. pydantic applies the validators in `Annotated` when
`load` reads a file.
"""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from mtlsd.config import values
from mtlsd.config.addresses import Address, Backend, Directory, parse_backend
from mtlsd.config.fields import Days, Flag, choice, key, number, one_or_more, seconds, size, table, text

_KIB, _MIB, _GIB, _TIB = 1 << 10, 1 << 20, 1 << 30, 1 << 40
_MINUTE, _HOUR, _DAY = 60, 3600, 86400

SQLITE = "sqlite"  # `Server.journal`, if it is not the URL of a PostgreSQL database
_ADMIN = Address("127.0.0.1", 9180)


class ClientCertificate(StrEnum):
    """Whether a virtual host requests a client certificate, and whether it requires one."""

    REQUIRED = "required"
    OPTIONAL = "optional"
    NONE = "none"


class OnUntrusted(StrEnum):
    """How a client is refused."""

    HTTP = "http"  # by the answer to its request, with the reason
    HANDSHAKE = "handshake"  # by a TLS alert


class Handler(StrEnum):
    """The handler of a route's requests."""

    AS2 = "as2"


class Deliver(StrEnum):
    """The form in which a route delivers to its backend."""

    PAYLOAD = "payload"  # the document
    MESSAGE = "message"  # the AS2 message, byte for byte


class MDNMode(StrEnum):
    """When a route answers with an MDN, and who makes the MDN."""

    ACCEPTED = "accepted"  # mtlsd, once the message is durable
    DELIVERED = "delivered"  # mtlsd, once the backend has answered 2xx
    BACKEND = "backend"  # the backend


class Balance(StrEnum):
    """The order in which a route tries its backends."""

    PRIORITY = "priority"  # the first working backend in the list
    ROUND_ROBIN = "round-robin"


class ClientCert(StrEnum):
    """The certificates of the client that a route passes to its backend (RFC 9440)."""

    OFF = "off"
    LEAF = "leaf"  # Client-Cert
    CHAIN = "chain"  # and Client-Cert-Chain


class Keep(StrEnum):
    """The form in which a signed entity and its SignedData are kept."""

    CONTENT = "content"
    DIGESTS = "digests"


@table
@dataclass(frozen=True, slots=True)
class Route:
    """A route: how a virtual host handles the requests for one path."""

    path: Annotated[str, text(values.route_path), key(example='"/as2"')]
    handler: Annotated[Handler, choice(Handler, later=("proxy", "token")), key(example='"as2"')]
    organization: Annotated[str, text(values.directory_name), key(example='"EXAMPLE"')]
    backend: Annotated[
        tuple[Backend | Directory, ...], one_or_more(parse_backend), key(example='"http://127.0.0.1:9000/inbound"')
    ]
    deliver: Annotated[Deliver, choice(Deliver)] = Deliver.PAYLOAD
    mdn: Annotated[MDNMode, choice(MDNMode)] = MDNMode.ACCEPTED
    balance: Annotated[Balance, choice(Balance)] = Balance.PRIORITY
    health: Annotated[str, text(values.health_page)] = ""
    ordered: Flag = False
    client_cert: Annotated[ClientCert, choice(ClientCert)] = ClientCert.OFF


@table
@dataclass(frozen=True, slots=True)
class VirtualHost:
    """One host name, on one listener; hosts with the same address share it by SNI."""

    name: Annotated[str, text(values.host_name), key(example='"as2.example.com"')]
    listen: Annotated[Address, text(Address.parse), key(example='"0.0.0.0:8443"')]
    client_certificate: Annotated[ClientCertificate, choice(ClientCertificate)] = ClientCertificate.REQUIRED
    routes: Annotated[tuple[Route, ...], key("route")] = ()
    whoami: Flag = True
    selftest: Flag = True
    on_untrusted: Annotated[OnUntrusted, choice(OnUntrusted)] = OnUntrusted.HTTP


@table
@dataclass(frozen=True, slots=True)
class Server:
    """The settings of the process: the places of its data and its certificates."""

    state: Annotated[Path, text(values.path)] = Path("state")
    certs: Annotated[Path, text(values.path)] = Path("certs")
    workers: Annotated[int, number(0, 1)] = 0
    admin: Annotated[Address, text(Address.parse_loopback)] = _ADMIN
    journal: Annotated[str, text(values.journal)] = SQLITE
    spool: Annotated[Path | None, text(values.path)] = None  # below `state`
    inline_bytes: Annotated[int | None, size(0, 8 * _MIB)] = None  # None: depends on the database
    production: Flag = False  # certificates of a test CA are not used

    @property
    def spool_directory(self) -> Path:
        """The directory of large documents."""
        return self.spool or self.state / "spool"

    @property
    def inline_limit(self) -> int:
        """The maximum size in bytes of documents in the journal itself."""
        if self.inline_bytes is not None:
            return self.inline_bytes
        return 64 * _KIB if self.journal == SQLITE else 256 * _KIB


@table
@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of what peers may use."""

    max_body_bytes: Annotated[int, size(1, _TIB)] = 8 * _GIB
    max_header_bytes: Annotated[int, size(1, _MIB)] = 64 * _KIB
    max_header_fields: Annotated[int, number(1, 10_000)] = 100
    handshake_seconds: Annotated[int, seconds(1, _HOUR)] = 10
    header_seconds: Annotated[int, seconds(1, _HOUR)] = 30
    idle_seconds: Annotated[int, seconds(1, _DAY)] = 75
    body_grace_seconds: Annotated[int, seconds(1, _HOUR)] = 30
    min_body_bytes_per_second: Annotated[int, size(1, _GIB)] = _KIB
    write_seconds: Annotated[int, seconds(1, _HOUR)] = _MINUTE
    max_connections: Annotated[int, number(1, 1_000_000)] = 2000
    max_connections_per_address: Annotated[int, number(1, 1_000_000)] = 200
    shutdown_seconds: Annotated[int, seconds(1, _HOUR)] = 30
    max_forwarded_per_route: Annotated[int, number(1, 1_000_000)] = 100
    max_failures_per_hour: Annotated[int, number(1, 1_000_000)] = 100
    max_whoami_per_minute: Annotated[int, number(1, 1_000_000)] = 30
    max_stranger_lines_per_minute: Annotated[int, number(1, 1_000_000)] = 60
    max_expanded_bytes: Annotated[int, size(1, _TIB)] = 16 * _GIB
    max_expansion_ratio: Annotated[int, number(1, 100_000)] = 200
    max_unproven_bytes: Annotated[int, size(1, _TIB)] = 10 * _MIB
    max_unproven_ratio: Annotated[int, number(1, 100_000)] = 20
    disk_warn_bytes: Annotated[int, size(1, 1024 * _TIB)] = _GIB
    disk_stop_bytes: Annotated[int, size(1, 1024 * _TIB)] = 256 * _MIB


@table
@dataclass(frozen=True, slots=True)
class DeliverySettings:
    """The attempts at deliveries: how many, how often and for how long."""

    give_up_after_seconds: Annotated[int, seconds(1, 365 * _DAY)] = 3 * _DAY
    timeout_seconds: Annotated[int, seconds(1, _DAY)] = _MINUTE
    first_retry_seconds: Annotated[int, seconds(1, _DAY)] = 5
    max_retry_seconds: Annotated[int, seconds(1, _DAY)] = 40 * _MINUTE
    lease_seconds: Annotated[int, seconds(1, _HOUR)] = 15
    concurrency: Annotated[int, number(1, 1000)] = 32
    concurrency_per_backend: Annotated[int, number(1, 1000)] = 8
    failures_to_pause: Annotated[int, number(1, 1000)] = 5
    pause_seconds: Annotated[int, seconds(1, _DAY)] = 30
    health_seconds: Annotated[int, seconds(1, _DAY)] = 10


@table
@dataclass(frozen=True, slots=True)
class ProofSettings:
    """The data that is kept for proof, and the directory of the checkpoints."""

    keep: Annotated[Keep, choice(Keep)] = Keep.CONTENT
    checkpoints: Annotated[Path | None, text(values.path)] = None  # None: below `state`
    checkpoint_seconds: Annotated[int, seconds(1, _DAY)] = 10 * _MINUTE
    checkpoint_entries: Annotated[int, number(1, 1_000_000)] = 1000


@table
@dataclass(frozen=True, slots=True)
class Retention:
    """How long the contents of each partner's delivered messages are kept, and how much of them; 0 is no limit."""

    days: Annotated[int, number(0, 36_500)] = 0
    max_bytes: Annotated[int, size(0, 1024 * _TIB)] = 0


@table
@dataclass(frozen=True, slots=True)
class Mail:
    """The mail server for notices, with the sender and the receivers."""

    smtp: Annotated[tuple[str, int], text(values.mail_server), key(example='"mail.example.com:25"')]
    sender: Annotated[str, text(values.mail_address), key("from", example='"mtlsd@example.com"')]
    to: Annotated[tuple[str, ...], one_or_more(values.mail_address), key(example='"edi@example.com"')]


@table
@dataclass(frozen=True, slots=True)
class Expiry:
    """The notices about certificates that expire: how many days before, and to whom."""

    days: Days = (60, 30, 14, 7, 3, 1, 0)
    webhook: Annotated[Backend | None, text(Backend.parse)] = None
    mail: Mail | None = None


@dataclass(frozen=True, slots=True)
class Configuration:
    """The content of the configuration file; every path is absolute."""

    file: Path
    server: Server
    limits: Limits
    delivery: DeliverySettings
    virtualhosts: tuple[VirtualHost, ...]
    proof: ProofSettings = ProofSettings()
    retention: Retention = Retention()
    expiry: Expiry = Expiry()

    @property
    def checkpoints(self) -> Path:
        """The directory of the signed checkpoints."""
        return self.proof.checkpoints or self.server.state / "checkpoints"
