"""What is allowed in a partner's directory, and yet seldom what was meant: warnings, each with a way out."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import takewhile
from pathlib import Path

from mtlsd.errors import CertificateRefused, Problem
from mtlsd.partners.partner import Partner
from mtlsd.partners.partner_toml import SETTINGS
from mtlsd.partners.rollover import Standing, State, Use, not_in_use
from mtlsd.partners.rules import CLIENT_RULES, ISSUER_RULES, SIGNATURE_ALGORITHM, refusals
from mtlsd.pki.certificate import Certificate
from mtlsd.pki.lint import same_issuer_and_serial
from mtlsd.pki.policy import may_sign

SOON = timedelta(days=1)  # most lists are made anew each day or each week
NOBODY = "nobody can connect as this partner"


def doubts(directory: Path, partner: Partner, now: datetime | None = None) -> Iterator[Problem]:
    """Warnings of a partner that is in use; without `now` its certificates may have any dates."""
    if partner.match and not partner.trusted_roots:
        yield Problem(directory / SETTINGS, "accepts nothing: the partner has no trusted root", key="match")
    texts = (
        *_general(partner),
        *_always_refused(partner),
        *_without_a_way(partner),
        *_nobody_connects(partner, now),
        *dict.fromkeys(_never_retired(partner, now)),
        *_lists(partner, now),
    )
    for text in texts:
        yield Problem(directory, text)


def _general(partner: Partner) -> Iterator[str]:
    if partner.public_certificates and not partner.trusted_roots:
        yield "pinned without a root: the certificates are trusted as they are, by their bytes"
    yield from same_issuer_and_serial((*partner.public_certificates, *partner.message_certificates))
    if _leads_nowhere(partner):
        yield "an intermediate recognises nobody: add a public certificate or [match]"


def _nobody_connects(partner: Partner, now: datetime | None) -> Iterator[str]:
    """Where certificates are there for connections, and none serves."""
    ways = (*partner.public_certificates, *(partner.trusted_roots if partner.match else ()))
    reasons = (_reason(each, partner, now) for each in ways)
    refusals = tuple(takewhile(bool, reasons))  # up to the first certificate that serves
    if ways and len(refusals) == len(ways):
        yield f"{NOBODY}: {'; '.join(filter(None, refusals))}"
    elif not ways and partner.trusted_roots and not _leads_nowhere(partner):
        yield f"{NOBODY}: {'; '.join(_only_roots(partner))}"


def _never_retired(partner: Partner, now: datetime | None) -> Iterator[str]:
    """Old certificates that have no end of their own, where partner.toml says when a newer one came into use."""
    if now is None or not partner.dates:
        return
    for use in (Use.CONNECTION, Use.MESSAGE):
        several = [each for each in partner.standings(use, {}, now) if each.usable]
        begun = [at for at, each in enumerate(several) if each.dates.active_from]
        for each in several[: max(begun, default=0)]:
            if each.dates.retire_after is None:
                yield never_retired(each)


def never_retired(old: Standing) -> str:
    """What to do about a certificate that nothing ends but its own expiry."""
    assert old.state is not State.RETIRED
    return (
        f"{_named(old.certificate)} has a successor and no retire_after: it is accepted until it expires on "
        f"{old.certificate.not_after:%Y-%m-%d}; say when to stop, or take it out once the partner has changed over"
    )


def _leads_nowhere(partner: Partner) -> bool:
    ends = set(partner.public_certificates) - set(partner.trusted_roots)
    return bool(partner.intermediates) and not partner.match and not ends


def _reason(certificate: Certificate, partner: Partner, now: datetime | None) -> str | None:
    """Why nobody connects with this public certificate, or below this root; None where somebody may."""
    if now and now > certificate.not_after:
        return f"{certificate.subject} ended on {certificate.not_after:%Y-%m-%d}"
    if now and now < certificate.not_before:
        return f"{certificate.subject} begins on {certificate.not_before:%Y-%m-%d}"
    if now and (reason := not_in_use(partner.dates_of(certificate), now)):
        return f"{certificate.subject} is {reason}"
    if refusal := _refusal(certificate, partner):
        return f"{certificate.subject} is always refused: {refusal.reason}"
    return None


def _only_roots(partner: Partner) -> Iterator[str]:
    yield "it has only roots: add a public certificate or [match]"
    for each in partner.trusted_roots:
        if may_sign(each):
            yield f"{each.subject} is another partner's, too, and so a root only"


def _always_refused(partner: Partner) -> Iterator[str]:
    certificates = (*partner.public_certificates, *partner.trusted_roots, *partner.intermediates)
    for each in dict.fromkeys(certificates):
        if refusal := _refusal(each, partner):
            below = "" if each in partner.public_certificates else ", with all below it"
            words = f"{refusal.reason} ({refusal.detail})" if refusal.detail else refusal.reason
            yield f"{_named(each)} is always refused{below}: {words}"


def _refusal(certificate: Certificate, partner: Partner) -> CertificateRefused | None:
    rules = CLIENT_RULES if certificate in partner.public_certificates else ISSUER_RULES
    return next(refusals((*rules, SIGNATURE_ALGORITHM), certificate, partner), None)


def _without_a_way(partner: Partner) -> Iterator[str]:
    """Certificates that need a root where no root of the partner is above them."""
    roots = {root.subject for root in partner.trusted_roots}
    for each in partner.public_certificates if roots else ():
        if not each.is_self_signed and _top_issuer(each, partner) not in roots:
            yield (
                f"{_named(each)} cannot connect, unless the client sends what leads from {each.issuer} to a root of "
                f"the partner: put {each.issuer} and all above it in, too; a root of its MDN servers belongs into mdn/"
            )


def _top_issuer(certificate: Certificate, partner: Partner) -> str:
    """As far up as the names of the partner's intermediates lead."""
    issuers = {each.subject: each.issuer for each in partner.intermediates}
    issuer = certificate.issuer
    for _ in issuers:
        issuer = issuers.get(issuer, issuer)
    return issuer


def _lists(partner: Partner, now: datetime | None) -> Iterator[str]:
    """Revocation lists that count for nothing, or soon will."""
    issuers = (*partner.trusted_roots, *partner.intermediates)
    for each in partner.crls:
        name = f"the revocation list of {each.issuer}"
        if not any(each.is_signed_by(issuer) for issuer in issuers):
            yield f"{name} was signed by no CA certificate in this directory: put the one in that signed it"
        elif now and each.has_ended(now):
            yield f"{name} ended on {each.next_update:%Y-%m-%d %H:%M}: put a newer one in"
        elif now and each.has_ended(now + SOON):
            yield f"{name} ends on {each.next_update:%Y-%m-%d %H:%M}: put the next one in"


def _named(certificate: Certificate) -> str:
    return f"{certificate.subject} ({certificate.sha256[:16]})"
