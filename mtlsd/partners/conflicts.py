"""What several partners claim, in words: each loses it until the others give it up."""

from collections.abc import Iterable, Iterator
from itertools import combinations
from pathlib import Path

from mtlsd.errors import Problem
from mtlsd.partners.partner import Partner
from mtlsd.partners.partner_toml import SETTINGS
from mtlsd.pki.certificate import Certificate


def certificate_conflict(
    directory: Path, sha256: str, public: Iterable[Certificate], names: tuple[str, ...]
) -> Iterator[Problem]:
    """The problem where more than one partner has this public certificate, which is one of `public`."""
    for each in public if len(names) > 1 else ():
        if each.sha256 == sha256:
            text = f"certificate {each.subject} ({sha256[:16]}) is claimed by {together(names)}"
            yield Problem(directory, f"{text}: it identifies nobody until one of them gives it up")


def id_conflict(directory: Path, as2_id: str, names: tuple[str, ...]) -> Iterator[Problem]:
    """A problem for each of those that claim an AS2 id, where they are several."""
    text = f'"{as2_id}" is claimed by {together(names)}: it is nobody\'s until one of them gives it up' if names else ""
    for name in names if len(names) > 1 else ():
        yield Problem(directory / name / SETTINGS, text, key="as2_id")


def match_conflicts(directory: Path, partners: tuple[Partner, ...]) -> Iterator[Problem]:
    """A problem for each pair of which the second accepts nothing that the first does not accept; they share a subject.

    Such a certificate identifies nobody.
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
        text = f"{first.name} accepts every certificate that this accepts: such a one identifies nobody"
        yield Problem(directory / second.name / SETTINGS, text, key="match")


def together(names: tuple[str, ...]) -> str:
    """Their names, as a sentence has them."""
    return f"{', '.join(names[:-1])} and {names[-1]}"
