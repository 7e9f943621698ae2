"""The client's certificate for the backend (RFC 9440): `Client-Cert` and `Client-Cert-Chain`.

A delivery may be made days after the connection ended. So the certificates stay with the message, among its header
fields, which the chain of the journal covers. Their names there begin with a colon: no client can send such a field
(RFC 9110, section 5.1), so whatever stands there is ours.
"""

from base64 import b64encode
from collections.abc import Iterator, Sequence

from mtlsd.journal.model import HeaderPairs, Message

LEAF = ":client-cert"
CHAIN = ":client-cert-chain"
_FIELDS = {LEAF: "Client-Cert", CHAIN: "Client-Cert-Chain"}
_OURS = ("client-cert", "client-cert-chain", "forwarded", "idempotency-key")


def keep_client_cert(certificate: bytes, chain: Sequence[bytes] = ()) -> HeaderPairs:
    """What stays with the message: the client's certificate, and those above it, each in DER."""
    leaf = ((LEAF, _byte_sequence(certificate)),)
    return (*leaf, (CHAIN, ", ".join(map(_byte_sequence, chain)))) if chain else leaf


def client_cert_fields(message: Message) -> Iterator[tuple[str, str]]:
    """The fields for the backend; none if no certificate was kept."""
    yield from ((_FIELDS[name], value) for name, value in message.headers if name in _FIELDS)


def client_certs(message: Message) -> dict[str, object]:
    """The same values as base64 of DER for a JSON file: one certificate, and a list."""
    kept = dict(message.headers)
    found: dict[str, object] = {"client_cert": kept[LEAF].strip(":")} if LEAF in kept else {}
    chain = [each.strip(":") for each in kept[CHAIN].split(", ")] if CHAIN in kept else []
    return found | ({"client_cert_chain": chain} if chain else {})


def received_fields(message: Message) -> HeaderPairs:
    """The message's header as received, without fields that could be mistaken for ours in any spelling."""
    return tuple(field for field in message.headers if not _is_ours(field[0]))


def _is_ours(name: str) -> bool:
    plain = name.lower().replace("_", "-")
    return plain.startswith((":", "mtlsd-")) or plain in _OURS


def _byte_sequence(data: bytes) -> str:
    """A Byte Sequence (RFC 8941, section 3.3.5)."""
    return f":{b64encode(data).decode('ascii')}:"
