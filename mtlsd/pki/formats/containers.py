"""Unpacks ZIP archives, e-mails and JSON that contain certificates, within an allowance."""

import email
import json
import re
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO

from mtlsd.pki.certificate import CertificateUnreadable
from mtlsd.pki.formats.budget import MAX_PARTS, Allowance

MAX_MULTIPARTS = 20  # of one e-mail, nested or not
MAX_NESTING = 20  # of JSON
ENCRYPTED = 0x1  # in the flags of a ZIP member
METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
SIGNATURES = {"application/pkcs7-signature", "application/x-pkcs7-signature", "application/pkcs7-mime",
              "application/x-pkcs7-mime", "application/pgp-signature"}  # fmt: skip  # of the e-mail, not attachments
HEADER_NAMES = "from|to|cc|date|received|return-path|delivered-to|mime-version|message-id|subject|content-type|reply-to"

_HEADER = re.compile(rf"(?im)^(?:{HEADER_NAMES}):[ \t]")
_BASE64_OF_DER = re.compile(r"\s*MI[A-Za-z0-9+/=\s\\]{60,}\Z")


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a container and its name; without data if the part cannot be read."""

    name: str
    data: bytes | None
    refusal: str = ""


def zip_members(data: bytes, allowance: Allowance) -> Iterator[Part]:
    """The files in an archive; raises CertificateUnreadable if the archive is damaged or too large."""
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            if len(archive.infolist()) > MAX_PARTS:
                raise CertificateUnreadable(f"a ZIP archive with more than {MAX_PARTS} files: unpack it yourself")
            for info in archive.infolist():
                if not info.is_dir() and not info.filename.startswith("__MACOSX/"):
                    yield _member(archive, info, allowance)
    except (zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError) as error:
        raise CertificateUnreadable(f"a damaged ZIP archive: {error}") from error


def is_email(text: str) -> bool:
    """Whether the text begins with the header of a message (RFC 5322)."""
    head = re.split(r"\n[ \t]*\n", text.lstrip()[:20_000].replace("\r\n", "\n"), maxsplit=1)[0]
    first = head.partition("\n")[0]
    begins = first.startswith("From ") or re.match(r"[!-9;-~]+:[ \t]", first)
    return bool(begins) and len(set(map(str.lower, _HEADER.findall(head)))) > 1


def email_parts(data: bytes, allowance: Allowance) -> Iterator[Part]:
    """The parts of an e-mail that may be certificates, without the signature of the e-mail itself."""
    if data.lower().count(b"boundary") > MAX_MULTIPARTS:
        raise CertificateUnreadable("an e-mail with too many parts: save its attachment as a file")
    try:
        message = email.message_from_bytes(data)
        for number, part in enumerate(message.walk(), 1):
            if part.is_multipart() or part.get_content_type() in SIGNATURES:
                continue
            content = part.get_payload(decode=True)
            octets = content if isinstance(content, bytes) else b""
            allowance.unpack(len(octets))
            yield Part(f"part {number} of the e-mail ({part.get_content_type()})", octets)
    except (RecursionError, LookupError, ValueError) as error:
        if isinstance(error, CertificateUnreadable):
            raise
        raise CertificateUnreadable("an e-mail that cannot be parsed: save its attachment as a file") from error


def json_texts(text: str, allowance: Allowance) -> Iterator[Part] | None:
    """The strings in a JSON document that look like certificates or keys; None if the text is not JSON."""
    if text.lstrip()[:1] not in {"{", "[", '"'}:
        return None
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return _texts(document, "", allowance, 0)


def _texts(value: object, name: str, allowance: Allowance, depth: int) -> Iterator[Part]:
    if isinstance(value, str):
        if "BEGIN" in value or _BASE64_OF_DER.match(value):
            data = value.encode("utf-8", "replace")
            allowance.unpack(len(data))
            yield Part(name or "the text", data)
    elif depth > MAX_NESTING:
        raise CertificateUnreadable(f"JSON of more than {MAX_NESTING} levels")
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from _texts(each, f"{name}.{key}" if name else str(key), allowance, depth + 1)
    elif isinstance(value, list):
        for number, each in enumerate(value):
            yield from _texts(each, f"{name}[{number}]", allowance, depth + 1)


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, allowance: Allowance) -> Part:
    if info.flag_bits & ENCRYPTED:
        return Part(info.filename, None, "encrypted with a password: unpack it yourself")
    if info.compress_type not in METHODS:
        return Part(info.filename, None, "packed with an unusual method: unpack it yourself")
    with archive.open(info) as member:
        content = member.read(allowance.octets + 1)  # the size in the archive's directory may be wrong
    allowance.unpack(len(content))
    return Part(info.filename, content)
