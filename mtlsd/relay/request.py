"""The request of a delivery: a document to the backend (a public interface), or an MDN to the partner.

No value of a partner can end a header field: control characters, characters outside of Latin-1, and spaces at either
end become percent-encoded UTF-8. Everything else is passed on as received, so a client encodes the values as Latin-1.
In the fields that name the partner and the AS2 ids, `%` before two hexadecimal digits becomes `%25`: otherwise the id
`%C3%9F` would look like the encoding of another id.

`Mtlsd-Filename` has one of two forms. A name of ASCII letters, digits, inner spaces and a few marks is passed on as it
is; any other becomes `UTF-8''` and percent-encoded UTF-8 (RFC 8187). A plain name has neither `'` nor `%`, so the forms
cannot be confused. Only the last segment of a path is passed on (RFC 6266, section 4.3).
"""

import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from urllib.parse import quote

from mtlsd.journal.model import Delivery, DeliveryKind, Message, Refusal
from mtlsd.relay.client_cert import client_cert_fields
from mtlsd.relay.message_fields import fields_of_the_message

_UNFIT = re.compile(r"[^\t\x20-\x7e\xa0-\xff]")
_BLANKS = " \t"
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_PLAIN_NAME = re.compile(r"[\w!#$&()+.=@^`{}~-]+( +[\w!#$&()+.=@^`{}~-]+)*", re.ASCII)
_ESCAPE = re.compile(r"%(?=[0-9A-Fa-f]{2})")
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
    """Build the request of a delivery. It is the same for every attempt, except for the attempt's number."""
    if delivery.kind is DeliveryKind.MDN:
        return _to_partner(about)
    assert isinstance(about, Message)
    request = _message_to_backend(about) if delivery.kind is DeliveryKind.MESSAGE else _to_backend(about)
    attempt = ("Mtlsd-Attempt", str(max(delivery.attempts, 1)))  # backend first: the delivery was never claimed
    return replace(request, headers=(*request.headers, attempt))


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
    headers = (("Content-Length", str(message.size)), *_fields(message), *_digest(message, "payload"))
    assert message.payload is not None, "what nobody opened has no payload, and goes as a message"
    return OutgoingRequest("POST", headers, message.payload)


def _message_to_backend(message: Message) -> OutgoingRequest:
    """The AS2 message: the body as received, and its fields, each with one reading, with our own fields added.

    Receipt-Delivery-Option is removed, because one MDN goes to the partner, and through us. The AS2 ids are written
    from what was proved, and have no control characters: their octets go as they are.
    """
    theirs = tuple(
        (name, value if name.lower() in ("as2-from", "as2-to") else _fit(value))
        for name, value in fields_of_the_message(message)
    )
    ours = tuple(field for field in _fields(message) if field[0] != "Content-Type")
    headers = (("Content-Length", str(message.original_size)), *theirs, *ours, *_digest(message, "as2"))
    return OutgoingRequest("POST", headers, message.original)


def _to_partner(about: Message | Refusal) -> OutgoingRequest:
    """The MDN as it is stored, octet for octet, with the AS2 names as the partner spells them."""
    assert about.mdn is not None
    headers = (("Content-Length", str(len(about.mdn.body))), *about.mdn.headers)
    credentials = Credentials(about.host, about.partner)
    return OutgoingRequest("POST", headers, about.mdn.body, credentials)


def _fields(message: Message) -> Iterator[tuple[str, str]]:
    return ((name, _fit(value)) for name, value in _about(message))


def _about(message: Message) -> Iterator[tuple[str, str]]:
    if message.content_type:
        yield "Content-Type", message.content_type
    yield "Mtlsd-Partner", _ESCAPE.sub("%25", message.partner)
    yield "Mtlsd-Message-Id", message.message_id
    yield "Mtlsd-As2-From", _ESCAPE.sub("%25", message.as2_from)
    yield "Mtlsd-As2-To", _ESCAPE.sub("%25", message.as2_to)
    if message.mic and message.mic_algorithm:
        yield "Mtlsd-Mic", f"{message.mic}, {message.mic_algorithm}"
    if filename := _filename(message.filename or ""):
        yield "Mtlsd-Filename", filename
    if message.signer_sha256:
        yield "Mtlsd-Signer", message.signer_sha256
    received = datetime.fromtimestamp(message.received_at, UTC)
    yield "Mtlsd-Received", f"{received:%Y-%m-%dT%H:%M:%S}.{received.microsecond // 1000:03}Z"
    yield "Mtlsd-Request-Id", message.request_id
    yield "Forwarded", f"host={_quoted(message.host)};proto=https"  # RFC 7239
    yield "Idempotency-Key", idempotency_key(message)
    yield from client_cert_fields(message)


def _digest(message: Message, suffix: str) -> Iterator[tuple[str, str]]:
    """The SHA-256 of the body (RFC 9530); messages of an old journal may have none."""
    if digest := dict(message.digests).get(suffix):
        yield "Content-Digest", f"sha-256=:{b64encode(bytes.fromhex(digest)).decode('ascii')}:"


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
