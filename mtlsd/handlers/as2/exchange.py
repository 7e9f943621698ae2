"""One AS2 message being received, and the promise that answers it.

`finish` brings everything to the disk, in one commit, before the answer exists. Where the MDN is asked for
asynchronously, the answer is empty, and the MDN a delivery like any other: for an accepted message both are in its one
commit; a refusal, and a duplicate, promise it on their own (`Deferred`).

Some routes ask the backend first (`mdn = "delivered"` and `"backend"`): whoever has the sockets makes the attempt and
hands the outcome to `delivered`, and nothing is accepted unless the backend took it.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from mtlsd.access.rate_limits import network_of
from mtlsd.as2 import explain
from mtlsd.as2.agreement import Agreement
from mtlsd.as2.explain import Candidate
from mtlsd.as2.headers import algorithm_of
from mtlsd.as2.layers import Evidence
from mtlsd.as2.mime.parser import ContentType
from mtlsd.as2.receiver import Receiver, SealedMessage, VerifiedMessage
from mtlsd.as2.second_pass import Hints, ReadAgain
from mtlsd.config.model import Deliver, MDNMode
from mtlsd.errors import (
    AS2DuplicateOtherContent,
    AS2FromUnknown,
    AS2MDNUnexpected,
    AS2Refused,
    AS2SenderEqualsReceiver,
    AS2ToUnknown,
    BackendRefused,
    BackendUnavailable,
)
from mtlsd.handlers.as2 import backend_mdn, receipts, records
from mtlsd.handlers.as2.backend_mdn import BackendReceipt
from mtlsd.handlers.context import Deferred, Inbound, Refused, Services
from mtlsd.http import problems
from mtlsd.http.messages import Response
from mtlsd.journal import documents
from mtlsd.journal.documents import Document, Kept, open_kept
from mtlsd.journal.integrity import check_mdn
from mtlsd.journal.model import Acceptance, Attempt, Delivery, DeliveryState, Message, Refusal, StoredMDN
from mtlsd.partners.partner_toml import DEFAULT_VERSION, Require
from mtlsd.relay.retry import Answered, Outcome, reason_of

SMALL = 64 * 1024  # octets that are verified without a thread of their own
READ_AGAIN = 256 * 1024  # octets at a time, where the body must be read once more


class Exchange:
    """A message being received: its data, `finish`, `conclude`; or `abort`. Until then it owns its files."""

    def __init__(self, inbound: Inbound, services: Services) -> None:
        self._inbound = inbound
        self._call = inbound.call
        self._headers = inbound.headers
        self._services = services
        self._refusal: AS2Refused | None = None
        self._receiver: Receiver | None = None
        self._documents: dict[str, Document] = {}
        self._message: VerifiedMessage | SealedMessage | None = None
        self._kept: Kept | None = None
        self._alert = ""
        self._receipt_signer: str | None = None

    def check(self) -> None:
        """Raises AS2Refused for what the header alone shows."""
        headers, organization = self._headers, self._call.organization
        if headers.as2_from.value == headers.as2_to.value:
            raise AS2SenderEqualsReceiver()
        if self._inbound.partner is None:
            dispute = self._call.truststore.dispute(headers.as2_from.value)
            raise AS2FromUnknown(f"AS2-From {headers.as2_from.value!r}{dispute}")
        if headers.as2_to.value != organization.as2_id:
            raise AS2ToUnknown(f"AS2-To {headers.as2_to.value!r}; this route is {organization.as2_id!r}")
        self._services.failures.check(self._failure_key(), self._call.now)
        headers.check()
        _check_no_mdn(headers.entity.get("content-type", ""))

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
        return all(document.file is None and document.size <= SMALL for document in self._documents.values())

    @property
    def asks_backend_first(self) -> bool:
        """Whether what `finish` accepts is to be attempted, and the outcome handed to `delivered`."""
        return self._call.route.mdn is not MDNMode.ACCEPTED

    def finish(self) -> Acceptance | Response:
        """The whole body is here: verify it. What is accepted goes to the journal, and what that says to `conclude`.

        Raises SpoolFull or JournalUnavailable.
        """
        try:
            return self._accept(self.read())
        except AS2Refused as refusal:
            return self.refuse(refusal)
        finally:
            self.abort()

    def read(self) -> VerifiedMessage | SealedMessage:
        """The verdict, once the whole body is here; raises AS2Refused."""
        if self._receiver is None and self._refusal is None:
            self._open(Hints())
        if self._refusal is not None:
            raise self._refusal
        read = self._verify()
        if isinstance(read, VerifiedMessage):
            _check_no_mdn(read.content_type)
        return read

    def delivered(self, acceptance: Acceptance, attempt: Attempt, outcome: Outcome) -> Acceptance | Response:
        """What to accept now that the backend was asked, or the answer to its refusal; raises BackendUnavailable."""
        if reason := reason_of(outcome):
            if isinstance(self._message, SealedMessage) and isinstance(outcome, Answered):
                self._charge()  # else there is no end to guessing what the backend can open
            raise BackendUnavailable(f"{reason}: {attempt.detail or attempt.status}")
        assert isinstance(outcome, Answered)
        message = acceptance.message
        if self._inbound.backend_answers and self._headers.receipt:
            receipt = self._backend_receipt(outcome)
            self._alert = receipt.alert
            if receipt.is_negative:
                self.withdraw()
                self._charge()
                return self._pass_on(receipt)
            message = replace(message, mdn=receipt.mdn, notes=(*message.notes, *filter(None, (receipt.alert,))))
        first, *others = records.deliveries_of(self._inbound, message)
        made = replace(first, state=DeliveryState.DELIVERED, attempts=1, finished_at=attempt.finished_at)
        return replace(acceptance, message=message, deliveries=(made, *others), attempts=(attempt,))

    def conclude(self, holder: Message) -> Response:
        """The answer, once the message that holds the key is on disk: this one, or an earlier one (`is_first`).

        With an earlier one it may read the message once more, and write its MDN, which that one had not asked for;
        raises JournalUnavailable, also where the MDN of that one is not what was entered.
        """
        assert self._message is not None
        if self.is_first(holder):
            return self._answer(holder.mdn, self._message)
        try:
            return self._duplicate(holder, self._message)
        except AS2Refused as refusal:
            return self.refuse(refusal)
        finally:
            self.withdraw()

    def is_first(self, holder: Message) -> bool:
        """Whether the message that holds the key is this one."""
        return holder.id == self._call.request_id

    def lacks_receipt(self, earlier: Message) -> bool:
        """Whether the backend must be asked again: what it was sent before asked for no MDN, and this does.

        Never with other content: under the same key a backend takes it for what it has already.
        """
        if not self._inbound.backend_answers or self._headers.receipt is None or earlier.mdn is not None:
            return False
        return self._is_same(earlier)

    def withdraw(self) -> None:
        """Remove what was kept for a message that is not accepted after all."""
        if self._kept is not None:
            documents.remove(self._services.spool, self._kept)

    def abort(self) -> None:
        """Remove what is not kept."""
        for document in self._documents.values():
            document.discard()

    def refuse(self, refusal: AS2Refused) -> Response:
        """The answer to a refusal: an MDN where one was asked for, else the HTTP status; or raises TooManyFailures."""
        if self._inbound.partner is not None:
            self._charge()
        if self._headers.receipt is None:
            request = self._call.request
            answer = problems.respond(
                refusal, request_id=self._call.request_id, as_json=request.wants_json, close=False
            )
            return self._keep_refusal(refusal.reason, None, answer)
        mdn = receipts.refused(self._headers, refusal, self._sender())
        reason = ("Mtlsd-Reason", refusal.reason)
        alert = self._signing_alert()
        if self._inbound.target is None:
            answer = Response(200, (*mdn.headers, reason), mdn.body, error=refusal, alert=alert)
            return self._keep_refusal(refusal.reason, mdn, answer)
        return self._defer_refusal(refusal.reason, mdn, Response(200, (reason,), error=refusal, alert=alert))

    # --- For a self-test ------------------------------------------------------------------------------------------

    def candidates(self) -> list[Candidate]:
        """What somebody could have hashed for the MIC; the message is read once more, so before `finish` or `abort`."""
        return self._explained(self._documents["as2"].read_back(READ_AGAIN))

    def receipt(self, verified: VerifiedMessage, explanation: str) -> StoredMDN | None:
        """Our MDN with other words, where one was asked for."""
        if self._headers.receipt is None:
            return None
        return receipts.accepted(self._headers, verified, self._sender(), explanation)

    # --- Reading ------------------------------------------------------------------------------------------------

    def _open(self, hints: Hints) -> None:
        for suffix in ("as2", "payload"):
            if suffix not in self._documents:
                self._documents[suffix] = Document(self._services.spool, self._services.max_inline)
        now = datetime.fromtimestamp(self._call.now, UTC)
        self._receiver = Receiver(
            self._headers, self._agreement(), self._services.limits, now, hints, witness=self._witness
        )

    def _witness(self, evidence: Evidence, data: bytes) -> None:
        """Keep what proves who signed what, or its digest."""
        if evidence not in self._documents:
            services = self._services
            self._documents[evidence] = Document(services.spool, digest_only=not services.keeps_evidence)
        self._documents[evidence].write(data)

    def _agreement(self) -> Agreement:
        """Who proved nothing over TLS must sign, and nobody but the backend vouches for what stays sealed."""
        call, partner = self._call, self._inbound.partner
        assert partner is not None
        require = partner.require | ({Require.SIGN} if call.peer is None else frozenset())
        may_stay_sealed = self._inbound.backend_answers and call.peer is not None
        passed_on = call.route.deliver is Deliver.MESSAGE
        return Agreement(call.organization, partner, frozenset(require), may_stay_sealed, passed_on)

    def _read(self, data: bytes) -> None:
        assert self._receiver is not None
        self._receiver.receive_data(data)
        self._write_payload()

    def _write_payload(self) -> None:
        assert self._receiver is not None
        for event in self._receiver.events():
            self._documents["payload"].write(event.data)

    def _verify(self) -> VerifiedMessage | SealedMessage:
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
        for suffix in self._documents.keys() - {"as2"}:
            self._documents.pop(suffix).discard()
        self._open(hints)
        for data in self._documents["as2"].read_back(READ_AGAIN):
            self._read(data)

    # --- Promising ----------------------------------------------------------------------------------------------

    def _accept(self, read: VerifiedMessage | SealedMessage) -> Acceptance:
        self._message = read
        if isinstance(read, SealedMessage):
            self._documents.pop("payload").discard()
        mdn = self._receipt(read, self._sender()) if isinstance(read, VerifiedMessage) else None
        kept = self._kept = documents.keep(self._services.spool, self._call.request_id, self._documents)
        message = records.message_of(self._inbound, read, kept, mdn)
        deliveries = tuple(records.deliveries_of(self._inbound, message))
        return Acceptance(message, deliveries, kept.inline, certificates=records.certificates_of(read))

    def _receipt(self, verified: VerifiedMessage, sender: receipts.Sender) -> StoredMDN | None:
        """Our MDN, where one was asked for and it is ours to give."""
        if self._headers.receipt is None or self._inbound.backend_answers:
            return None
        self._alert = self._signing_alert()
        if self._headers.receipt.signed:
            self._receipt_signer = sender.signing.certificate.sha256
        return receipts.accepted(self._headers, verified, sender)

    def _signing_alert(self) -> str:
        """What the operators must hear where a receipt is signed with a certificate that is not valid now.

        It is signed all the same: a partner that pins the certificate takes it, and without it nobody has a proof.
        """
        now = datetime.fromtimestamp(self._call.now, UTC)
        certificate = self._call.organization.signing_at(now).certificate
        asked = self._headers.receipt is not None and self._headers.receipt.signed
        if not asked or certificate.not_before <= now <= certificate.not_after:
            return ""
        return f"Our signing certificate is valid from {certificate.not_before} to {certificate.not_after} only."

    def _backend_receipt(self, answer: Answered) -> BackendReceipt:
        assert self._message is not None
        now = datetime.fromtimestamp(self._call.now, UTC)
        return backend_mdn.judge(self._inbound, self._message, answer, now, self._explain)

    def _explain(self) -> list[Candidate]:
        """Every digest of this message, which is kept: it is read once more."""
        assert self._kept is not None
        with open_kept(self._services.spool, self._kept.inline, self._kept.names["as2"]) as file:
            return self._explained(iter(partial(file.read, READ_AGAIN), b""))

    def _explained(self, body: Iterator[bytes]) -> list[Candidate]:
        now = datetime.fromtimestamp(self._call.now, UTC)
        return explain.explain(self._headers, self._agreement(), self._services.limits, now, body)

    def _pass_on(self, receipt: BackendReceipt) -> Response:
        """What the backend refused, its own MDN refuses: the message holds no key and may come again."""
        error = BackendRefused(receipt.disposition)
        reason = ("Mtlsd-Reason", error.reason)
        if self._inbound.target is None:
            fields = (*receipt.mdn.headers, reason)
            answer = Response(200, fields, receipt.mdn.body, error=error, alert=receipt.alert)
            return self._keep_refusal(error.reason, receipt.mdn, answer)
        answer = Response(200, (reason,), error=error, alert=receipt.alert)
        return self._defer_refusal(error.reason, receipt.mdn, answer)

    def _duplicate(self, earlier: Message, read: VerifiedMessage | SealedMessage) -> Response:
        """The stored MDN byte for byte, where the content is the same; nothing is processed twice."""
        if not self._is_same(earlier):
            raise AS2DuplicateOtherContent(f"first received as {earlier.id}")
        if earlier.mdn:
            check_mdn(self._services.journal, earlier)
        elif late := self._late_receipt(earlier, read):
            earlier = self._services.journal.answer(earlier, late, self._call.now)
        mdn = earlier.mdn if self._headers.receipt else None
        response = self._answer(mdn, read)
        response.facts["duplicate_of"] = earlier.id
        if self._inbound.target is None or mdn is None:
            return response
        return self._defer(response, records.mdn_delivery(self._inbound, message_id=earlier.id))

    def _is_same(self, earlier: Message) -> bool:
        """Whether the content is that of the earlier message, as far as we know both."""
        verified = self._message
        if earlier.mic is None or not isinstance(verified, VerifiedMessage):
            return True
        algorithm = algorithm_of(earlier.mic_algorithm or "")
        if algorithm == verified.mic.algorithm:
            return earlier.mic == verified.mic.value
        return any((each.mic.value, each.mic.algorithm) == (earlier.mic, algorithm) for each in self._explain())

    def _late_receipt(self, earlier: Message, read: VerifiedMessage | SealedMessage) -> StoredMDN | None:
        """The MDN of a message that came without the wish for one; made from what is stored, so always the same."""
        if isinstance(read, SealedMessage):
            return None
        return self._receipt(read, replace(self._sender(), reference=earlier.id, now=earlier.received_at))

    def _keep_refusal(self, reason: str, mdn: StoredMDN | None, answer: Response) -> Response:
        """The answer, with what is to be kept of it: nothing for a stranger, who could fill the disk."""
        if not self._is_known:
            return answer
        return Refused(
            status=answer.status,
            fields=answer.fields,
            body=answer.body,
            close=answer.close,
            error=answer.error,
            facts=answer.facts,
            alert=answer.alert,
            refusal=records.refusal_of(self._inbound, reason, mdn),
        )

    @property
    def _is_known(self) -> bool:
        """Whether TLS, or a signature that verified, proves who sent this."""
        read = self._message
        return self._call.peer is not None or (isinstance(read, VerifiedMessage) and read.signer is not None)

    def _defer_refusal(self, reason: str, mdn: StoredMDN, answer: Response) -> Deferred:
        refused = records.refusal_of(self._inbound, reason, mdn)
        answer.facts["receipt_target"] = self._inbound.target
        return self._defer(answer, records.mdn_delivery(self._inbound, refusal_id=refused.id), refusal=refused)

    def _defer(self, answer: Response, delivery: Delivery, refusal: Refusal | None = None) -> Deferred:
        return Deferred(
            status=self._acknowledgement,
            fields=answer.fields,
            close=True,
            error=answer.error,
            facts=answer.facts,
            alert=answer.alert,
            delivery=delivery,
            refusal=refusal,
        )

    def _answer(self, mdn: StoredMDN | None, read: VerifiedMessage | SealedMessage) -> Response:
        assert self._inbound.partner is not None  # the message has proved it, where TLS did not
        facts = {"partner": self._inbound.partner.name, **_facts(read), "receipt_signer": self._receipt_signer}
        if self._inbound.target is not None:  # senders expect that the connection closes before the MDN comes
            facts["receipt_target"] = self._inbound.target
            return Response(self._acknowledgement, close=True, facts=facts, alert=self._alert)
        headers, body = (mdn.headers, mdn.body) if mdn else ((), b"")
        return Response(200, headers, body, facts=facts, alert=self._alert)

    @property
    def _acknowledgement(self) -> int:
        """The status that the partner takes for "the MDN comes later"."""
        return self._inbound.partner.async_ack if self._inbound.partner else 200

    def _sender(self) -> receipts.Sender:
        call, partner = self._call, self._inbound.partner
        version = partner.as2_version if partner else DEFAULT_VERSION
        signing = call.organization.signing_at(datetime.fromtimestamp(call.now, UTC))
        return receipts.Sender(signing, call.host, call.request_id, call.now, version)

    def _charge(self) -> None:
        self._services.failures.charge(self._failure_key(), self._call.now)

    def _failure_key(self) -> str:
        """Who is charged for a failure: the partner, where TLS proved it, else the claim together with the address."""
        partner = self._inbound.partner
        assert partner is not None
        return partner.name if self._call.peer else f"{partner.name} from {network_of(self._call.address)}"


def _check_no_mdn(content_type: str) -> None:
    """Raises AS2MDNUnexpected: some partners know one URL of ours and send everything there."""
    parsed = ContentType.parse(content_type)
    kind = parsed.parameters.get("report-type", "disposition-notification").lower()
    if parsed.value == "multipart/report" and kind == "disposition-notification":
        raise AS2MDNUnexpected()


def _facts(read: VerifiedMessage | SealedMessage) -> dict[str, Any]:
    """What the log says of it."""
    if isinstance(read, SealedMessage):
        return {"cipher": read.cipher, "sealed": read.recipients}
    return {
        "payload_bytes": read.size,
        "mic": str(read.mic),
        "signer": read.signer.sha256 if read.signer else None,
        "cipher": read.cipher,
        "recipient": read.recipient.sha256 if read.recipient else None,
        "form": read.form,
    }
