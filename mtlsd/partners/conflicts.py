"""Problems for an AS2 id, a certificate or a subject that several partners claim: nobody has it until one is left."""

from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

from mtlsd.errors import Problem
from mtlsd.partners.partner import Partner
from mtlsd.partners.partner_toml import SETTINGS
from mtlsd.pki.certificate import Certificate


def certificate_conflict(directory: Path, certificate: Certificate, names: tuple[str, ...]) -> Problem:
    """The problem of a public certificate that several partners have."""
    text = f"certificate {certificate.subject} ({certificate.sha256[:16]}) is claimed by {together(names)}"
    return Problem(directory, f"{text}: the certificate identifies nobody until only one of them has it")


def id_conflict(directory: Path, as2_id: str, names: tuple[str, ...]) -> Iterator[Problem]:
    """A problem for each of the partners that claim the AS2 id."""
    text = f'"{as2_id}" is claimed by {together(names)}: the id belongs to nobody until only one of them has it'
    for name in names:
        yield Problem(directory / name / SETTINGS, text, key="as2_id")


def match_conflicts(directory: Path, partners: tuple[Partner, ...]) -> Iterator[Problem]:
    """A problem for each pair of partners of which the first accepts every certificate that the second accepts.

    All these partners have the same subject. A certificate that two partners accept identifies nobody.
    """
    for one, other in combinations(partners, 2):
        assert one.match
        assert other.match
        if set(one.match.san) <= set(other.match.san):
            first, second = one, other
        elif set(other.match.san) <= set(one.match.san):
            first, second = other, one
        else:
            continue
        text = f"{first.name} accepts every certificate that matches this: such a certificate identifies nobody"
        yield Problem(directory / second.name / SETTINGS, text, key="match")


def together(names: tuple[str, ...]) -> str:
    """The names as a list in a sentence."""
    return f"{', '.join(names[:-1])} and {names[-1]}"
