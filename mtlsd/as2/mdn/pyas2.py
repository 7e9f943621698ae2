"""Reads the MDNs of others with pyas2lib; no other module uses it.

The checks of pyas2lib are not relied on. It never sees a message, and of a signed MDN it gets only the
`multipart/report`, from the very octets whose signature verified.
"""

import email
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from email.message import Message as Part
from functools import cache
from typing import Any, Literal, cast

from mtlsd.as2.mdn import oscrypto_standin
from mtlsd.as2.mime.parser import ContentType, HeaderBlockReader, unquoted
from mtlsd.as2.mime.writer import fields
from mtlsd.errors import MDNUnreadable

Headers = Sequence[tuple[str, str]]
VerifySigned = Callable[[Headers, bytes], bytes]

MAX_MDN_SIZE = 128 * 1024  # bytes; real ones are below 20 KiB
MAX_MDN_PARTS = 64  # a report has two or three; the time that `email` takes grows with the depth,
MAX_MDN_PARAMETERS = 1000  # and with the square of the semicolons in one field


@dataclass(frozen=True, slots=True)
class ReceivedMDN:
    """The content of a partner's MDN (RFC 4130, section 7.4).

    `modifier` is for example "error: decryption-failed". `confirmed`: the message was processed without an error or
    failure, and the MIC is the expected one. The caller has to check that the MDN is signed.
    """

    disposition_mode: str
    disposition_type: Literal["processed", "failed"]
    modifier: str | None
    original_message_id: str
    final_recipient: str | None
    mic: str | None
    mic_algorithm: str | None
    signed: bool
    text: str
    confirmed: bool

    @property
    def disposition(self) -> str:
        modifier = f"/{self.modifier}" if self.modifier else ""
        return f"{self.disposition_mode}; {self.disposition_type}{modifier}"

    @property
    def is_positive(self) -> bool:
        """Whether it reports that the message was processed, with a warning at most."""
        negative = self.modifier is not None and not self.modifier.startswith("warning")
        return self.disposition_type == "processed" and not negative


def read_mdn(
    headers: Headers,
    body: bytes,
    *,
    verify: VerifySigned,
    message_id: str | None,
    mic: str | None,
) -> ReceivedMDN:
    """Read the MDN that answers our message.

    `verify` is given a `multipart/signed` and returns the signed entity, MIME headers and body, or raises; it knows the
    certificates to trust. `message_id` and `mic` are those of our message: another Original-Message-ID is refused (None
    accepts any), and with another MIC or none the MDN is not `confirmed` (None: nothing to compare). Raises
    MDNUnreadable, and the errors of `verify`.
    """
    if len(body) > MAX_MDN_SIZE:
        raise MDNUnreadable("longer than an MDN can be", size=len(body))
    content_type = _one_content_type(headers)
    signed = content_type.partition(";")[0].strip().lower() == "multipart/signed"
    entity = _readable(verify(headers, body)) if signed else _entity(content_type, body)
    try:
        return _read_report(_report(entity), signed, message_id, mic)
    except MDNUnreadable:
        raise
    except Exception as error:  # `email` and pyas2lib can raise anything on unexpected octets
        raise MDNUnreadable(f"{type(error).__name__}: {error}") from error


@cache
def _pyas2lib() -> Any:
    """Import pyas2lib once, and only when it is needed, because the import is slow."""
    with oscrypto_standin.install():
        from pyas2lib import as2
    as2.logger.disabled = True  # it logs payloads
    return as2


def _one_content_type(headers: Headers) -> str:
    found = [value for name, value in headers if name.lower() == "content-type"]
    if len(found) != 1:
        raise MDNUnreadable("no Content-Type, or several")
    return unquoted(" ".join(found[0].splitlines()))


def _readable(entity: bytes) -> bytes:
    """The entity with its Content-Type out of quotes, which `email` does not read."""
    found = HeaderBlockReader().receive_data(entity)
    if not found or unquoted(text := found[0].fields.get("content-type", "")) == text:
        return entity
    others = {name: value for name, value in found[0].fields.items() if name != "content-type"}
    return fields({"Content-Type": unquoted(text), **others}) + b"\r\n" + found[1]


def _entity(content_type: str, body: bytes) -> bytes:
    return b"Content-Type: %b\r\n\r\n%b" % (content_type.encode("utf-8", "surrogatepass"), body)


def _report(entity: bytes) -> Part:
    """Parse the entity with pyas2lib; its look-up of the message finds nothing, so it judges nothing."""
    if len(re.findall(rb"[\r\n]--", entity)) > MAX_MDN_PARTS or entity.count(b";") > MAX_MDN_PARAMETERS:
        raise MDNUnreadable("more parts or parameters than an MDN can have")
    mdn = _pyas2lib().Mdn()
    mdn.parse(entity, find_message_cb=lambda *_: None)
    if mdn.payload is None or mdn.payload.get_content_type() != "multipart/report":
        raise MDNUnreadable("not a multipart/report")
    return cast("Part", mdn.payload)


