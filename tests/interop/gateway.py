"""Our side of the matrix, in one process: the handler, a real journal, a real spool; and the judges of its receipts.

`Gateway.exchange` sends one message and checks all that must hold of the outcome. What it returns is the disposition.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from mtlsd.access.rate_limits import FailureLimit
from mtlsd.as2.agreement import MessageLimits
from mtlsd.as2.mdn.pyas2 import ReceivedMDN, read_mdn
from mtlsd.config.load import read_configuration
from mtlsd.handlers.as2.begin import begin
from mtlsd.handlers.context import Call, Services
from mtlsd.http.messages import Request, Response
from mtlsd.journal.documents import open_document
from mtlsd.journal.model import DeliveryKind, Message
from mtlsd.journal.spool import Spool
from mtlsd.journal.sql.sqlite import SQLiteJournal
from mtlsd.partners import matching
from mtlsd.partners.matching import Peer
from mtlsd.partners.registry import load_partners
from mtlsd.pki.certificate import Presented
from mtlsd.pki.key_pair import KeyPair
from mtlsd.relay.request import build_request
from mtlsd.tls import verify
from tests.interop import peers
from tests.interop.cells import PROCESSED, Receipt
from tests.interop.peers import DOCUMENT, TARGET, Built
from tests.support import messages, pki, pyas2_oracle
from tests.support.daemon import LONG, Tree, acme, keys
from tests.support.messages import Sent
from tests.support.pki import Issued

NOW = 1_800_000_000.0
HOST = "as2.example.com"
# To see what can be read, not what policy refuses.
SETTINGS = 'require = []\nrelax = ["sha1", "3des"]\nmdn_urls = ["{}"]'


@cache
def on_a_curve(name: str, curve: str = "secp256r1") -> KeyPair:
    """An AS2 key pair on an elliptic curve."""
    key = pki.ec_key(name, curve)
    return KeyPair(pki.issue(name, key=key, **LONG).certificate, (), key)


SIGNERS = {"secp256r1": "ACME on P-256", "secp384r1": "ACME on P-384"}
RECIPIENT = "EXAMPLE on P-256"


def site(root: Path, backend: str = "http://127.0.0.1:9/nobody", mdns: str = TARGET.partition("?")[0]) -> Tree:
    """The files of a gateway that asks ACME for no layer at all and knows its keys of every kind."""
    tree = Tree(root, backend, hosts={HOST: "required"}, limits="max_failures_per_hour = 100_000")
    folder = tree.add("acme", "ACME", acme(), SETTINGS.format(mdns))
    for curve, name in SIGNERS.items():
        (folder / "as2" / f"{curve}.cer").write_bytes(on_a_curve(name, curve).certificate.der)
    return tree


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: the header fields, the body, and the reason where the message was refused."""

    status: int
    fields: Sequence[tuple[str, str]]
    body: bytes

    def judged(self, built: Built, receipt: Receipt) -> ReceivedMDN | None:
        """What the MDN says, after `openssl cms` and pyas2lib have verified it; None where none was asked for."""
        if receipt is Receipt.NONE:
            assert not self.body
            return None
        assert self.status == 200
        ours = peers.identity("EXAMPLE")
        signed = receipt.is_signed
        read = read_mdn(
            self.fields,
            self.body,
            verify=lambda headers, body: pyas2_oracle.openssl_verify(headers, body, ours),
            message_id=built.message_id,
            mic=built.mic,
        )
        assert read.signed == signed
        assert read.confirmed == (self._judged_by_pyas2lib(built, signed=signed) == PROCESSED)
        return read

    def _judged_by_pyas2lib(self, built: Built, *, signed: bool) -> str:
        """The status that pyas2lib finds by itself: it verifies the signature and compares the MIC."""
        settings: dict[str, Any] = {"mdn_mode": "SYNC", "mdn_digest_alg": "sha256" if signed else None}
        receiver = pyas2_oracle.partner(peers.identity("EXAMPLE"), **settings)
        original = pyas2_oracle.as2.Message(pyas2_oracle.organization(peers.identity("ACME")), receiver)
        original.message_id, original.mic = built.message_id.strip("<>"), built.mic.encode()
        header = "".join(f"{name}: {value}\r\n" for name, value in self.fields).encode()
        status, detail = pyas2_oracle.as2.Mdn().parse(header + b"\r\n" + self.body, lambda *_: original)
        assert status == PROCESSED or status.startswith(("processed/error", "failed/failure")), (status, detail)
        return str(status)


