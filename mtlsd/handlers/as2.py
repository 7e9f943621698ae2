"""An AS2 route: a message comes in, is verified, kept, and answered with its receipt. Synchronous, no sockets.

`begin` looks at the header and refuses what it can before the body is read. `Exchange` takes the body, and `finish`
makes the promise: everything is on disk, in one commit, before the answer exists.

Where the MDN is asked for asynchronously, the answer is an empty 200, and the MDN a delivery like any other. For an
accepted message both are in its one commit; a refusal, and a duplicate, promise it on their own (`Deferred`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_address, ip_network

from mtlsd import as2, http, journal
from mtlsd.access import FailureLimit
from mtlsd.as2 import Agreement, AS2Headers, Hints, Limits, ReadAgain, Receiver, VerifiedMessage
from mtlsd.config import Route
from mtlsd.errors import (
    AS2DuplicateOtherContent,
    AS2FromMismatchCert,
    AS2FromUnknown,
    AS2Refused,
    AS2SenderEqualsReceiver,
    AS2ToUnknown,
    LengthRequired,
    MDNTargetDenied,
    RangeNotSupported,
)
from mtlsd.handlers import receipts
from mtlsd.handlers.filenames import filename_of
from mtlsd.http import Request, Response
from mtlsd.identity import Organization, Partner, Peer, Require, TrustStore
from mtlsd.journal import (
    Acceptance,
    Delivery,
    DeliveryKind,
    Document,
    Journal,
    Kept,
    Message,
    Refusal,
    Spool,
    StoredMDN,
)

ANSWER_FIRST_SECONDS = 1  # an asynchronous MDN waits so long, that it does not overtake the answer to the message
SECRET_FIELDS = ("authorization", "cookie", "proxy-authorization")  # some products send one unasked: never kept
READ_AGAIN = 256 * 1024  # octets at a time, where the body must be read once more


@dataclass(frozen=True, slots=True)
class Services:
    """What outlives an exchange: the journal, the spool, the limits."""

    journal: Journal
    spool: Spool
    limits: Limits
    failures: FailureLimit


@dataclass(frozen=True, slots=True)
class Call:
    """One request to an AS2 route, and who makes it. `peer` is None where TLS proved nobody."""

    request: Request
    request_id: str
    host: str
    route: Route
    organization: Organization
    truststore: TrustStore
    peer: Peer | None
    address: str  # of the client
    now: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Deferred(Response):
    """An answer that promises an MDN: what it promises must be on disk before it is sent."""

    delivery: Delivery
    refusal: Refusal | None = None  # what the delivery is about, where it is no message


def begin(call: Call, services: Services) -> "Exchange | Response":
    """Decide by the header alone: an exchange that takes the body, or an answer that needs none.

    Raises PeerError where there is no MDN to say it with.
    """
    if call.request.method == "HEAD":
        return Response(200)
    if call.request.get("content-range") is not None:
        raise RangeNotSupported()
    if not call.request.has_body:
        raise LengthRequired()
    headers = AS2Headers.parse(call.request.fields)
    partner = _partner(call, headers)
    _check_target(headers, partner)
    exchange = Exchange(call, services, headers, partner)
    try:
        exchange.check()
    except AS2Refused as refusal:
        return exchange.refuse(refusal)
    return exchange


def _partner(call: Call, headers: AS2Headers) -> Partner | None:
    """Whose message this is; None where AS2-From is nobody's. Raises AS2FromMismatchCert."""
    as2_from = headers.as2_from.value
    if call.peer is None:
        return call.truststore.partner_by_as2_id(as2_from, call.host)
    if as2_from not in call.peer.partner.as2_ids:
        raise AS2FromMismatchCert(f"AS2-From {as2_from!r} over a certificate of {call.peer.partner.name}")
    return call.peer.partner


def _check_target(headers: AS2Headers, partner: Partner | None) -> None:
    """Raises where an asynchronous MDN is wanted by nobody we know, or at a place that is not listed for it."""
    target = headers.receipt.target if headers.receipt else None
    if target is None:
        return
    if partner is None:
        raise AS2FromUnknown(f"AS2-From {headers.as2_from.value!r}")
    if not partner.may_have_mdns_at(target):
        raise MDNTargetDenied(f"an asynchronous MDN to {target!r}")


