"""The settings that `mtlsd partner add --replace` keeps, because no option gives them. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from mtlsd.config.document import parse_toml
from mtlsd.files.writing import PUBLIC
from mtlsd.partners.edit.proposal import Proposal
from mtlsd.partners.partner import Partner
from mtlsd.pki.certificate import Certificate
from mtlsd.pki.dates import Dates
from mtlsd.pki.revocation import BY_DEFAULT, Revocation

KEPT = ("disabled", "revocation", "retention", "certificate")


def keeping(proposal: Proposal, there: Partner, *, disabled: bool) -> Proposal:
    """The proposal with the present settings that no option gives; the dates of a removed certificate are removed."""
    settings = dict(proposal.settings)
    if disabled:
        settings["disabled"] = True
    if there.revocation != BY_DEFAULT:
        settings["revocation"] = _set_fields(there.revocation)
    retention = {"days": there.retention_days, "max_bytes": there.retention_max_bytes}
    if kept := {key: value for key, value in retention.items() if value is not None}:
        settings["retention"] = kept
    if rows := tuple(_rows(there, {each for _, each in proposal.certificates})):
        settings["certificate"] = rows
    lists = {f"{each.sha256[:16]}.crl": (each.der, PUBLIC) for each in there.crls}
    return replace(proposal, settings=settings, more=lists)


def would_go(text: bytes) -> list[str]:
    """The settings that would be lost with a partner.toml that is not in use; raises ValueError if it is not TOML."""
    tables = parse_toml(text.decode("utf-8-sig"))
    return [key for key in KEPT if key in tables]


def _rows(partner: Partner, certificates: set[Certificate]) -> Iterator[Mapping[str, object]]:
    staying = {each.sha256 for each in certificates}
    for sha256, dates in partner.dates:
        if sha256 in staying:
            yield {"sha256": sha256, **_set_fields(dates)}


def _set_fields(value: Revocation | Dates) -> dict[str, object]:
    return {key: found for key in type(value).__slots__ if (found := getattr(value, key)) is not None}
