"""An AS2 route: a message is received, verified, stored, and answered with its receipt. Synchronous, no sockets.

`begin` checks the header and refuses a message before the body is read if possible. Otherwise it returns an `Exchange`,
which receives the body and makes the promise.
"""

from mtlsd.as2.headers import AS2Headers
from mtlsd.errors import (
    AS2FromMismatchCert,
    AS2FromUnknown,
    AS2Refused,
    AS2SenderEqualsReceiver,
    AS2ToUnknown,
    ContentCodingUnsupported,
    LengthRequired,
    MDNTargetDenied,
    RangeNotSupported,
)
from mtlsd.handlers.as2 import answer
from mtlsd.handlers.as2.exchange import Exchange
from mtlsd.handlers.as2.receiving import check_no_mdn
from mtlsd.handlers.context import Call, Inbound, Services
from mtlsd.http.messages import Response
from mtlsd.partners.partner import Partner
from mtlsd.text import cut


def begin(call: Call, services: Services) -> Exchange | Response:
    """Decide by the header alone: return an exchange that receives the body, or an answer that needs no body.

    Raises PeerError if no MDN can carry the refusal.
    """
    if call.request.method == "HEAD":
        return Response(200)
    inbound = read_header(call)
    try:
        check(inbound, services)
    except AS2Refused as refusal:
        return answer.refuse(inbound, services, refusal)
    return Exchange(inbound, services)


def read_header(call: Call) -> Inbound:
    """Return the header if a body may follow; raises PeerError for an error that no MDN can report."""
    if call.request.get("content-range") is not None:
        raise RangeNotSupported()
    if (call.request.get("content-encoding") or "identity").strip().lower() != "identity":
        raise ContentCodingUnsupported(f"Content-Encoding {cut(call.request.get('content-encoding') or '')!r}")
    if not call.request.has_body:
        raise LengthRequired()
    headers = AS2Headers.parse(call.request.spelled or call.request.fields)
    inbound = Inbound(call, headers, _partner(call, headers))
    _check_target(inbound)
    return inbound


def check(inbound: Inbound, services: Services) -> None:
    """Raises AS2Refused for an error that the header alone shows, or TooManyFailures."""
    call, headers = inbound.call, inbound.headers
    if headers.as2_from.value == headers.as2_to.value:
        raise AS2SenderEqualsReceiver()
    if inbound.partner is None:
        raise _unknown_sender(inbound)
    if headers.as2_to.value != call.organization.as2_id:
        raise AS2ToUnknown(f"this route is {call.organization.as2_id!r}")
    services.failures.check(inbound.failure_key, call.now)
    headers.check()
    check_no_mdn(headers.entity.fields.get("content-type", ""))


def _partner(call: Call, headers: AS2Headers) -> Partner | None:
    """The partner that sent the message; None if no partner has this AS2-From. Raises AS2FromMismatchCert."""
    as2_from = headers.as2_from.value
    if call.peer is None:
        return call.truststore.partner_by_as2_id(as2_from, call.host)
    if as2_from not in call.peer.partner.as2_ids:
        dispute = call.truststore.dispute(as2_from)
        raise AS2FromMismatchCert(f"AS2-From {as2_from!r} over a certificate of {call.peer.partner.name}{dispute}")
    return call.peer.partner


def _check_target(inbound: Inbound) -> None:
    """Refuse an asynchronous MDN if an unknown sender requests it, or if the URL is not listed for the partner."""
    if inbound.target is None:
        return
    if inbound.partner is None:
        raise _unknown_sender(inbound)
    if not inbound.partner.may_have_mdns_at(inbound.target):
        raise MDNTargetDenied(receipt_target=inbound.target)


def _unknown_sender(inbound: Inbound) -> AS2FromUnknown:
    dispute = inbound.call.truststore.dispute(inbound.headers.as2_from.value)
    return AS2FromUnknown(f"AS2-From{dispute}" if dispute else "")
