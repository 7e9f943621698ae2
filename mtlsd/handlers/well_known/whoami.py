"""`GET /.well-known/mtlsd/whoami`: what mtlsd sees of a client, what is wrong, and what to do. Pure.

The answer is about the client only: its connection, the certificates that it sent, and the partner that it has proved
to be. The answer has nothing about others, not even near matches: no name, no path, no address, no certificate.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from mtlsd.config.model import ClientCertificate, Route
from mtlsd.errors import CertChainIncomplete, ClientCertMissing, PeerError, ReadOnly
from mtlsd.handlers.well_known.whoami_page import POLICY, page
from mtlsd.http.messages import Request, Response
from mtlsd.partners.partner import Partner
from mtlsd.partners.rules import Finding
from mtlsd.pki.certificate import Certificate, Presented
from mtlsd.text import cut

PATH = "/.well-known/mtlsd/whoami"
METHODS = ("GET", "HEAD")
RENEW_DAYS = 30
_FIELDS = (
    ("Cache-Control", "no-store"),
    ("Vary", "*"),  # the answer depends on the connection, which no header field describes
    ("X-Content-Type-Options", "nosniff"),
)


@dataclass(frozen=True, slots=True)
class Seen:
    """What mtlsd sees. `partner` is proven: by a chain that verifies, or by a registered certificate's key."""

    request: Request
    request_id: str
    now: datetime
    address: str
    host: str
    client_certificate: ClientCertificate
    tls: str
    cipher: str
    sni: str | None
    presented: Presented | None = None
    unreadable: str = ""  # why the presented certificates cannot be read
    findings: tuple[Finding, ...] = ()
    refusal: PeerError | None = None  # the answer to any other request on this connection
    partner: Partner | None = None
    routes: tuple[tuple[Route, str], ...] = ()  # that the partner may use, with our AS2 id on each


def check_method(request: Request) -> None:
    """Raises ReadOnly."""
    if request.method not in METHODS:
        raise ReadOnly(f"{cut(request.method)} on {PATH}")


def answer(seen: Seen) -> Response:
    """A page if the request accepts HTML, otherwise JSON."""
    told = report(seen)
    facts = {**(seen.refusal.facts if seen.refusal else {}), "whoami": told["reason"] or told["verdict"]}
    partner = seen.partner.name if seen.partner else ""
    if _wants_page(seen.request):
        fields = (("Content-Type", "text/html; charset=utf-8"), ("Content-Security-Policy", POLICY))
        policies = (*fields, ("Referrer-Policy", "no-referrer"), *_FIELDS)
        return Response(200, policies, page(told), facts=facts, partner=partner)
    body = json.dumps(told, indent=2).encode("ascii") + b"\n"
    return Response(200, (("Content-Type", "application/json"), *_FIELDS), body, facts=facts, partner=partner)


def _wants_page(request: Request) -> bool:
    return not request.wants_json and "text/html" in (request.get("accept") or "").lower()


def report(seen: Seen) -> dict[str, object]:
    """Everything, as values of JSON."""
    leaf = seen.presented.certificate if seen.presented else None
    return {
        "request_id": seen.request_id,
        "time": _time(seen.now),
        "verdict": _verdict(seen),
        "reason": seen.refusal.reason if seen.refusal else None,
        "next": list(_next(seen)),
        "partner": seen.partner.name if seen.partner else None,
        "as2_ids": list(seen.partner.as2_ids) if seen.partner else [],
        "routes": [_route(route, as2_id) for route, as2_id in seen.routes],
        "days_left": _days_left(leaf, seen.now) if leaf else None,
        "connection": {
            "address": seen.address,
            "tls": seen.tls,
            "cipher": seen.cipher,
            "sni": seen.sni,
            "host": seen.host,
            "client_certificate": seen.client_certificate.value,
        },
        "rules": [_rule(each) for each in seen.findings],
        "certificates": [_certificate(each, seen.now) for each in _certificates(seen.presented)],
        "unreadable": seen.unreadable or None,
    }


def _verdict(seen: Seen) -> str:
    if seen.refusal:
        return "refused"
    return "accepted" if seen.presented and seen.partner else "anonymous"


def _route(route: Route, as2_id: str) -> Mapping[str, object]:
    return {"path": route.path, "handler": route.handler.value, "as2_to": as2_id}


def _certificates(presented: Presented | None) -> Iterable[Certificate]:
    """The certificates as presented: the client's own first."""
    return (presented.certificate, *presented.chain) if presented else ()


def _certificate(certificate: Certificate, now: datetime) -> Mapping[str, object]:
    return {
        **certificate.facts(),
        "not_before": _time(certificate.not_before),
        "not_after": _time(certificate.not_after),
        "days_left": _days_left(certificate, now),
        "self_signed": certificate.is_self_signed,
    }


def _days_left(certificate: Certificate, now: datetime) -> int:
    """Whole days until the expiry, or since; `timedelta.days` would be -6 for an expiry 5 days and an hour ago."""
    return int((certificate.not_after - now) / timedelta(days=1))


def _rule(finding: Finding) -> Mapping[str, object]:
    error = finding.error
    return {
        "rule": finding.rule.value,
        "result": finding.result.value,
        "reason": error.reason if error else None,
        "remark": finding.remark or None,
        "advice": error.advice if error else None,
    }


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


# --- What to do -----------------------------------------------------------------------------------------------------


def _next(seen: Seen) -> Iterator[str]:
    """What to do next, the most urgent first; at least one sentence."""
    failed = [each.error for each in seen.findings if each.error]
    causes = [seen.refusal, *failed] if seen.refusal else failed
    yield from dict.fromkeys(each.advice for each in causes)
    if isinstance(seen.refusal, CertChainIncomplete) and seen.presented:
        yield f"The missing issuer is {_highest(seen.presented).issuer}"
    if seen.refusal:
        yield f"If you need help, contact us with the request id {seen.request_id}."
    elif seen.presented is None:
        yield from _without_certificate(seen)
    else:
        yield from _renewal(seen.presented.certificate, seen.now)


def _without_certificate(seen: Seen) -> Iterator[str]:
    if seen.client_certificate is ClientCertificate.NONE:
        yield "This host requests no client certificate: sign each message."
    else:
        yield "You sent no client certificate. This host serves you without one: sign each message."
        yield f"If you meant to send one: {ClientCertMissing.advice}"


def _renewal(certificate: Certificate, now: datetime) -> Iterator[str]:
    left = certificate.not_after - now
    if left < timedelta(days=RENEW_DAYS):
        yield f"Your certificate expires in {left.days} days: send us the renewed certificate before you use it."
    else:
        yield "No action needed: your certificate is accepted."


def _highest(presented: Presented) -> Certificate:
    """The highest certificate that the names lead to, among those that the client sent."""
    by_subject = {each.subject: each for each in presented.chain}
    top, seen = presented.certificate, {presented.certificate}
    while (above := by_subject.get(top.issuer)) and above not in seen:
        top = above
        seen.add(top)
    return top
