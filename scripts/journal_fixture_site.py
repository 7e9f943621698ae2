"""The site of a fixture: its files, its partners, and its handler, which takes messages at a given time."""

import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from uuid import UUID

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from mtlsd.access.rate_limits import FailureLimit
from mtlsd.as2.agreement import MessageLimits
from mtlsd.config.model import Route
from mtlsd.handlers.as2.begin import begin
from mtlsd.handlers.as2.exchange import Exchange
from mtlsd.handlers.context import Call, Services
from mtlsd.handlers.well_known import selftest
from mtlsd.handlers.well_known.selftest import SelfTest
from mtlsd.http import routing
from mtlsd.http.messages import Request, Response
from mtlsd.journal.columns import targets_text
from mtlsd.journal.model import NO_PROMISE, Acceptance, Attempt
from mtlsd.journal.spool import Spool
from mtlsd.journal.sql.journal import Journal
from mtlsd.partners import matching
from mtlsd.partners.matching import Peer
from mtlsd.pki.certificate import Presented
from mtlsd.pki.key_pair import KeyPair
from mtlsd.relay.retry import Answered
from mtlsd.snapshot.snapshot import Snapshot, load_snapshot
from mtlsd.tls import verify
from tests.support import messages, pki
from tests.support.daemon import LONG, authority, certificate
from tests.support.messages import Sent
from tests.support.pki import Issued
from tests.support.stored import CONFIGURATION, HOSTS, our_keys, write_our_keys

RENEWAL = datetime(2025, 1, 1, tzinfo=UTC)  # when the newer certificates begin
MAX_FAILURES = 1_000_000
SETTINGS = 'as2_id = "{}"\nrequire = []\nmdn_urls = ["https://mdn.example/"]\n'
TEXT = """\
[server]
journal = "sqlite"
inline_bytes = 4096

[proof]
checkpoint_seconds = 86400
"""
HOST = """
[[virtualhost]]
name = "{name}"
listen = "127.0.0.1:8443"
client_certificate = "{client}"
"""
ROUTE = """
[[virtualhost.route]]
path = "{path}"
handler = "as2"
organization = "EXAMPLE"
"""
ROUTES = {
    "/several": 'backend = ["http://127.0.0.1:9001/a", "http://127.0.0.1:9002/b?token=c"]\nclient_cert = "chain"',
    "/one": 'backend = "http://127.0.0.1:9003/inbound"\nclient_cert = "leaf"',
    "/ordered": 'backend = "http://127.0.0.1:9004/inbound"\nordered = true',
    "/ordered-several": 'backend = ["http://127.0.0.1:9005/a", "http://127.0.0.1:9006/b"]\nordered = true\n'
    'client_cert = "chain"',
    "/files": 'backend = "dir:/srv/edi/inbound%20files"\nclient_cert = "leaf"',
    "/ordered-files": 'backend = "dir:/srv/edi/ordered"\nordered = true\nclient_cert = "chain"',
    "/message": 'backend = "https://backend.example/as2"\ndeliver = "message"\nclient_cert = "chain"',
    "/first": 'backend = "http://127.0.0.1:9007/inbound"\nmdn = "delivered"',
    "/sealed": 'backend = "http://127.0.0.1:9008/as2"\ndeliver = "message"\nmdn = "backend"',
}


@cache
def pair(name: str, use: str = "") -> KeyPair:
    """The AS2 key pair of this name: on a curve, so that what it signs is short."""
    key = our_keys()[use] if use else pki.rsa_key(name) if name == "BACKEND" else pki.ec_key(f"AS2 {name}")
    start = RENEWAL if name.endswith(" NEXT") else LONG["start"]
    return KeyPair(pki.issue(name, key=key, start=start, end=LONG["end"]).certificate, (), key)


def layered(layers: str, inner: bytes, *, sender: str, recipient: str) -> bytes:
    """The entity with layers put around it in this order: c compress, s sign, E encrypt."""
    for layer in layers:
        if layer == "s":
            inner = signed(inner, pair(sender))
        elif layer == "c":
            inner = messages.compress(inner)
        else:
            whom = pair(recipient, "decrypt") if recipient == "EXAMPLE" else pair(recipient)
            inner = messages.encrypt(inner, whom)
    return inner


def signed(inner: bytes, signer: KeyPair, sent: bytes | None = None) -> bytes:
    """The entity with its signature; `sent` is what becomes of it on the way."""
    builder = pkcs7.PKCS7SignatureBuilder().set_data(inner)
    key = signer.private_key
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    builder = builder.add_signer(signer.certificate.x509, key, hashes.SHA256())
    options = [pkcs7.PKCS7Options.DetachedSignature, pkcs7.PKCS7Options.Binary]
    return messages.multipart_signed(sent or inner, builder.sign(Encoding.DER, options))