class Gateway:
    """One organization, one partner, one journal."""

    def __init__(self, root: Path) -> None:
        tree = site(root)
        self.journal = SQLiteJournal(root / "journal.sqlite")
        self._spool = Spool(root / "spool")
        limits = MessageLimits(1 << 20, 100)
        self._services = Services(self.journal, self._spool, limits, FailureLimit(1_000_000))
        pair = keys("EXAMPLE")
        self._organization = replace(messages.organization(), signing=pair, decryption=(pair, on_a_curve(RECIPIENT)))
        self._route = read_configuration(tree.configuration).virtualhosts[0].routes[0]
        self._truststore = load_partners(tree.certs / "partners")[0]
        self._peer = self._proven(acme())
        self._count = 0

    def close(self) -> None:
        self.journal.close()

    def exchange(self, built: Built, receipt: Receipt = Receipt.SIGNED) -> str:
        """Send the message, judge the receipt, look at what is kept; returns the disposition."""
        answer = self.send(built.sent)
        kept = self.journal.message(built.message_id)
        posted = self._posted(answer, kept) if receipt.is_asynchronous else answer
        said = posted.judged(built, receipt)
        if said is not None and (said.disposition_type, said.modifier) != (PROCESSED, None):
            assert kept is None
            return f"{said.disposition_type}/{said.modifier}"
        assert answer.status == 200
        assert said is None or said.confirmed
        assert kept is not None
        self._check_kept(kept, built)
        return PROCESSED

    def _posted(self, answer: Answer, kept: Message | None) -> Answer:
        """The MDN as it is posted to the sender, where the answer is empty and the journal has it."""
        assert (answer.status, tuple(answer.fields), answer.body) == (200, (), b"")
        assert kept is not None
        (due,) = [each for each in self.journal.deliveries(kept.id) if each.kind is DeliveryKind.MDN]
        outgoing = build_request(kept, due)
        assert isinstance(outgoing.body, bytes)
        assert due.targets == (TARGET,)
        return Answer(200, outgoing.headers, outgoing.body)

    def _check_kept(self, kept: Message, built: Built) -> None:
        deliveries = self.journal.deliveries(kept.id)
        assert [each.kind for each in deliveries].count(DeliveryKind.BACKEND) == 1
        assert kept.payload is not None
        with open_document(self.journal, self._spool, kept.payload) as document:
            assert document.read() == DOCUMENT
        assert kept.mic == built.mic

    def send(self, sent: Sent) -> Answer:
        """One request through the handler, and one commit; raises PeerError where there is no MDN to say it with."""
        self._count += 1
        fields = tuple((name.lower(), value) for name, value in sent.fields)
        call = Call(
            request=Request("POST", "/as2", (*fields, ("content-length", str(len(sent.body)))), "1.1", HOST),
            request_id=f"request-{self._count}",
            host=HOST,
            route=self._route,
            organization=self._organization,
            truststore=self._truststore,
            peer=self._peer,
            address="192.0.2.1",
            now=NOW,
        )
        response = self._respond(call, sent.body)
        return Answer(response.status, response.fields, response.body)

    def _respond(self, call: Call, body: bytes) -> Response:
        exchange = begin(call, self._services)
        if isinstance(exchange, Response):
            return exchange
        exchange.receive_data(body)
        response = exchange.finish()
        if (acceptance := response.promise.acceptance) is None:
            return response
        (holder,) = self.journal.accept([acceptance])
        return response if exchange.is_first(holder) else exchange.duplicate(holder)

    def _proven(self, issued: Issued) -> Peer:
        presented = Presented(issued.certificate, issued.chain)
        claim = matching.claim(presented, self._truststore)
        verdict = verify.judge(presented, claim.anchors, datetime.fromtimestamp(NOW, UTC), claim.relax)
        return matching.match(verdict, claim, self._truststore, HOST)
