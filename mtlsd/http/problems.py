"""The bodies of refusals: an nginx error page, which partners and their tools know, or problem+json (RFC 9457).

Both have the reason code, the request id, and what a stranger may know about the cause and what to do. A page about a
certificate also names whoami, which says what mtlsd saw of the certificate.
"""

import json
from html import escape
from http import HTTPStatus

from mtlsd.errors import (
    CertificateRefused,
    CertKnownOtherHost,
    ClientCertMissing,
    MethodNotAllowed,
    PeerError,
    PlainHTTPOnTLSPort,
)
from mtlsd.http.messages import Fields, Response

PRODUCT = "mtlsd"

_SENTENCES: dict[type[PeerError], str] = {  # nginx's own words; the first that fits
    ClientCertMissing: "No required SSL certificate was sent",
    CertificateRefused: "The SSL certificate error",
    PlainHTTPOnTLSPort: "The plain HTTP request was sent to HTTPS port",
}


def respond(
    error: PeerError, *, request_id: str, as_json: bool, close: bool = True, whoami: str | None = None
) -> Response:
    """The response for a refusal over HTTP. `whoami` is the path of that page, if the host has it."""
    assert error.http_status is not None
    fields: Fields = (("Mtlsd-Request-Id", request_id), ("Mtlsd-Reason", error.reason))
    if error.retry_after is not None:
        fields += (("Retry-After", str(error.retry_after)),)
    if isinstance(error, MethodNotAllowed):
        fields += (("Allow", error.allow),)
    content_type = "application/problem+json" if as_json else "text/html"
    body = _json(error, request_id) if as_json else _page(error, request_id, whoami)
    return Response(error.http_status, (("Content-Type", content_type), *fields), body, close, error)


def phrase(status: int) -> str:
    """The reason phrase of a status."""
    return HTTPStatus(status).phrase


def _page(error: PeerError, request_id: str, whoami: str | None) -> bytes:
    """nginx's lines, and below them what a person needs."""
    assert error.http_status is not None
    heading = f"{error.http_status} {phrase(error.http_status)}"
    sentence = next((text for kind, text in _SENTENCES.items() if isinstance(error, kind)), "")
    title = f"{error.http_status} {sentence}" if sentence else heading
    link = (
        f'<a href="{whoami}">{whoami}</a>'
        if whoami and isinstance(error, CertificateRefused | CertKnownOtherHost)
        else ""
    )
    lines = [
        "<html>",
        f"<head><title>{title}</title></head>",
        "<body>",
        f"<center><h1>{heading}</h1></center>",
        *([f"<center>{sentence}</center>"] if sentence else []),
        f"<hr><center>{PRODUCT}</center>",
        f"<p>{error.reason}: {escape(error.said)}</p>",
        *([f"<p>What we saw of your certificate: {link}</p>"] if link else []),
        f"<p>Request {request_id}</p>",
        "</body>",
        "</html>",
        "",
    ]
    return "\r\n".join(lines).encode("ascii", "xmlcharrefreplace")


def _json(error: PeerError, request_id: str) -> bytes:
    assert error.http_status is not None
    problem = {
        "type": "about:blank",
        "title": phrase(error.http_status),
        "status": error.http_status,
        "detail": error.said,
        "reason": error.reason,
        "request_id": request_id,
    }
    return json.dumps(problem).encode("ascii")
