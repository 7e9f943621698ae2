"""The AS2 header fields of a request (RFC 4130, sections 6 and 7.3), read once into types.

Text that is echoed to the partner keeps its octets, because it is decoded as Latin-1, which loses nothing.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from mtlsd.as2.mime.parser import HeaderBlock
from mtlsd.errors import (
    AS2HeaderMissing,
    AS2MessageIDInvalid,
    AS2MICAlgUnsupported,
    AS2ReceiptFormatUnsupported,
)
from mtlsd.partners.as2_ids import as_field

MAX_NAME = 128  # characters of an AS2 name
MAX_MESSAGE_ID = 998  # characters

_SINGLE = ("as2-from", "as2-to", "message-id", "content-type", "content-transfer-encoding")
_BLANKS = " \t"  # `strip` alone takes octets of UTF-8 for blanks
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
# A Message-ID with one reading: brackets around everything, or one word. Another reader could take the first of two
# ids, remove a comment or quotes, or end the line at a control character of Latin-1.
_ONE_ID = re.compile(r"""<[^<>\x00-\x1f\x7f-\x9f]+>|[^<>()",\x00-\x20\x7f-\x9f]+""")
_LABEL = re.compile(r"[A-Za-z0-9_-]+")

# The spellings of MIC algorithms, without their hyphens (RFC 8551, section 3.5.3.2, and what products send).
_ALGORITHMS = {
    "sha1": "sha1",
    "sha": "sha1",
    "rsasha1": "sha1",
    **{f"{prefix}{size}": f"sha{size}" for size in (256, 384, 512) for prefix in ("sha", "sha2", "rsasha")},
}
DEFAULT_LABELS = {"sha1": "sha1", "sha256": "sha-256", "sha384": "sha-384", "sha512": "sha-512"}


def algorithm_of(label: str) -> str | None:
    """Our name of the MIC algorithm that a partner spells like this; None if it is not supported."""
    return _ALGORITHMS.get(re.sub(r"[-_\s\"]", "", label).lower())


@dataclass(frozen=True, slots=True)
class AS2Name:
    """An AS2 id: its value, and its spelling as received, with the quotes."""

    value: str
    spelled: str

    @classmethod
    def parse(cls, spelled: str) -> "AS2Name":
        """Read AS2-From or AS2-To; an unquoted name ends at its first blank (the products' agreed rule)."""
        spelled = spelled.strip(_BLANKS)
        quoted = _QUOTED.fullmatch(spelled)
        text = re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else spelled.split(" ", 1)[0]
        if not 0 < len(text) <= MAX_NAME or _CONTROL.search(text):
            raise AS2HeaderMissing("an AS2 name that is empty, too long, or has control characters")
        return cls(_as_utf8(text), spelled)

    @classmethod
    def of(cls, value: str) -> "AS2Name":
        """The name with this value, quoted only if it must be."""
        return cls(value, as_field(value))

    @property
    def as_proved(self) -> str:
        """The spelling for our own statements: as received, but without words that are not part of the value."""
        return self.spelled if _QUOTED.fullmatch(self.spelled) or " " not in self.spelled else as_field(self.value)


def _as_utf8(text: str) -> str:
    try:
        return text.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return text


@dataclass(frozen=True, slots=True)
class ReceiptRequest:
    """The MDN that the sender requests: signed or not, and the MIC algorithms in its order of preference."""

    signed: bool
    algorithms: tuple[tuple[str, str], ...]  # (our name, the partner's spelling), supported ones only
    target: str | None  # the URL of an asynchronous MDN


@dataclass(frozen=True, slots=True)
class AS2Headers:
    """The header of an AS2 message, checked."""

    as2_from: AS2Name
    as2_to: AS2Name
    message_id: str
    subject: str
    entity: HeaderBlock  # the fields that describe the body: content-type, content-disposition, …, as received
    receipt: ReceiptRequest | None

    @classmethod
    def parse(cls, fields: Collection[tuple[str, str]]) -> "AS2Headers":
        """Read the header of a request; raises AS2HeaderMissing. `check` judges the requested receipt later."""
        header = _collect(fields)
        for name in ("as2-from", "as2-to", "message-id", "content-type"):
            if not header.get(name):
                raise AS2HeaderMissing(f"{name} is missing or empty")
        return cls(
            as2_from=AS2Name.parse(header["as2-from"]),
            as2_to=AS2Name.parse(header["as2-to"]),
            message_id=header["message-id"],
            subject=header.get("subject", ""),
            entity=_entity(fields),
            receipt=_receipt_request(header),
        )

    def check(self) -> None:
        """Raise the errors that an MDN can report: AS2MessageIDInvalid, or an error of the requested receipt."""
        if len(self.message_id) > MAX_MESSAGE_ID:
            raise AS2MessageIDInvalid(f"{len(self.message_id)} characters")
        if not _ONE_ID.fullmatch(self.message_id):
            raise AS2MessageIDInvalid("it can be read in two ways")
        if isinstance(self.receipt, RefusedReceiptRequest):
            raise self.receipt.error


