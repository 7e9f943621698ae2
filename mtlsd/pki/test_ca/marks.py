"""Recognizes the certificates of test CAs made by `mtlsd ca`, which are refused in production.

Each of three marks is enough: a non-critical extension in every certificate that we issue; the mark in the subject of
the CA; and therefore the mark in the issuer of every certificate that the CA issued, also with another tool.
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
# A UTF8String, so that tools that show unknown extensions show the text.
MARKED = UnrecognizedExtension(EXTENSION, b"\x0c" + bytes([len(MARK)]) + MARK.encode())

REFUSED = "is from a test CA (mtlsd ca), which is refused if production = true"


def is_for_tests(certificate: Certificate) -> bool:
    """Whether this is the certificate of a test CA, or was issued by one."""
    parsed = certificate.x509
    extensions = {each.oid for each in parsed.extensions}
    return EXTENSION in extensions or _has_words(parsed.subject) or _has_words(parsed.issuer)


def refuse_for_tests(directory: Path, certificates: Iterable[Certificate]) -> tuple[Problem, ...]:
    """The problems with our own certificates in production."""
    return tuple(Problem(directory, sentence(each)) for each in certificates_for_tests(certificates))


def certificates_for_tests(certificates: Iterable[Certificate]) -> Iterator[Certificate]:
    """The certificates of test CAs and all below them; without its root, one of them would become a pin."""
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
