"""The answers to one message: its receipt, or the reason for its refusal, and the promise of each answer.

If an asynchronous MDN is requested, the answer is empty, and the MDN is an ordinary delivery. An accepted message and
this delivery are in the same commit; a refusal or a duplicate promises the delivery separately.
"""

from dataclasses import replace
from typing import Any

from mtlsd.as2.receiver import SealedMessage, VerifiedMessage
from mtlsd.errors import AS2Refused, BackendRefused, PeerError
from mtlsd.handlers.as2 import receipts, records
from mtlsd.handlers.as2.backend_mdn import BackendReceipt
from mtlsd.handlers.as2.filenames import filename_of
from mtlsd.handlers.as2.used import used_for
from mtlsd.handlers.context import Inbound, Services
from mtlsd.http import problems
from mtlsd.http.messages import Response
from mtlsd.journal.model import NO_PROMISE, Acceptance, Message, Promise, StoredMDN
from mtlsd.partners.partner_toml import DEFAULT_VERSION

Read = VerifiedMessage | SealedMessage


def accepted(inbound: Inbound, read: Read, acceptance: Acceptance, alert: str) -> Response:
    """The answer to a message once the message is accepted."""
    answer = _received(inbound, read, acceptance.message.mdn, alert)
    return replace(answer, promise=Promise(acceptance=acceptance))


def duplicate(inbound: Inbound, read: Read, earlier: Message, alert: str) -> Response:
    """The MDN of the earlier message, byte for byte, if an MDN is requested."""
    mdn = earlier.mdn if inbound.headers.receipt else None
    answer = _received(inbound, read, mdn, alert)
    answer.facts["duplicate_of"] = earlier.id
    if inbound.target is None or mdn is None:
        return answer
    return replace(answer, promise=Promise(delivery=records.mdn_delivery(inbound, message_id=earlier.id)))


def refuse(inbound: Inbound, services: Services, refusal: AS2Refused, read: Read | None = None) -> Response:
    """Charge the sender, and answer with an MDN if requested, otherwise an HTTP status; raises TooManyFailures.

    `read` is the message, if it was refused after it had been read.
    """
    if inbound.partner is not None:
        services.failures.charge(inbound.failure_key, inbound.call.now)
    if inbound.headers.receipt is not None:
        mdn = receipts.refused(inbound.headers, refusal, sender_of(inbound))
        return _refused(inbound, read, refusal, mdn, signing_alert(inbound))
    call = inbound.call
    answer = problems.respond(refusal, request_id=call.request_id, as_json=call.request.wants_json, close=False)
    return replace(answer, promise=_kept(inbound, read, refusal.reason, None), partner=_proved(inbound, read))


def passed_on(inbound: Inbound, read: Read, receipt: BackendReceipt) -> Response:
    """Refuse with the backend's own MDN: the message holds no key, and may be sent again."""
    return _refused(inbound, read, BackendRefused(receipt.disposition), receipt.mdn, receipt.alert)


def receipt(inbound: Inbound, read: Read, earlier: Message | None = None) -> StoredMDN | None:
    """Our MDN, if one was asked for and it is ours to give; as that of an earlier message, it is made as of then."""
    if not _gives_receipt(inbound):
        return None
    assert isinstance(read, VerifiedMessage), "the backend answers what stays sealed"
    sender = sender_of(inbound)
    if earlier is not None:
        sender = replace(sender, reference=earlier.id, now=earlier.received_at)
    return receipts.accepted(inbound.headers, read, sender)


def receipt_alert(inbound: Inbound) -> str:
    """The alert of `receipt`."""
    return signing_alert(inbound) if _gives_receipt(inbound) else ""


def signing_alert(inbound: Inbound) -> str:
    """The alert for the operators if a receipt is signed with a certificate that is not valid now.

    The receipt is signed nevertheless: a partner that pins the certificate accepts it, and without a signature nobody
    has a proof.
    """
    now, asked = inbound.call.time, inbound.headers.receipt
    certificate = inbound.call.organization.signing_at(now).certificate
    if asked is None or not asked.signed or certificate.not_before <= now <= certificate.not_after:
        return ""
    return f"Our signing certificate is valid from {certificate.not_before} to {certificate.not_after} only."


