"""Partners, certificates and keys as one archive: a ZIP with `manifest.json` and the files of `certs/`. Pure.

An archive is hostile until `unpack` has read it: names are checked, sizes and counts are limited, and every member must
have the digest that the manifest gives.
"""

import base64
import io
import json
import lzma
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization.pkcs7 import load_der_pkcs7_certificates

from mtlsd.errors import MtlsdError
from mtlsd.files.reading import MAX_FILE, is_directory, read_file
from mtlsd.pki.ber import SEQUENCE, declared_size
from mtlsd.pki.certificate import UNREADABLE, Certificate

FORMAT, VERSION = "mtlsd-bundle", 1
MANIFEST = "manifest.json"
CONFIGURATION = "virtualhosts.toml"  # for people to read; an import does not use it
KINDS = ("hosts", "organizations", "partners")
MAX_MEMBERS = 200_000
MAX_TOTAL = 512 * 1024 * 1024  # octets of all members
MAX_MANIFEST = 64 * 1024 * 1024
MAX_DEPTH = 3  # nested directories of a unit, with the unit's own: client/next/ of a host

Files = Mapping[str, bytes]  # by path in the unit
Units = Mapping[str, Files]  # by path in certs/: "partners/acme"

_SEGMENT = re.compile(r"(?!\.)[!-.0-~](?:[ -.0-~]{0,126}[!-.0-~])?")  # printable ASCII, no slash
_SETTINGS = {"partner.toml", "organization.toml", "host.toml"}
_LABELS = rb"CERTIFICATE|X509 CERTIFICATE|X509 CRL|PKCS7|CMS"
_BLOCK = re.compile(rb"-----BEGIN (" + _LABELS + rb")-----([A-Za-z0-9+/=\s]*)-----END \1-----")
_BROKEN = (  # the exceptions of zipfile and zlib for bytes that are not an archive
    zipfile.BadZipFile,
    NotImplementedError,
    RuntimeError,
    LookupError,
    ValueError,
    OverflowError,
    EOFError,
    OSError,
    struct.error,
    zlib.error,
    lzma.LZMAError,
)


class BundleRefused(MtlsdError):
    """An archive is not read, or a tree cannot be packed; the text is the reason."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """The content of an archive: the files of each unit, and the paths of the files that were withheld."""

    units: Units
    private_keys: bool
    withheld: tuple[str, ...] = ()  # paths in certs/ of files that may hold a private key
    configuration: bytes = b""
    digests: Mapping[str, str] = field(default_factory=dict)  # of each member, by its name
    manifest_sha256: str = ""


def collect(certs: Path, *, private_keys: bool) -> tuple[dict[str, dict[str, bytes]], tuple[str, ...]]:
    """Read the tree: the files by unit, and the paths of withheld files; raises BundleRefused or FileRefused."""
    units: dict[str, dict[str, bytes]] = {}
    withheld: list[str] = []
    for directory in _unit_directories(certs):
        unit = directory.relative_to(certs).as_posix()
        files = files_of(directory)
        secret = {name for name, data in files.items() if not private_keys and not is_public(name, data)}
        units[unit] = {name: data for name, data in files.items() if name not in secret}
        withheld += sorted(f"{unit}/{name}" for name in secret)
    return units, tuple(withheld)


def files_of(directory: Path) -> dict[str, bytes]:
    """The files of one unit by their path in the unit, without dot-files and backup files of editors.

    Raises FileRefused, also for a link that leads out of the unit.
    """
    if not directory.exists():
        return {}
    return {
        path.relative_to(directory).as_posix(): read_file(path, within=directory).data
        for path in _files_below(directory, MAX_DEPTH)
    }


def is_public(name: str, data: bytes) -> bool:
    """Whether a file certainly holds no secret: settings, or nothing but certificates and revocation lists.

    A PEM file may have only white space around its blocks. Every block is read, because a label proves nothing.
    """
    if b"PRIVATE" in data.upper():
        return False
    if name in _SETTINGS:
        return True
    blocks = _BLOCK.findall(data)
    if not blocks:
        return _is_der(data)
    return not _BLOCK.sub(b"", data).strip() and all(_is_der(_decoded(body)) for _, body in blocks)


def pack(bundle: Bundle, now: datetime, made_by: str = "") -> bytes:
    """The bytes of an archive; raises BundleRefused for a name that an archive cannot have."""
    members = {f"{unit}/{name}": data for unit, files in bundle.units.items() for name, data in files.items()}
    if bundle.configuration:
        members[CONFIGURATION] = bundle.configuration
    for name in members:
        _check_name(name)
    manifest = {
        "format": FORMAT,
        "version": VERSION,
        "made_at": now.isoformat(),
        "made_by": made_by,
        "private_keys": bundle.private_keys,
        "units": sorted(bundle.units),
        "withheld": list(bundle.withheld),
        "members": {name: sha256(data).hexdigest() for name, data in members.items()},
    }
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(MANIFEST, json.dumps(manifest, indent=1))
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return made.getvalue()


def unpack(data: bytes) -> Bundle:
    """Read an archive; raises BundleRefused, whatever the octets."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = _members(archive)
    except _BROKEN as error:
        raise BundleRefused(f"not an archive that can be read: {error}") from error
    if MANIFEST not in members:
        raise BundleRefused(f"there is no {MANIFEST} in it")
    text = members.pop(MANIFEST)
    return _bundle(_manifest(text), members, sha256(text).hexdigest())


