"""Distinguished names and subject alternative names, as the files of partners write them."""

from ipaddress import ip_address

from cryptography.x509 import Name
from cryptography.x509.oid import NameOID

SPELLINGS = {  # of attribute types, in addition to those of RFC 4514
    "emailAddress": NameOID.EMAIL_ADDRESS,
    "E": NameOID.EMAIL_ADDRESS,
    "serialNumber": NameOID.SERIAL_NUMBER,
}


def subject(value: object) -> str:
    """A distinguished name, spelled as `Certificate.subject` spells it."""
    expected = "a subject as RFC 4514 writes it: CN=edi.acme.example,O=ACME"
    if not isinstance(value, str) or not value:
        raise ValueError(expected)
    try:
        return Name.from_rfc4514_string(value, SPELLINGS).rfc4514_string()
    except ValueError as error:
        raise ValueError(expected) from error


def alternative_names(value: object) -> tuple[str, ...]:
    """Subject alternative names, spelled as `Certificate.san` spells them."""
    return tuple(dict.fromkeys(map(_alternative_name, list_of_texts(value, "a list of alternative names"))))


def _alternative_name(text: str) -> str:
    kind, _, name = text.partition(":")
    if kind not in {"dns", "email", "uri", "ip"} or not name:
        raise ValueError('names such as "dns:edi.acme.example": dns, email, uri or ip')
    if kind == "ip":
        return f"ip:{ip_address(name)}"
    return text.lower() if kind == "dns" else text


def list_of_texts(value: object, expected: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise ValueError(expected)
    return value


SHORT = 16  # digits of a fingerprint that people compare