def sender_of(inbound: Inbound) -> receipts.Sender:
    """The sender of the MDN."""
    call, partner = inbound.call, inbound.partner
    version = partner.as2_version if partner else DEFAULT_VERSION
    signing = call.organization.signing_at(call.time)
    return receipts.Sender(signing, call.host, call.request_id, call.now, version)


def _gives_receipt(inbound: Inbound) -> bool:
    return inbound.headers.receipt is not None and not inbound.backend_answers


def _received(inbound: Inbound, read: Read, mdn: StoredMDN | None, alert: str) -> Response:
    """The answer to a message received with this request or an earlier one."""
    assert inbound.partner is not None  # proved by the message if not by TLS
    signer = _receipt_signer(inbound)
    facts = {**_facts(read), "receipt_signer": signer}
    partner, used = inbound.partner.name, tuple(used_for(inbound, read, signer))
    if inbound.target is not None:  # senders expect the connection to close before the MDN arrives
        facts["receipt_target"] = inbound.target
        status = _acknowledgement(inbound)
        return Response(status, close=True, facts=facts, alert=alert, partner=partner, used=used)
    headers, body = (mdn.headers, mdn.body) if mdn else ((), b"")
    return Response(200, headers, body, facts=facts, alert=alert, partner=partner, used=used)


def _refused(inbound: Inbound, read: Read | None, error: PeerError, mdn: StoredMDN, alert: str) -> Response:
    """The answer to a refusal with this MDN, which is in the answer or is delivered later."""
    reason, partner = ("Mtlsd-Reason", error.reason), _proved(inbound, read)
    if inbound.target is None:
        promise = _kept(inbound, read, error.reason, mdn)
        fields = (*mdn.headers, reason)
        return Response(200, fields, mdn.body, error=error, alert=alert, promise=promise, partner=partner)
    refusal = records.refusal_of(inbound, error.reason, mdn)
    delivery = records.mdn_delivery(inbound, refusal_id=refusal.id)
    return Response(
        _acknowledgement(inbound),
        (reason,),
        close=True,
        error=error,
        facts={"receipt_target": inbound.target},
        alert=alert,
        promise=Promise(refusal=refusal, delivery=delivery),
        partner=partner,
    )


def _kept(inbound: Inbound, read: Read | None, reason: str, mdn: StoredMDN | None) -> Promise:
    """The record of a refusal; nothing is stored for a stranger, who could fill the disk."""
    if not _proved(inbound, read):
        return NO_PROMISE
    return Promise(refusal=records.refusal_of(inbound, reason, mdn))


def _proved(inbound: Inbound, read: Read | None) -> str:
    """The partner that TLS or a verified signature proved to be the sender; empty if neither did."""
    is_signed = isinstance(read, VerifiedMessage) and read.signer is not None
    is_proved = inbound.partner is not None and (inbound.call.peer is not None or is_signed)
    return inbound.partner.name if inbound.partner and is_proved else ""


def _acknowledgement(inbound: Inbound) -> int:
    """The status that the partner takes for "the MDN comes later"."""
    return inbound.partner.async_ack if inbound.partner else 200


def _receipt_signer(inbound: Inbound) -> str | None:
    asked = inbound.headers.receipt
    if not _gives_receipt(inbound) or asked is None or not asked.signed:
        return None
    return inbound.call.organization.signing_at(inbound.call.time).certificate.sha256


def _facts(read: Read) -> dict[str, Any]:
    """The facts to log about a message that was read."""
    if isinstance(read, SealedMessage):
        return {"cipher": read.cipher, "sealed": read.recipients}
    return {
        "payload_bytes": read.size,
        "filename": filename_of(read.disposition, read.content_type),
        "mic": str(read.mic),
        "signer": read.signer.sha256 if read.signer else None,
        "cipher": read.cipher,
        "recipient": read.recipient.sha256 if read.recipient else None,
        "form": read.form,
    }
