"""`GET /.well-known/mtlsd/whoami`: what we saw of a client, what is wrong with it, and what to do. Pure.

It tells the client about itself alone: its connection, the certificates that it sent, and the partner that it has
proved to be. Of others it says nothing, nor what came close: no name, no path, no address, no certificate.
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

PATH = "/.well-known/mtlsd/whoami"
METHODS = ("GET", "HEAD")
RENEW_DAYS = 30
_FIELDS = (
    ("Cache-Control", "no-store"),
    ("Vary", "*"),  # it depends on the connection, which is in no field
    ("X-Content-Type-Options", "nosniff"),
)


@dataclass(frozen=True, slots=True)
class Seen:
    """What there is to say. `partner` is proven: by a chain that verifies, or by a registered certificate's key."""

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
    unreadable: str = ""  # why what was presented cannot be read
    findings: tuple[Finding, ...] = ()
    refusal: PeerError | None = None  # what any other request of this connection would get
    partner: Partner | None = None
    routes: tuple[tuple[Route, str], ...] = ()  # that are open to it, and our AS2 id on each


def check_method(request: Request) -> None:
    """Raises ReadOnly."""
    if request.method not in METHODS:
        raise ReadOnly(f"{request.method} on {PATH}")


def answer(seen: Seen) -> Response:
    """A page for whoever asks for HTML, else JSON."""
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
    """All of it, as values of JSON."""
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
    """As presented: the client's own first."""
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
    """Whole days, until then or since; `timedelta.days` would say -6 of what ended 5 days and an hour ago."""
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
    """What to do next, the most urgent first; never nothing."""
    failed = [each.error for each in seen.findings if each.error]
    causes = [seen.refusal, *failed] if seen.refusal else failed
    yield from dict.fromkeys(each.advice for each in causes)
    if isinstance(seen.refusal, CertChainIncomplete) and seen.presented:
        yield f"The issuer that is missing: {_highest(seen.presented).issuer}"
    if seen.refusal:
        yield f"If you need our help, tell us the request id {seen.request_id}."
    elif seen.presented is None:
        yield from _without_certificate(seen)
    else:
        yield from _renewal(seen.presented.certificate, seen.now)


def _without_certificate(seen: Seen) -> Iterator[str]:
    if seen.client_certificate is ClientCertificate.NONE:
        yield "This host asks for no client certificate: sign each message."
    else:
        yield "You sent no client certificate. This host serves you without one: sign each message."
        yield f"If you meant to send one: {ClientCertMissing.advice}"


def _renewal(certificate: Certificate, now: datetime) -> Iterator[str]:
    left = certificate.not_after - now
    if left < timedelta(days=RENEW_DAYS):
        yield f"Your certificate ends in {left.days} days: send us the renewed one before you use it."
    else:
        yield "Nothing: your certificate is accepted."


def _highest(presented: Presented) -> Certificate:
    """As far up as the names lead, in what the client itself sent."""
    by_subject = {each.subject: each for each in presented.chain}
    top, seen = presented.certificate, {presented.certificate}
    while (above := by_subject.get(top.issuer)) and above not in seen:
        top = above
        seen.add(top)
    return top