def _entity(fields: Iterable[tuple[str, str]]) -> HeaderBlock:
    """The header block of the body as a MIME entity; Content-Length is HTTP's alone."""
    named = [(name, value.strip(_BLANKS)) for name, value in fields if _describes_body(name.lower())]
    lines = "".join(f"{name}: {value}\r\n" for name, value in named)
    first = {name.lower(): value for name, value in reversed(named)}
    return HeaderBlock(f"{lines}\r\n".encode("latin-1", "replace"), first)


def _describes_body(name: str) -> bool:
    return name.startswith("content-") and name != "content-length"


@dataclass(frozen=True, slots=True)
class RefusedReceiptRequest(ReceiptRequest):
    """A receipt was required in a way that we cannot meet; it gets `failed` (RFC 4130, section 7.5.3)."""

    error: AS2MICAlgUnsupported | AS2ReceiptFormatUnsupported


def _collect(fields: Iterable[tuple[str, str]]) -> dict[str, str]:
    header: dict[str, str] = {}
    for name, value in fields:
        name = name.lower()
        if name in header and name in _SINGLE:
            raise AS2HeaderMissing(f"{name} appears more than once")
        header.setdefault(name, value.strip(_BLANKS))
    return header


def _receipt_request(header: Mapping[str, str]) -> ReceiptRequest | None:
    """Any Disposition-Notification-To asks for an MDN, whatever its value (RFC 4130, section 7.3)."""
    if "disposition-notification-to" not in header:
        return None
    target = header.get("receipt-delivery-option") or None
    options = _options(header.get("disposition-notification-options", ""))
    protocol = options.get("signed-receipt-protocol")
    micalg = options.get("signed-receipt-micalg")
    signed = protocol is not None or micalg is not None
    algorithms = _supported(micalg.values) if micalg else ()
    if protocol and protocol.required and not _knows_pkcs7(protocol):
        error = AS2ReceiptFormatUnsupported(receipt_options=", ".join(protocol.values))
        return RefusedReceiptRequest(False, algorithms, target, error)
    if micalg and micalg.required and not algorithms:
        unsupported = AS2MICAlgUnsupported(receipt_options=", ".join(micalg.values))
        return RefusedReceiptRequest(signed, (), target, unsupported)
    return ReceiptRequest(signed and (protocol is None or _knows_pkcs7(protocol)), algorithms, target)


@dataclass(frozen=True, slots=True)
class _Option:
    required: bool
    values: tuple[str, ...]


def _options(text: str) -> dict[str, _Option]:
    """Disposition-Notification-Options as products write them: any case, order, blanks, quotes, importance or none."""
    options = {}
    for parameter in text.split(";"):
        name, equals, rest = parameter.partition("=")
        values = [value.strip(" \t\"'") for value in rest.split(",")]
        importance = {"required", "optional"} & {value.lower() for value in values}
        kept = tuple(value for value in values if value and value.lower() not in ("required", "optional"))
        if equals:
            options[name.strip(" \t\"'").lower()] = _Option("required" in importance, kept)
    return options


def _knows_pkcs7(option: _Option) -> bool:
    return any(value.lower() in ("pkcs7-signature", "pkcs-7-signature") for value in option.values)


def _supported(labels: Iterable[str]) -> tuple[tuple[str, str], ...]:
    known = ((name, label) for label in labels if (name := algorithm_of(label)))
    return tuple((name, label if _LABEL.fullmatch(label) else DEFAULT_LABELS[name]) for name, label in known)


def choose_mic(receipt: ReceiptRequest | None, signature_digest: str | None) -> tuple[str, str]:
    """The MIC's algorithm and its spelling (RFC 4130, section 7.4.3).

    Signed message: the signature's digest if the options list it or list nothing, otherwise the first one listed.
    Unsigned message: the first one listed, otherwise SHA-256.
    """
    wished = receipt.algorithms if receipt else ()
    default = signature_digest or "sha256"
    if not wished:
        return default, DEFAULT_LABELS[default]
    if signature_digest:
        return next((each for each in wished if each[0] == signature_digest), wished[0])
    return wished[0]
