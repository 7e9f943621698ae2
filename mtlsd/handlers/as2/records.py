"""The records that an exchange writes into the journal."""

import os
from collections.abc import Iterator
from typing import Any

from mtlsd.as2.layers import SignatureEvidence
from mtlsd.as2.receiver import SealedMessage, VerifiedMessage
from mtlsd.config.model import ClientCert, Deliver, Route
from mtlsd.handlers.as2.filenames import filename_of
from mtlsd.handlers.context import Call, Inbound
from mtlsd.http.messages import Request
from mtlsd.journal.columns import targets_text
from mtlsd.journal.documents import Kept
from mtlsd.journal.model import Delivery, DeliveryKind, HeaderPairs, Lane, Message, Refusal, StoredMDN
from mtlsd.pki.chain import issuers_of

ANSWER_FIRST_SECONDS = 1  # delay of an asynchronous MDN, so that the answer is first
SECRET_FIELDS = ("authorization", "cookie", "proxy-authorization")  # some products send these unasked: never kept
SEALED = (
    "Not opened ({recipients}). Checked: the client certificate, the AS2 ids, the cipher, and the form of the"
    " envelope. Not checked: the signature, the MIC, and everything else inside."
)
UNSIGNED = "The message is not signed: nothing proves who sent it but the connection that it came over."
SALT = 16  # octets
_CARRIES = {Deliver.PAYLOAD: DeliveryKind.BACKEND, Deliver.MESSAGE: DeliveryKind.MESSAGE}


def message_of(inbound: Inbound, read: VerifiedMessage | SealedMessage, kept: Kept, mdn: StoredMDN | None) -> Message:
    """The message, with everything known about it."""
    headers, call = inbound.headers, inbound.call
    assert inbound.partner is not None
    known = _sealed(read, inbound, kept) if isinstance(read, SealedMessage) else _verified(read, kept)
    return Message(
        id=call.request_id,
        as2_from=headers.as2_from.value,
        as2_to=headers.as2_to.value,
        message_id=headers.message_id,
        partner=inbound.partner.name,
        host=call.host,
        route=call.route.path,
        received_at=call.now,
        original=kept.names["as2"],
        original_size=kept.sizes["as2"],
        headers=_received(call.request),
        client_certificates=_client_certificates(call),
        request_id=call.request_id,
        subject=headers.subject or None,
        signed=kept.names.get(SignatureEvidence.SIGNED_ENTITY),
        signature=kept.names.get(SignatureEvidence.SIGNED_DATA),
        configuration=call.configuration,
        salt=_new_salt(),
        contents=sum(kept.sizes.values()),
        digests=tuple(sorted((str(suffix), digest) for suffix, digest in kept.digests.items())),
        mdn=mdn,
        **known,
    )


def _received(request: Request) -> HeaderPairs:
    return tuple(field for field in request.fields if field[0] not in SECRET_FIELDS)


def _verified(verified: VerifiedMessage, kept: Kept) -> dict[str, Any]:
    return {
        "content_type": verified.content_type,
        "size": verified.size,
        "payload": kept.names["payload"],
        "compressed": verified.compressed,
        "filename": filename_of(verified.disposition, verified.content_type),
        "mic": verified.mic.value,
        "mic_algorithm": verified.mic.label,
        "signer_sha256": verified.signer.sha256 if verified.signer else None,
        "encrypted_with": verified.cipher,
        "form": verified.form,
        "notes": () if verified.signer else (UNSIGNED,),
    }


def _sealed(sealed: SealedMessage, inbound: Inbound, kept: Kept) -> dict[str, Any]:
    return {
        "content_type": inbound.headers.entity.fields["content-type"],
        "size": kept.sizes["as2"],
        "payload": None,
        "encrypted_with": sealed.cipher,
        "notes": (SEALED.format(recipients=sealed.recipients),),
    }


def refusal_of(inbound: Inbound, reason: str, mdn: StoredMDN | None) -> Refusal:
    """A refusal, with its MDN if one was requested."""
    headers, call = inbound.headers, inbound.call
    assert inbound.partner is not None
    return Refusal(
        id=call.request_id,
        as2_from=headers.as2_from.value,
        as2_to=headers.as2_to.value,
        message_id=headers.message_id,
        partner=inbound.partner.name,
        host=call.host,
        refused_at=call.now,
        reason=reason,
        request_id=call.request_id,
        mdn=mdn,
        configuration=call.configuration,
        salt=_new_salt(),
    )


def certificates_of(read: VerifiedMessage | SealedMessage) -> dict[str, bytes]:
    """The certificate that verified the signature, by its SHA-256."""
    signer = read.signer if isinstance(read, VerifiedMessage) else None
    return {signer.sha256: signer.der} if signer else {}


def _new_salt() -> str:
    return os.urandom(SALT).hex()


def deliveries_of(inbound: Inbound, message: Message) -> Iterator[Delivery]:
    """The deliveries that are promised together with a message."""
    call = inbound.call
    targets = tuple(each.url for each in call.route.backend)
    yield Delivery(
        id=f"{message.id}-1",
        kind=_CARRIES[call.route.deliver],
        message_id=message.id,
        targets=targets,
        lane=_lane(call.route, message, targets),
        not_before=call.now,
        created_at=call.now,
    )
    if inbound.target is not None and message.mdn is not None:
        yield mdn_delivery(inbound, message_id=message.id)


def _lane(route: Route, message: Message, targets: tuple[str, ...]) -> Lane:
    """The lane: one per partner on a route that keeps the order, otherwise one per backend."""
    if route.ordered:
        return Lane(f"{message.partner} {message.host}{message.route}", ordered=True)
    return Lane(targets_text(targets))


def mdn_delivery(inbound: Inbound, *, message_id: str | None = None, refusal_id: str | None = None) -> Delivery:
    """The delivery of the MDN to the URL that the partner requested."""
    call = inbound.call
    assert inbound.target is not None
    assert inbound.partner is not None
    return Delivery(
        id=f"{call.request_id}-mdn",
        kind=DeliveryKind.MDN,
        targets=(inbound.target,),
        lane=Lane(f"mdn {inbound.partner.name}"),
        not_before=call.now + ANSWER_FIRST_SECONDS,
        created_at=call.now,
        message_id=message_id,
        refusal_id=refusal_id,
    )


def _client_certificates(call: Call) -> tuple[bytes, ...]:
    """The certificates of the client's chain for the backend; none if TLS proved no identity."""
    if call.route.client_cert is ClientCert.OFF or call.peer is None:
        return ()
    leaf = call.peer.certificate
    if call.route.client_cert is ClientCert.LEAF:
        return (leaf.der,)
    sent_along = call.presented.chain if call.presented else ()
    chain = issuers_of(leaf, (*sent_along, *call.peer.partner.intermediates))
    return (leaf.der, *(each.der for each in chain))
