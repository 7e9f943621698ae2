"""The text of columns that hold more than text: how it is written and read. Pure.

The digests of the hash chain also cover this text. It is therefore a stored format: text that was ever written must
always be read, and be written again as the same characters.

The certificates of a client follow the header fields of its message, under names that begin with a colon. No client can
send such a field (RFC 9110, section 5.1), so only this module writes such names.
"""

from base64 import b64decode, b64encode
from itertools import takewhile

from mtlsd.journal.model import HeaderPairs, Lane, Message

_ORDERED = "ordered"  # the first word of an ordered lane; the queries compare with it
_LEAF, _CHAIN = ":client-cert", ":client-cert-chain"


def targets_text(targets: tuple[str, ...]) -> str:
    """The URLs of a delivery, separated by spaces, because no URL contains a space."""
    return " ".join(targets)


def targets(text: str) -> tuple[str, ...]:
    return tuple(text.split(" "))


def lane_text(lane: Lane) -> str:
    return f"{_ORDERED} {lane.name}" if lane.ordered else lane.name


def lane(text: str) -> Lane:
    word, blank, name = text.partition(" ")
    return Lane(name, ordered=True) if blank and word == _ORDERED else Lane(text, ordered=False)


def header_fields(message: Message) -> HeaderPairs:
    """The header of a message, followed by the client's certificates."""
    return (*message.headers, *certificate_fields(message.client_certificates))


def header(fields: HeaderPairs) -> tuple[HeaderPairs, tuple[bytes, ...]]:
    """The header and the certificates, each in DER.

    A field that this module would write differently stays in the header; otherwise two texts would have one digest.
    """
    received = tuple(takewhile(lambda field: field[0] not in (_LEAF, _CHAIN), fields))
    kept = fields[len(received) :]
    try:
        certificates = tuple(b64decode(each) for _, value in kept for each in value.split(", "))
    except ValueError:
        return fields, ()
    return (received, certificates) if certificate_fields(certificates) == kept else (fields, ())


def certificate_fields(
    certificates: tuple[bytes, ...], leaf_name: str = _LEAF, chain_name: str = _CHAIN
) -> HeaderPairs:
    """The client's certificate, and its issuers if there are any, each as a Byte Sequence (RFC 8941, section 3.3.5)."""
    leaf, *chain = (f":{b64encode(each).decode('ascii')}:" for each in certificates) if certificates else ("",)
    fields = ((leaf_name, leaf), (chain_name, ", ".join(chain)))
    return tuple((name, value) for name, value in fields if value)
