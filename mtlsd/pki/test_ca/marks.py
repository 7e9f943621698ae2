"""Test CAs, as `mtlsd ca` makes them: how their certificates are known, and what becomes of them in production.

Three marks, of which each is enough: an extension that is not critical, in every certificate that we make; the words
in the subject of the CA; and so the words in the issuer of whatever was issued below it, with another tool too.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

from cryptography.x509 import Name, ObjectIdentifier, UnrecognizedExtension
from cryptography.x509.oid import NameOID

from mtlsd.errors import Problem
from mtlsd.pki.certificate import UNREADABLE, Certificate
from mtlsd.pki.names import SHORT

MARK = "TEST CA - NOT FOR PRODUCTION"  # an OU of the CA's subject
EXTENSION = ObjectIdentifier("2.25.204957951690202167315794487851566365516")  # of a UUID (ITU-T X.667)
# A UTF8String, so that every tool that shows unknown extensions shows the words.
MARKED = UnrecognizedExtension(EXTENSION, b"\x0c" + bytes([len(MARK)]) + MARK.encode())

REFUSED = "is of a test CA (mtlsd ca), which counts for nothing where production = true"


def is_for_tests(certificate: Certificate) -> bool:
    """Whether a test CA is this certificate, or has issued it."""
    parsed = certificate.x509
    extensions = {each.oid for each in parsed.extensions}
    return EXTENSION in extensions or _has_words(parsed.subject) or _has_words(parsed.issuer)


def refuse_for_tests(directory: Path, certificates: Iterable[Certificate]) -> tuple[Problem, ...]:
    """What is wrong with certificates of ours in production."""
    return tuple(Problem(directory, sentence(each)) for each in certificates_for_tests(certificates))


def certificates_for_tests(certificates: Iterable[Certificate]) -> Iterator[Certificate]:
    """Those of a test CA, and those below one of them: without its root, a certificate would become a pin."""
    rest = list(dict.fromkeys(certificates))
    names: set[str] = set()
    while found := [each for each in rest if each.issuer in names or is_for_tests(each)]:
        yield from found
        names |= {each.subject for each in found if each.is_ca}
        rest = [each for each in rest if each not in found]


def _has_words(name: Name) -> bool:
    try:
        return any(MARK in str(each.value) for each in name.get_attributes_for_oid(NameOID.ORGANIZATIONAL_UNIT_NAME))
    except UNREADABLE:
        return False


def sentence(certificate: Certificate) -> str:
    return f"{certificate.subject} ({certificate.sha256[:SHORT]}) {REFUSED}"
