"""`production = true`: certificates of a test CA are not used."""

from dataclasses import replace
from operator import attrgetter
from pathlib import Path

from mtlsd.errors import Problem
from mtlsd.partners.partner import USES, LoadedPartner, disabled_by, uses_of
from mtlsd.pki.test_ca.marks import certificates_for_tests, sentence


def without_tests(directory: Path, loaded: LoadedPartner) -> LoadedPartner:
    """The partner without the certificates of a test CA, and without certificates that were issued below them.

    The partner keeps its claim to such certificates. If no other certificate is left, the partner is disabled.
    """
    partner = loaded.partner
    if partner is None:
        return loaded
    tests = set(certificates_for_tests(uses_of(partner)))
    if not tests:
        return loaded
    problems = tuple(Problem(directory, sentence(each)) for each in sorted(tests, key=attrgetter("sha256")))
    kept = {use: tuple(each for each in getattr(partner, use) if each not in tests) for use in USES.values()}
    left = replace(partner, **kept)  # type: ignore[arg-type]  # tuples of certificates, all of them
    if not (left.public_certificates or left.trusted_roots or left.message_certificates):
        problems = (*problems, disabled_by("no other certificate", directory))
        return replace(loaded, partner=None, problems=(*loaded.problems, *problems))
    return replace(loaded, partner=left, problems=(*loaded.problems, *problems))
