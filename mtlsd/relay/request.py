"""The request of a delivery: a document to the backend (a public interface), or an MDN to the partner.

No value of a partner can end a header field: control characters, characters outside of Latin-1, and spaces at either
end become percent-encoded UTF-8. Everything else is passed on as received, so a client encodes the values as Latin-1.

`Mtlsd-Filename` has one of two forms. A name of ASCII letters, digits, inner spaces and a few marks is passed on as it
is; any other becomes `UTF-8''` and percent-encoded UTF-8 (RFC 8187). A plain name has neither `'` nor `%`, so the forms
cannot be confused. Only the last segment of a path is passed on (RFC 6266, section 4.3).
"""

import re
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from urllib.parse import quote

from mtlsd.journal.model import Delivery, DeliveryKind, Message, Refusal
from mtlsd.relay.client_cert import client_cert_fields

_UNFIT = re.compile(r"[^\t\x20-\x7e\xa0-\xff]")
_BLANKS = " \t"
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_PLAIN_NAME = re.compile(r"[\w!#$&()+.=@^`{}~-]+( +[\w!#$&()+.=@^`{}~-]+)*", re.ASCII)
_OF_THE_MESSAGE = re.compile(  # the fields of an AS2 message; all others belong to the hop, or could be forged
    r"(?:as2-|ediint-|disposition-notification-)[a-z0-9-]+"
    r"|content-(?:type|transfer-encoding|disposition|description|id|md5)"
    r"|mime-version|message-id|subject|date|from|to|recipient-address|user-agent"
)
_ATTR_CHAR = "!#$&+^`|"  # RFC 8187, section 3.2.1; `quote` never encodes the others


@dataclass(frozen=True, slots=True)
class Credentials:
    """For an https target: whose key pair we use, and whose roots count beside those of the system."""

    host: str  # the virtual host whose key pair is ours
    partner: str


@dataclass(frozen=True, slots=True)
class OutgoingRequest:
    """A request without its URL; the client adds `Host`. `body` is octets, or the name of a stored document."""

    method: str
    headers: tuple[tuple[str, str], ...]
    body: bytes | str
    credentials: Credentials | None = None


def build_request(about: Message | Refusal, delivery: Delivery) -> OutgoingRequest:
    """Build the request of a delivery. It is the same for every attempt."""
    if delivery.kind is DeliveryKind.MDN:
        return _to_partner(about)
    assert isinstance(about, Message)
    if delivery.kind is DeliveryKind.MESSAGE:
        return _message_to_backend(about)
    return _to_backend(about)


def idempotency_key(message: Message) -> str:
    """Return base64url, unpadded, of the SHA-256 over AS2-To, AS2-From and Message-ID.

    Each is UTF-8 after its length in 8 bytes, big-endian.
    """
    digest = sha256()
    for part in (message.as2_to, message.as2_from, message.message_id):
        encoded = part.encode()
        digest.update(len(encoded).to_bytes(8, "big") + encoded)
    return urlsafe_b64encode(digest.digest()).rstrip(b"=").decode("ascii")


def _to_backend(message: Message) -> OutgoingRequest:
    assert message.payload is not None, "what nobody opened has no payload, and goes as a message"
    return _post(message.size, _fields(message), message.payload)


def _message_to_backend(message: Message) -> OutgoingRequest:
    """The AS2 message as received, header and body, with our own fields added.

    Receipt-Delivery-Option is removed, because one MDN goes to the partner, and through us.
    """
    received = (field for field in message.headers if _OF_THE_MESSAGE.fullmatch(field[0].lower()))
    described = (field for field in _fields(message) if field[0] != "Content-Type")
    return _post(message.original_size, (*received, *described), message.original)


def _post(size: int, fields: Iterable[tuple[str, str]], body: str) -> OutgoingRequest:
    headers = tuple((name, _fit(value)) for name, value in (("Content-Length", str(size)), *fields))
    return OutgoingRequest("POST", headers, body)


def _to_partner(about: Message | Refusal) -> OutgoingRequest:
    """The MDN as it is stored, octet for octet, with the AS2 names as the partner spells them."""
    assert about.mdn is not None
    headers = (("Content-Length", str(len(about.mdn.body))), *about.mdn.headers)
    credentials = Credentials(about.host, about.partner)
    return OutgoingRequest("POST", headers, about.mdn.body, credentials)


def _fields(message: Message) -> Iterator[tuple[str, str]]:
    if message.content_type:
        yield "Content-Type", message.content_type
    yield "Mtlsd-Partner", message.partner
    yield "Mtlsd-Message-Id", message.message_id
    yield "Mtlsd-As2-From", message.as2_from
    yield "Mtlsd-As2-To", message.as2_to
    if message.mic and message.mic_algorithm:
        yield "Mtlsd-Mic", f"{message.mic}, {message.mic_algorithm}"
    if filename := _filename(message.filename or ""):
        yield "Mtlsd-Filename", filename
    yield "Mtlsd-Request-Id", message.request_id
    yield "Forwarded", f"host={_quoted(message.host)};proto=https"  # RFC 7239
    yield "Idempotency-Key", idempotency_key(message)
    yield from client_cert_fields(message)


def _fit(value: str) -> str:
    inner = value.strip(_BLANKS)
    before, _, after = value.partition(inner) if inner else (value, "", "")
    encoded = _UNFIT.sub(lambda unfit: quote(unfit.group(), safe="", errors="replace"), inner)
    return f"{quote(before, safe='')}{encoded}{quote(after, safe='')}"


def _filename(name: str) -> str:
    last = _CONTROL.sub("_", re.split(r"[/\\]", name)[-1]).strip()
    if last in {"", ".", ".."}:
        return ""
    if _PLAIN_NAME.fullmatch(last):
        return last
    return "UTF-8''" + quote(last, safe=_ATTR_CHAR, errors="replace")


def _quoted(text: str) -> str:
    """Return a quoted-string (RFC 9110, section 5.6.4), because a token may not contain the colon of a port."""
    return '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'