class Exchange:
    """One AS2 message being received: its data, `finish`, `conclude`; or `abort`. Until then it owns its files."""

    def __init__(self, call: Call, services: Services, headers: AS2Headers, partner: Partner | None) -> None:
        self._call = call
        self._services = services
        self._headers = headers
        self._partner = partner
        self._refusal: AS2Refused | None = None
        self._receiver: Receiver | None = None
        self._documents: dict[str, Document] = {}
        self._verified: VerifiedMessage | None = None
        self._kept: Kept | None = None

    def check(self) -> None:
        """Raises AS2Refused for what the header alone shows."""
        headers = self._headers
        if headers.as2_from.value == headers.as2_to.value:
            raise AS2SenderEqualsReceiver()
        if self._partner is None:
            raise AS2FromUnknown(f"AS2-From {headers.as2_from.value!r}")
        if headers.as2_to.value != self._call.organization.as2_id:
            raise AS2ToUnknown(f"AS2-To {headers.as2_to.value!r}; this route is {self._call.organization.as2_id!r}")
        self._services.failures.check(self._failure_key(), self._call.now)
        headers.check()

    def receive_data(self, data: bytes) -> None:
        """Take some octets of the body; raises SpoolFull or JournalUnavailable."""
        if self._refusal is not None:
            return
        try:
            if self._receiver is None:
                self._open(Hints())
            self._documents["as2"].write(data)
            self._read(data)
        except AS2Refused as refusal:
            self._refusal = refusal
            self.abort()

    @property
    def is_small(self) -> bool:
        """Whether `finish` touches no file, and takes no longer than a few milliseconds."""
        return all(document.file is None for document in self._documents.values())

    def finish(self) -> Acceptance | Response:
        """The whole body is here: verify it. What is accepted goes to the journal, and what that says to `conclude`.

        Raises SpoolFull or JournalUnavailable.
        """
        try:
            if self._receiver is None and self._refusal is None:
                self._open(Hints())
            if self._refusal is not None:
                return self.refuse(self._refusal)
            return self._accept(self._verify())
        except AS2Refused as refusal:
            return self.refuse(refusal)
        finally:
            self.abort()

    def conclude(self, holder: Message) -> Response:
        """The answer, once the message that holds the key is on disk: this one, or an earlier one."""
        assert self._verified is not None
        assert self._kept is not None
        if holder.id == self._call.request_id:
            return self._answer(holder.mdn, self._verified)
        journal.remove(self._services.spool, self._kept)
        try:
            return self._duplicate(holder, self._verified)
        except AS2Refused as refusal:
            return self.refuse(refusal)

    def abort(self) -> None:
        """Remove what is not kept."""
        for document in self._documents.values():
            document.discard()

    def refuse(self, refusal: AS2Refused) -> Response:
        """The answer to a refusal: an MDN where one was asked for, else the HTTP status; or raises TooManyFailures."""
        if self._partner is not None:
            self._services.failures.charge(self._failure_key(), self._call.now)
        if self._headers.receipt is None:
            request = self._call.request
            return http.respond(refusal, request_id=self._call.request_id, as_json=request.wants_json, close=False)
        mdn = receipts.refused(self._headers, refusal, self._sender())
        reason = ("Mtlsd-Reason", refusal.reason)
        if self._target is None:
            return Response(200, (*mdn.headers, reason), mdn.body, error=refusal)
        refused = self._refused(refusal, mdn)
        delivery = self._mdn_delivery(self._target, refusal_id=refused.id)
        facts = {"receipt_target": self._target}
        return Deferred(
            status=200, fields=(reason,), close=True, error=refusal, facts=facts, delivery=delivery, refusal=refused
        )

    @property
    def _target(self) -> str | None:
        """Where the MDN goes, if not into the answer."""
        return self._headers.receipt.target if self._headers.receipt else None

    # --- Reading ------------------------------------------------------------------------------------------------

    def _open(self, hints: Hints) -> None:
        assert self._partner is not None
        for suffix in ("as2", "payload"):
            if suffix not in self._documents:
                self._documents[suffix] = Document(self._services.spool)
        require = self._partner.require | ({Require.SIGN} if self._call.peer is None else frozenset())
        agreement = Agreement(self._call.organization, self._partner, frozenset(require))
        now = datetime.fromtimestamp(self._call.now, UTC)
        self._receiver = Receiver(self._headers, agreement, self._services.limits, now, hints)

    def _read(self, data: bytes) -> None:
        assert self._receiver is not None
        self._receiver.receive_data(data)
        self._write_payload()

    def _write_payload(self) -> None:
        assert self._receiver is not None
        for event in self._receiver.events():
            self._documents["payload"].write(event.data)

    def _verify(self) -> VerifiedMessage:
        """The verdict; the body is read once more for whatever a pass found missing."""
        assert self._receiver is not None
        try:
            verified = self._receiver.finish()
        except ReadAgain as again:
            self._read_again(again.hints)
            return self._verify()
        self._write_payload()
        return verified

    def _read_again(self, hints: Hints) -> None:
        self._documents.pop("payload").discard()
        self._open(hints)
        for data in self._documents["as2"].read_back(READ_AGAIN):
            self._read(data)

    # --- Promising ----------------------------------------------------------------------------------------------

    def _accept(self, verified: VerifiedMessage) -> Acceptance:
        self._verified = verified
        mdn = receipts.accepted(self._headers, verified, self._sender()) if self._headers.receipt else None
        kept = self._kept = journal.keep(self._services.spool, self._call.request_id, self._documents)
        message = self._message(verified, mdn, kept)
        return Acceptance(message, tuple(self._deliveries(message)), kept.inline)

    def _duplicate(self, earlier: Message, verified: VerifiedMessage) -> Response:
        """The stored MDN byte for byte, where the content is the same; nothing is processed twice."""
        if (earlier.mic, as2.algorithm_of(earlier.mic_algorithm or "")) != (verified.mic.value, verified.mic.algorithm):
            raise AS2DuplicateOtherContent(f"first received as {earlier.id}")
        response = self._answer(earlier.mdn, verified)
        response.facts["duplicate_of"] = earlier.id
        if self._target is None or earlier.mdn is None:
            return response
        delivery = self._mdn_delivery(self._target, message_id=earlier.id)
        return Deferred(status=200, close=response.close, facts=response.facts, delivery=delivery)

    def _answer(self, mdn: StoredMDN | None, verified: VerifiedMessage) -> Response:
        facts = {
            "payload_bytes": verified.size,
            "mic": str(verified.mic),
            "signer": verified.signer.sha256 if verified.signer else None,
            "cipher": verified.cipher,
            "form": verified.form,
        }
        if self._target is not None:  # senders expect that the connection closes before the MDN comes
            return Response(200, close=True, facts=facts | {"receipt_target": self._target})
        return Response(200, mdn.headers if mdn else (), mdn.body if mdn else b"", facts=facts)

    def _message(self, verified: VerifiedMessage, mdn: StoredMDN | None, kept: Kept) -> Message:
        assert self._partner is not None
        headers, call = self._headers, self._call
        return Message(
            id=call.request_id,
            as2_from=headers.as2_from.value,
            as2_to=headers.as2_to.value,
            message_id=headers.message_id,
            partner=self._partner.name,
            host=call.host,
            route=call.route.path,
            received_at=call.now,
            content_type=verified.content_type,
            size=verified.size,
            payload=kept.names["payload"],
            original=kept.names["as2"],
            headers=tuple(field for field in call.request.fields if field[0] not in SECRET_FIELDS),
            request_id=call.request_id,
            compressed=verified.compressed,
            subject=headers.subject or None,
            filename=filename_of(verified.disposition, verified.content_type),
            mic=verified.mic.value,
            mic_algorithm=verified.mic.label,
            signer_sha256=verified.signer.sha256 if verified.signer else None,
            encrypted_with=verified.cipher,
            mdn=mdn,
        )

    def _refused(self, refusal: AS2Refused, mdn: StoredMDN) -> Refusal:
        assert self._partner is not None
        headers, call = self._headers, self._call
        return Refusal(
            id=call.request_id,
            as2_from=headers.as2_from.value,
            as2_to=headers.as2_to.value,
            message_id=headers.message_id,
            partner=self._partner.name,
            host=call.host,
            refused_at=call.now,
            reason=refusal.reason,
            request_id=call.request_id,
            mdn=mdn,
        )

    def _deliveries(self, message: Message) -> Iterator[Delivery]:
        now, target = self._call.now, self._call.route.backend.url
        yield Delivery(id=f"{message.id}-1", message_id=message.id, target=target, not_before=now, created_at=now)
        if self._target is not None:
            yield self._mdn_delivery(self._target, message_id=message.id)

    def _mdn_delivery(self, target: str, *, message_id: str | None = None, refusal_id: str | None = None) -> Delivery:
        call = self._call
        return Delivery(
            id=f"{call.request_id}-mdn",
            kind=DeliveryKind.MDN,
            target=target,
            not_before=call.now + ANSWER_FIRST_SECONDS,
            created_at=call.now,
            message_id=message_id,
            refusal_id=refusal_id,
        )

    def _sender(self) -> receipts.Sender:
        call = self._call
        return receipts.Sender(call.organization.signing, call.host, call.request_id, call.now)

    def _failure_key(self) -> str:
        """Who is charged for a failure: the partner, where TLS proved it, else the claim together with the address."""
        assert self._partner is not None
        return self._partner.name if self._call.peer else f"{self._partner.name} from {_network(self._call.address)}"


def _network(address: str) -> str:
    """The address, or of an IPv6 address its /64: whoever has one address there has them all."""
    parsed = ip_address(address)
    return address if parsed.version == 4 else str(ip_network((parsed, 64), strict=False))
