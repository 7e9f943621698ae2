"""Distinguished names and subject alternative names, as the files of partners write them."""

from ipaddress import ip_address

from cryptography.x509 import Name
from cryptography.x509.oid import NameOID

SPELLINGS = {  # of attribute types, in addition to those of RFC 4514
    "emailAddress": NameOID.EMAIL_ADDRESS,
    "E": NameOID.EMAIL_ADDRESS,
    "serialNumber": NameOID.SERIAL_NUMBER,
}

SHORT = 16  # digits of a fingerprint, where people compare it


def subject(text: str) -> str:
    """A distinguished name, spelled as `Certificate.subject` spells it."""
    expected = "expected a subject as RFC 4514 writes it: CN=edi.acme.example,O=ACME"
    if not text:
        raise ValueError(expected)
    try:
        return Name.from_rfc4514_string(text, SPELLINGS).rfc4514_string()
    except ValueError as error:
        raise ValueError(expected) from error


def alternative_name(text: str) -> str:
    """A subject alternative name, spelled as `Certificate.san` spells it."""
    expected = 'expected names such as "dns:edi.acme.example": dns, email, uri or ip'
    kind, _, name = text.partition(":")
    if kind not in {"dns", "email", "uri", "ip"} or not name:
        raise ValueError(expected)
    if kind == "ip":
        try:
            return f"ip:{ip_address(name)}"
        except ValueError as error:
            raise ValueError(expected) from error
    return text.lower() if kind == "dns" else text