def _read_report(report: Part, signed: bool, message_id: str | None, mic: str | None) -> ReceivedMDN:
    parts = report.get_payload()
    if not isinstance(parts, list):
        raise MDNUnreadable("a multipart/report without parts")
    fields = _notification(cast("list[Part]", parts))
    answered = _required(fields, "Original-Message-ID")
    if message_id is not None and answered.strip("<> ") != message_id.strip("<> "):
        raise MDNUnreadable("the MDN answers another message", original_message_id=answered)
    mode, disposition_type, modifier = _disposition(_required(fields, "Disposition"))
    received_mic, mic_algorithm = _mic(_field(fields, "Received-Content-MIC"))
    negative = modifier is not None and not modifier.startswith("warning")
    return ReceivedMDN(
        disposition_mode=mode,
        disposition_type=disposition_type,
        modifier=modifier,
        original_message_id=answered,
        final_recipient=_recipient(_field(fields, "Final-Recipient")),
        mic=received_mic,
        mic_algorithm=mic_algorithm,
        signed=signed,
        text=_text(cast("list[Part]", parts)),
        confirmed=disposition_type == "processed" and not negative and mic in (None, received_mic),
    )


def _notification(parts: list[Part]) -> Part:
    """Find the one part of the report that has the fields; a report nested inside a part does not count."""
    found = [fields for part in parts if (fields := _fields(part)) is not None]
    if len(found) != 1:
        raise MDNUnreadable("no disposition notification, or several")
    return found[0]


def _fields(part: Part) -> Part | None:
    """Return the fields of a part, if it has any; a part without headers, or in base64, is tolerated."""
    if "Content-Type" not in part:
        bare = part if "Disposition" in part else email.message_from_bytes(_content(part).lstrip())
        return bare if "Disposition" in bare else None
    content_type = ContentType.parse(str(part["Content-Type"])).value
    if content_type != "message/disposition-notification":
        return None
    if part.get_content_type() != content_type:  # in quotes, which email does not read
        return email.message_from_bytes(_content(part).lstrip())
    inner = cast("Part", part.get_payload(0))  # email parses what a message/* holds, whatever its encoding
    if "Disposition" in inner:
        return inner
    decoded = email.message_from_bytes(_decoded(inner, str(part["Content-Transfer-Encoding"])).lstrip())
    return decoded if "Disposition" in decoded else inner


def _decoded(inner: Part, encoding: str) -> bytes:
    del inner["Content-Transfer-Encoding"]
    inner["Content-Transfer-Encoding"] = encoding
    return _content(inner)


def _content(part: Part) -> bytes:
    content = part.get_payload(decode=True)
    return content if isinstance(content, bytes) else b""


def _field(fields: Part, name: str) -> str | None:
    found = fields.get_all(name, [])
    if len(found) > 1:
        raise MDNUnreadable(f"several {name} fields")
    return re.sub(r"[\r\n]+", "", str(found[0])).strip() if found else None


def _required(fields: Part, name: str) -> str:
    value = _field(fields, name)
    if not value:
        raise MDNUnreadable(f"no {name} field")
    return value


def _disposition(value: str) -> tuple[str, Literal["processed", "failed"], str | None]:
    """Split `mode; type[/kind[: words]]`; an unknown form never passes for "processed"."""
    mode, _, rest = value.partition(";")
    disposition_type, slash, modifier = rest.partition("/")
    kind, _, words = (each.strip() for each in modifier.partition(":"))
    match disposition_type.strip().lower():
        case "processed" | "failed" as known if bool(slash) == bool(kind):
            modifier = f"{kind.lower()}: {words}" if words else kind.lower()
            return mode.strip(), known, modifier or None
    raise MDNUnreadable("a disposition that RFC 4130, section 7.4.3, does not have", disposition=value)


def _mic(value: str | None) -> tuple[str | None, str | None]:
    digest, _, algorithm = (value or "").partition(",")
    return "".join(digest.split()) or None, algorithm.strip(' "').lower() or None


def _recipient(value: str | None) -> str | None:
    """Return the AS2 id of `rfc822; "id"`, with or without type and quotes."""
    if value is None:
        return None
    name = value.partition(";")[2].strip() or value
    quoted = len(name) > 1 and name[0] == name[-1] == '"'
    return re.sub(r"\\(.)", r"\1", name[1:-1]) if quoted else name


def _text(parts: list[Part]) -> str:
    """Return the text of the MDN for people; empty if there is none."""
    words = (_content(part) for part in parts if part.get_content_type() == "text/plain")
    return next(words, b"").decode("utf-8", "replace").strip()