@dataclass
class Site:
    """A gateway without sockets. Each message that it takes gets the next id."""

    root: Path
    snapshot: Snapshot
    spool: Spool
    _failures: FailureLimit = field(default_factory=lambda: FailureLimit(MAX_FAILURES))
    _count: int = 0

    @property
    def state(self) -> Path:
        return self.root / "state"

    def copy_public(self, folder: Path) -> None:
        """Copy what may be published: no private key, and no database."""
        keys = shutil.ignore_patterns("*key.pem", "hosts", "journal.sqlite*", "tmp")
        for name in ("certs", "state"):
            shutil.copytree(self.root / name, folder / name, ignore=keys)
        shutil.copy(self.root / CONFIGURATION, folder)
        for directory in sorted(folder.rglob("*"), reverse=True):
            if directory.is_dir() and not any(directory.iterdir()):
                directory.rmdir()

    def take(
        self, journal: Journal, sent: Sent, now: float, path: str, client: Issued | None, *, keeps_evidence: bool = True
    ) -> str:
        """Receive a message as the daemon does and return the id that it had; whatever the answer promises is kept."""
        call = self._call(sent, now, path, client)
        limits = MessageLimits(1 << 20, 100)
        services = Services(journal, self.spool, limits, self._failures, 4096, keeps_evidence)
        start = selftest.begin if path == selftest.PATH else begin
        begun = start(call, services)
        if isinstance(begun, Exchange | SelfTest):
            begun.receive_data(sent.body)
            begun = _finished(begun, journal, now)
        _keep_promise(journal, begun)
        return call.request_id

    def _call(self, sent: Sent, now: float, path: str, client: Issued | None) -> Call:
        self._count += 1
        name = HOSTS[0] if client else HOSTS[1]
        fields = tuple((key.lower(), value) for key, value in sent.fields)
        request = Request("POST", path, (*fields, ("content-length", str(len(sent.body)))), "1.1", name)
        return Call(
            request=request,
            request_id=id_at(now, self._count),
            host=name,
            route=self._route(request, name),
            organization=self.snapshot.organizations["EXAMPLE"],
            truststore=self.snapshot.truststore,
            peer=self._peer(client, now),
            address="192.0.2.1",
            now=now,
            configuration=self.snapshot.version,
            presented=Presented(client.certificate, client.chain) if client else None,
        )

    def _route(self, request: Request, name: str) -> Route:
        host = self.snapshot.hosts[name]
        if request.path == selftest.PATH:
            return selftest.route_for(host, self.snapshot.organizations, request)
        return routing.match(host, request)

    def _peer(self, client: Issued | None, now: float) -> Peer | None:
        if client is None:
            return None
        presented = Presented(client.certificate, client.chain)
        claim = matching.claim(presented, self.snapshot.truststore)
        verdict = verify.judge(presented, claim.anchors, datetime.fromtimestamp(now, UTC), claim.relax)
        return matching.match(verdict, claim, self.snapshot.truststore, HOSTS[0])


def id_at(now: float, count: int) -> str:
    """An id as the daemon makes them, with a counter for what is random there."""
    return str(UUID(int=int(now * 1000) << 80 | 0x7 << 76 | 0x2 << 62 | count))


def _finished(begun: Exchange | SelfTest, journal: Journal, now: float) -> Response:
    response = begun.finish()
    if (acceptance := response.promise.acceptance) is None:
        return response
    assert isinstance(begun, Exchange)
    if begun.asks_backend_first:
        response = begun.delivered(acceptance, _attempt(acceptance, now), Answered(200))
        acceptance = response.promise.acceptance
        assert acceptance is not None, "the backend took it"
    (holder,) = journal.accept([acceptance])
    return replace(response, promise=NO_PROMISE) if begun.is_first(holder) else begun.duplicate(holder)


def _attempt(acceptance: Acceptance, now: float) -> Attempt:
    """The one that was made before the message was accepted."""
    first = acceptance.deliveries[0]
    return Attempt(
        delivery_id=first.id,
        number=1,
        started_at=now,
        finished_at=round(now + 0.2, 1),
        status=200,
        target=targets_text(first.targets),
    )


def _keep_promise(journal: Journal, answer: Response) -> None:
    """As the connection does before it answers."""
    promise = answer.promise
    if promise.delivery is not None:
        journal.promise(promise.delivery, promise.refusal)
    elif promise.refusal is not None:
        journal.accept([], [promise.refusal])


# --- The files ------------------------------------------------------------------------------------------------


def make_site(root: Path) -> Site:
    """Write the files of the site into an empty folder, and read them."""
    (root / CONFIGURATION).write_text(TEXT + "".join(_hosts()))
    certs = root / "certs"
    ours = certs / "organizations" / "EXAMPLE"
    for use in our_keys():
        (ours / use).mkdir(parents=True)
        (ours / use / "cert.pem").write_bytes(pki.pem_of(pair("EXAMPLE", use).certificate))
    (ours / "backend.pem").write_bytes(pki.pem_of(pair("BACKEND").certificate))
    write_our_keys(certs)
    for name, connection in partners().items():
        _write_partner(certs / "partners" / name, name.upper(), connection)
    state = root / "state"
    return Site(root, load_snapshot(root / CONFIGURATION, None, time.time()), Spool(state / "spool", "node-1"))


@cache
def partners() -> dict[str, Issued]:
    """The partners' client certificates, by name."""
    above = pki.intermediate(authority("GLOBEX Root"), "GLOBEX CA", key=pki.ec_key("GLOBEX CA"), **LONG)
    return {
        "acme": certificate(authority("ACME Root"), "edi.acme.example"),
        "globex": certificate(above, "edi.globex.example"),
        "initech": certificate(None, "edi.initech.example"),
    }


def _hosts() -> Iterator[str]:
    for name, client in zip(HOSTS, ("required", "optional"), strict=True):
        yield HOST.format(name=name, client=client)
        yield from (ROUTE.format(path=path) + settings + "\n" for path, settings in ROUTES.items())


def _write_partner(folder: Path, as2_id: str, connection: Issued) -> None:
    (folder / "tls").mkdir(parents=True)
    (folder / "as2").mkdir()
    for at, each in enumerate((connection, *connection.issuers)):
        (folder / "tls" / f"{at}.pem").write_bytes(pki.pem_of(each.certificate))
    for name in (as2_id, f"{as2_id} NEXT"):
        (folder / "as2" / f"{name.lower().replace(' ', '-')}.cer").write_bytes(pair(name).certificate.der)
    (folder / "partner.toml").write_text(SETTINGS.format(as2_id))