# --- Reading ----------------------------------------------------------------------------------------------------------


def _members(archive: zipfile.ZipFile) -> dict[str, bytes]:
    infos = archive.infolist()
    names = {each.filename for each in infos}
    if len(infos) > MAX_MEMBERS or len(names) < len(infos):
        raise BundleRefused("too many members, or two of one name")
    members: dict[str, bytes] = {}
    left = MAX_TOTAL
    for info in infos:
        if info.filename != MANIFEST:
            _check_name(info.filename)
        if names & set(map(str, PurePosixPath(info.filename).parents)):
            raise BundleRefused(f"{info.filename!a}: a directory and a file of one name")
        limit = min(MAX_MANIFEST if info.filename == MANIFEST else MAX_FILE, left)
        with archive.open(info) as file:
            found = file.read(limit + 1)
        if len(found) > limit:
            raise BundleRefused(f"{info.filename!a} is too large, or all of it is")
        left -= len(found)
        members[info.filename] = found
    return members


def _manifest(text: bytes) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BundleRefused(f"{MANIFEST} is not JSON") from error
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise BundleRefused("it is no bundle of mtlsd export")
    if found.get("version") != VERSION:
        raise BundleRefused(f"a bundle of another version than {VERSION}: a newer mtlsd reads it")
    lists = (found.get("units"), found.get("withheld"))
    has_names = all(isinstance(each, list) and all(isinstance(name, str) for name in each) for each in lists)
    if not (has_names and isinstance(found.get("private_keys"), bool) and isinstance(found.get("members"), dict)):
        raise BundleRefused(f"{MANIFEST} is not one of ours")
    return found


def _bundle(manifest: dict[str, Any], members: dict[str, bytes], manifest_sha256: str) -> Bundle:
    digests = {name: sha256(data).hexdigest() for name, data in members.items()}
    if digests != manifest["members"]:
        expected = {(name, str(digest)) for name, digest in manifest["members"].items()}
        wrong = sorted(str(each) for each in {*digests.items()} ^ expected)
        raise BundleRefused(f"the members are not what {MANIFEST} says: {', '.join(wrong[:2])[:500]}")
    configuration = members.pop(CONFIGURATION, b"")
    units: dict[str, dict[str, bytes]] = {}
    for unit in manifest["units"]:
        _check_name(f"{unit}/file")
        units[unit] = {}
    for name, data in members.items():
        kind, unit, rest = name.split("/", 2)
        if f"{kind}/{unit}" not in units:
            raise BundleRefused(f"{name!a} belongs to nothing that {MANIFEST} names")
        units[f"{kind}/{unit}"][rest] = data
    for name in manifest["withheld"]:
        _check_name(name)
    return Bundle(
        units=units,
        private_keys=manifest["private_keys"],
        withheld=tuple(manifest["withheld"]),
        configuration=configuration,
        digests=digests,
        manifest_sha256=manifest_sha256,
    )


def _check_name(name: str) -> None:
    """Raises BundleRefused unless this is a file in `hosts/<name>/`, `organizations/<name>/` or `partners/<name>/`."""
    if name == CONFIGURATION:
        return
    kind, *segments = name.split("/")
    if kind not in KINDS or not 2 <= len(segments) <= 1 + MAX_DEPTH or not all(map(_SEGMENT.fullmatch, segments)):
        raise BundleRefused(f"{name[:200]!a} is no name for a file in certs/")


# --- The tree ---------------------------------------------------------------------------------------------------------


def _unit_directories(certs: Path) -> Iterator[Path]:
    for kind in KINDS:
        for path in sorted((certs / kind).iterdir()) if (certs / kind).is_dir() else ():
            if not path.name.startswith(".") and is_directory(path):
                yield path


def _files_below(directory: Path, depth: int) -> Iterator[Path]:
    for path in sorted(directory.iterdir()):
        if path.name.startswith(".") or path.name.endswith("~"):
            continue
        if not is_directory(path):
            yield path
        elif depth > 1:
            yield from _files_below(path, depth - 1)


def _decoded(body: bytes) -> bytes:
    """The octets of a PEM block; empty if the block is not base64."""
    try:
        return base64.b64decode(b"".join(body.split()), validate=True)
    except ValueError:
        return b""


def _is_der(data: bytes) -> bool:
    """Whether the octets are exactly one certificate, revocation list or PKCS#7 bundle in DER."""
    if data[:1] != bytes([SEQUENCE]) or declared_size(data) != len(data):
        return False  # the reader of PKCS#7 would ignore octets that follow
    for load in (Certificate.from_der, x509.load_der_x509_crl, load_der_pkcs7_certificates):
        try:
            load(data)
        except UNREADABLE:
            continue
        return True
    return False
