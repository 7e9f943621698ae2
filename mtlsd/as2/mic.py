"""The message integrity check (RFC 4130, section 7.3): which octets are hashed, and in which form.

Products change line ends after signing. So an entity is hashed as received and also in its canonical forms; the hash
of a form is forked at the first octet that differs. The MIC is over the form whose digest the signature confirms.

If a message is not signed, products do not agree which of its octets are hashed. `hashed` says what each profile
means; signed messages are the same in all of them.
"""

import base64
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from mtlsd.as2.mime.parser import HeaderBlock
from mtlsd.partners.partner_toml import MICProfile

if TYPE_CHECKING:
    from _hashlib import HASH  # hashlib has no public name for this type

DIGESTS = ("sha1", "sha256", "sha384", "sha512")  # the names of hashlib, and ours

MENDELSON_DIGEST = "sha1"  # of unsigned messages, whatever was asked for

_LINE_ENCODINGS = ("7bit", "8bit")


class Form(StrEnum):
    """The form in which the octets were hashed."""

    RAW = "raw"
    HEADER_CRLF = "header-crlf"
    FULL_CRLF = "full-crlf"


@dataclass(frozen=True, slots=True)
class MIC:
    """A digest, our name of its algorithm, and the name as the partner spells it (`label`)."""

    digest: bytes
    algorithm: str
    label: str

    @property
    def value(self) -> str:
        return base64.b64encode(self.digest).decode("ascii")

    def __str__(self) -> str:
        return f"{self.value}, {self.label}"


class Hashed(StrEnum):
    """What the MIC of an unsigned message is over."""

    BODY = "the body as received"
    BODY_WITH_FIELDS = "the body, with its Content-* fields as received"
    ENTITY = "the entity, with its header"
    DOCUMENT = "the document alone, decompressed and transfer-decoded"


def hashed(profile: MICProfile, layers: str) -> Hashed:
    """What the MIC of an unsigned message with these layers is over (RFC 4130, section 7.3.1; RFC 5402, section 4)."""
    if profile is MICProfile.MENDELSON or (profile is MICProfile.OPENAS2 and layers == "c"):
        return Hashed.DOCUMENT
    if layers:
        return Hashed.ENTITY
    return Hashed.BODY_WITH_FIELDS if profile is MICProfile.WITH_HEADERS else Hashed.BODY


class FormDigests:
    """Hashes one entity in all its candidate forms, in one pass."""

    def __init__(self, algorithms: Iterable[str]) -> None:
        self._forms: dict[Form, list[HASH]] = {Form.RAW: [_new(name) for name in algorithms]}
        self._by_line = False
        self._after_cr = False

    def header(self, block: HeaderBlock) -> None:
        """Take the header block, whose transfer encoding decides whether the body consists of lines."""
        self._by_line = block.transfer_encoding() in _LINE_ENCODINGS
        canonical = _with_crlf(block.raw)
        if canonical != block.raw:
            self._fork(Form.HEADER_CRLF, Form.RAW)
            self._update(Form.HEADER_CRLF, canonical)
        self._update(Form.RAW, block.raw)

    def body(self, data: bytes) -> None:
        """Take some octets of the body."""
        if self._by_line:
            self._body_lines(data)
        self._update(Form.RAW, data)
        if Form.HEADER_CRLF in self._forms:
            self._update(Form.HEADER_CRLF, data)

    def _body_lines(self, data: bytes) -> None:
        canonical = _canonical(data, after_cr=self._after_cr)
        self._after_cr = data.endswith(b"\r")
        if canonical is not data and Form.FULL_CRLF not in self._forms:
            self._fork(Form.FULL_CRLF, self._most_canonical())
        if Form.FULL_CRLF in self._forms:
            self._update(Form.FULL_CRLF, canonical)

    def results(self) -> dict[Form, dict[str, bytes]]:
        """The digests by form and algorithm."""
        return {form: {each.name: each.digest() for each in hashes} for form, hashes in self._forms.items()}

    def canonical(self, algorithm: str) -> bytes:
        """The digest of the most canonical form, for an unsigned message."""
        return self.results()[self._most_canonical()][algorithm]

    def _most_canonical(self) -> Form:
        return next(form for form in (Form.FULL_CRLF, Form.HEADER_CRLF, Form.RAW) if form in self._forms)

    def _fork(self, form: Form, source: Form) -> None:
        self._forms[form] = [each.copy() for each in self._forms[source]]

    def _update(self, form: Form, data: bytes) -> None:
        for each in self._forms[form]:
            each.update(data)


class UnsignedDigests:
    """Hashes a message that is not signed, in the ways that are asked for."""

    def __init__(self, ways: Iterable[Hashed], algorithms: Iterable[str], block: HeaderBlock) -> None:
        names = tuple(algorithms)
        self._digests = {way: FormDigests(names) for way in ways}
        self._encoded = [each for way, each in self._digests.items() if way is not Hashed.DOCUMENT]
        self._document = self._digests.get(Hashed.DOCUMENT)
        for way, digests in self._digests.items():
            if way in (Hashed.BODY_WITH_FIELDS, Hashed.ENTITY):
                digests.header(block)

    def encoded(self, data: bytes) -> None:
        """Take some octets of the body in its transfer encoding."""
        for each in self._encoded:
            each.body(data)

    def decoded(self, data: bytes) -> None:
        """Take some octets of the document."""
        if self._document:
            self._document.body(data)

    def digest(self, way: Hashed, algorithm: str) -> bytes:
        """The digest of what was hashed in this way, in its most canonical form."""
        return self._digests[way].canonical(algorithm)


def _canonical(data: bytes, *, after_cr: bool) -> bytes:
    """The data with CRLF instead of each lone LF; the same object if there is none."""
    first_is_paired = after_cr and data.startswith(b"\n")
    if data.count(b"\n") == data.count(b"\r\n") + first_is_paired:
        return data
    return b"\n" + _with_crlf(data[1:]) if first_is_paired else _with_crlf(data)


def _with_crlf(data: bytes) -> bytes:
    return data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def _new(algorithm: str) -> "HASH":
    return hashlib.new(algorithm, usedforsecurity=algorithm != "sha1")
