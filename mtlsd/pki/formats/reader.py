"""Reads a certificate file of any format: certificates, keys, and oddities of the file.

The forms of a file are tried from the outside in: known first octets, ZIP, DER, e-mail, JSON, PEM in any spelling, bare
base64. The contents are only parsed, and nothing in them is trusted. Every error is a CertificateUnreadable whose text
tells what the file is and what to do.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from mtlsd.pki.ber import first_value
from mtlsd.pki.certificate import (
    MAX_RSA_BITS,
    UNREADABLE,
    Certificate,
    CertificateUnreadable,
    PrivateKeyPresent,
    is_costly,
)
from mtlsd.pki.formats import detect, pem, pkcs7, pkcs12
from mtlsd.pki.formats.budget import MAX_DEPTH, Allowance
from mtlsd.pki.formats.containers import Part, email_parts, is_email, json_texts, zip_members
from mtlsd.pki.formats.detect import PRIVATE_KEY, Shape, cut_short, shape_of
from mtlsd.pki.formats.pem import Block

EMPTY = "empty"
SEVERAL = "has several values in one PEM block"
COSTLY = f"an RSA key of more than {MAX_RSA_BITS} bits, or with a public exponent of 2**32 or more: use a smaller one"
IGNORED_LABELS: Final = {"EC PARAMETERS", "DH PARAMETERS", "X9.42 DH PARAMETERS"}
CRL_LABEL: Final = "X509 CRL"
LABELS: Final = {
    "CERTIFICATE REQUEST": detect.REQUEST,
    "NEW CERTIFICATE REQUEST": detect.REQUEST,
    CRL_LABEL: detect.CRL,
    "PUBLIC KEY": detect.PUBLIC_KEY,
    "RSA PUBLIC KEY": detect.PUBLIC_KEY,
    "SSH2 PUBLIC KEY": detect.SSH,
}


@dataclass(frozen=True, slots=True)
class PrivateKeyFound:
    """A private key, in PEM or DER, as in the file; it may be encrypted or damaged."""

    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Contents:
    """The contents of one file."""

    form: str  # such as "PEM" or "PKCS#12"
    certificates: tuple[Certificate, ...] = ()  # in the order of the file, each once
    keys: tuple[PrivateKeyFound, ...] = ()
    remarks: tuple[str, ...] = ()  # odd spellings; each continues "the file …"
    others: tuple[str, ...] = ()  # other contents, which are not used, one sentence each
    lists: tuple[bytes, ...] = ()  # revocation lists in DER, if they are asked for; they may be damaged


def read_contents(data: bytes, password: str | None = None) -> Contents:
    """Read a file of any form; raises CertificateUnreadable if it holds neither a certificate nor a key.

    `password` opens PKCS#12; without one, the empty password is tried. Damage is never ignored: if one certificate of a
    bundle cannot be read, the whole bundle is refused.
    """
    reader = _Reader(password)
    reader.read(data)
    found = reader.contents()
    if reader.damage:
        raise reader.damage[0]
    if not found.certificates and not found.keys:
        raise CertificateUnreadable(found.others[0] if found.others else detect.UNKNOWN)
    return found


def read_certificates(data: bytes, password: str | None = None) -> tuple[Certificate, ...]:
    """The certificates in a file of any form, at least one; raises CertificateUnreadable, also for a private key."""
    return read_public(data, password).certificates


def read_public(data: bytes, password: str | None = None, *, lists: bool = False) -> Contents:
    """Read a file that somebody else made; raises CertificateUnreadable, first for a private key.

    It must hold a certificate or, with `lists`, a revocation list.
    """
    reader = _Reader(password, keys=False, lists=lists)
    reader.read(data)
    found = reader.contents()
    if found.keys:  # before any other error, because it is urgent
        raise PrivateKeyPresent(PRIVATE_KEY + (detect.WITHOUT_KEY if reader.holds_certificates else ""))
    if reader.damage:
        raise reader.damage[0]
    if not found.certificates and not found.lists:
        raise CertificateUnreadable(found.others[0] if found.others else detect.UNKNOWN)
    return found


class _Reader:
    """Collects the contents of one file.

    `keys`: whether to read private keys, or only to detect them. `lists`: whether to return revocation lists, or only
    to name them.
    """

    def __init__(self, password: str | None, *, keys: bool = True, lists: bool = False) -> None:
        self.damage: list[CertificateUnreadable] = []
        self._password = password
        self._wants_keys = keys
        self._wants_lists = lists
        self._allowance = Allowance()
        self._certificates: dict[Certificate, None] = {}
        self._keys: list[PrivateKeyFound] = []
        self._lists: dict[bytes, None] = {}
        self._remarks: list[str] = []
        self._others: list[str] = []
        self._forms: list[str] = []
        self._container = ""
        self._has_keystore = False

    def contents(self) -> Contents:
        return Contents(
            form=self._form(),
            certificates=tuple(self._certificates),
            keys=tuple(self._keys),
            remarks=tuple(dict.fromkeys(self._remarks)),
            others=tuple(dict.fromkeys(self._others)),
            lists=tuple(self._lists),
        )

    @property
    def holds_certificates(self) -> bool:
        """Whether there are certificates beside the keys; a keystore with a key has its certificate."""
        return self._has_keystore or bool(self._certificates)

    def _form(self) -> str:
        inside = ", ".join(dict.fromkeys(self._forms)) or "unknown"
        return f"{inside} in {self._container}" if self._container else inside

    def read(self, data: bytes, depth: int = 0) -> None:
        try:
            self._read(data, depth)
        except CertificateUnreadable as error:
            self.damage.append(error)

    def _read(self, data: bytes, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise CertificateUnreadable("too many archives inside each other: unpack them yourself")
        if (der := pem.plain_certificate(data)) is not None:
            self._forms.append("PEM")
            self._plain_certificate(der)
        elif not data.strip():
            self._others.append(EMPTY)
        elif sentence := detect.magic(data):
            self._others.append(sentence)
        elif data.startswith(detect.ZIP):
            self._container = "ZIP"
            self._parts(zip_members(data, self._allowance), depth)
        elif data.startswith(detect.DER) and self._is_der(data):
            self._der_file(data)
        else:
            self._text(data, depth)

    # --- Text -------------------------------------------------------------------------------------------

    def _text(self, data: bytes, depth: int) -> None:
        raw = pem.text_of(data, self._remarks)
        if raw is None:
            self._others.append(detect.UNKNOWN)
        elif is_email(raw):
            self._container = "e-mail"
            self._parts(email_parts(data, self._allowance), depth)
        elif (parts := json_texts(raw, self._allowance)) is not None:
            self._container = "JSON"
            self._parts(parts, depth)
        else:
            self._plain_text(pem.plain(raw, self._remarks), depth)

    def _plain_text(self, text: str, depth: int) -> None:
        blocks = pem.blocks_in(text, self._remarks)
        for block in blocks:
            self._block(block)
        if blocks:
            return
        octets = pem.bare_base64(text, self._remarks)
        if octets is None:
            self._others.append(_looks_like(text))
        else:
            self._container = "base64"
            self._allowance.unpack(len(octets))
            self._read(octets, depth + 1)

    def _block(self, block: Block) -> None:
        self._forms.append("PEM")
        if block.is_private_key:
            self._key(block.pem)
        elif block.label.startswith("PGP "):
            self._others.append(detect.PGP)
        elif block.label in LABELS and not (self._wants_lists and block.label == CRL_LABEL):
            self._others.append(LABELS[block.label])
        elif block.label not in IGNORED_LABELS:
            self._certificate_block(block)

    def _certificate_block(self, block: Block) -> None:
        if block.missing:
            line = f"-----{block.missing} {block.label}-----"
            self.damage.append(CertificateUnreadable(f"incomplete: the line {line} is missing"))
            return
        remarks: list[str] = []
        try:
            der = pem.octets_in(block.body, remarks)
            if block.label == CRL_LABEL:
                self._lists[der] = None
                self._remarks += remarks
            elif "CERTIFICATE" in block.label or shape_of(der) is not Shape.OTHER:
                self._values(der)
                self._remarks += remarks
            else:
                self._others.append(f"a PEM block of {block.label}, not a certificate")
        except CertificateUnreadable as error:
            self.damage.append(error)

    def _plain_certificate(self, der: bytes) -> None:
        try:
            self._certificate(der)
        except CertificateUnreadable:
            self._values(der)  # this finds out what it is instead

    def _values(self, der: bytes) -> None:
        """Read the value in a PEM block, or several values that somebody joined: no key or certificate is skipped."""
        values = _joined(der)
        if len(values) > 1:
            self._remarks.append(SEVERAL)
        for value in values:
            self._der(value)

    # --- DER --------------------------------------------------------------------------------------------

    def _is_der(self, data: bytes) -> bool:
        """Whether the data are DER and not text that begins with the digit zero."""
        return shape_of(data) is not Shape.OTHER or cut_short(data) is not None or not data[:64].isascii()

    def _der_file(self, data: bytes) -> None:
        """Read one value after another; only a line end may follow the last one."""
        if shape_of(data) not in {Shape.PKCS7, Shape.PKCS12}:
            self._forms.append("DER")
        while data.startswith(detect.DER):
            try:
                value = first_value(data).whole
            except ValueError:
                break
            if shape_of(value) is Shape.OTHER:
                break
            self._der(value)
            data = data[len(value) :]
        if data.strip(b"\r\n\x1a"):
            self.damage.append(self._unreadable(data))

    def _unreadable(self, data: bytes) -> CertificateUnreadable:
        if words := cut_short(data):
            return CertificateUnreadable(words)
        try:
            Certificate.from_der(data)
        except CertificateUnreadable as error:
            return error
        return CertificateUnreadable(detect.UNKNOWN)

    def _der(self, der: bytes) -> None:
        match shape_of(der):
            case Shape.PKCS7:
                self._forms.append("PKCS#7")
                for each in pkcs7.certificates_in(der):
                    self._certificate(each)
            case Shape.PKCS12:
                self._forms.append("PKCS#12")
                self._keystore(der)
            case Shape.PRIVATE_KEY | Shape.ENCRYPTED_KEY:
                self._key(der)
            case Shape.CRL if self._wants_lists:
                self._lists[der] = None
            case Shape.REQUEST | Shape.CRL | Shape.PUBLIC_KEY as shape:
                self._others.append(detect.SENTENCES[shape])
            case _:
                self._certificate(_without_trust(der))

    def _certificate(self, der: bytes) -> None:
        self._allowance.certificate()
        certificate = Certificate.from_der(der)
        self._certificates[_affordable(certificate)] = None

    def _keystore(self, data: bytes) -> None:
        if not self._wants_keys and pkcs12.holds_key(data):
            self._key(b"")
            self._has_keystore = True
            return
        store = pkcs12.read_pkcs12(data, self._password, self._allowance)
        for each in store.certificates:
            self._certificate(each)
        self._keys += map(PrivateKeyFound, store.keys)

    def _key(self, data: bytes) -> None:
        self._allowance.key()
        self._keys.append(PrivateKeyFound(data))

    # --- Containers -------------------------------------------------------------------------------------

    def _parts(self, parts: Iterable[Part], depth: int) -> None:
        """Read each part; a part that is not a certificate is usually not meant to be one."""
        for part in parts:
            inner = _Reader(self._password, keys=self._wants_keys, lists=self._wants_lists)
            inner._allowance = self._allowance
            if part.data is None:
                self._others.append(f"{part.name}: {part.refusal}")
                continue
            inner.read(part.data, depth + 1)
            self._take(inner, part.name)

    def _take(self, inner: "_Reader", name: str) -> None:
        found = inner.contents()
        self._certificates |= dict.fromkeys(found.certificates)
        self._keys += found.keys
        self._has_keystore |= inner._has_keystore
        self._lists |= dict.fromkeys(found.lists)
        self._remarks += found.remarks
        self._others += (f"{name}: {each}" for each in found.others)
        self.damage += (each.inside(name) for each in inner.damage)
        if found.certificates or found.keys or found.lists:
            self._forms.append(found.form)


def _joined(der: bytes) -> list[bytes]:
    """The values that these octets are; OpenSSL's settings for trust stay with their certificate."""
    values: list[bytes] = []
    while True:
        try:
            value = first_value(der).whole
            rest = der[len(value) :]
            has_another = bool(rest) and shape_of(first_value(rest).whole) is not Shape.OTHER
        except ValueError:
            has_another = False
        if not has_another:
            return [*values, der]
        values.append(value)
        der = rest


def _without_trust(der: bytes) -> bytes:
    """The certificate of a TRUSTED CERTIFICATE, which is followed by OpenSSL's own settings."""
    try:
        first = first_value(der).whole
        rest = der[len(first) :]
        are_settings = rest.startswith(detect.DER) and first_value(rest).whole == rest
    except ValueError as error:
        raise CertificateUnreadable(cut_short(der) or f"not a readable certificate: {error}") from error
    return first if are_settings else der


def _affordable(certificate: Certificate) -> Certificate:
    try:
        costly = is_costly(certificate.x509.public_key())
    except UNREADABLE:  # a key of an unknown kind is reported when it is used
        costly = False
    if costly:
        raise CertificateUnreadable(f"{certificate.subject}: {COSTLY}")
    return certificate


def _looks_like(text: str) -> str:
    """The probable type of a text without a certificate."""
    start = text.lstrip().lower()
    if start.startswith(("<!doctype html", "<html", "<head", "<body")):  # no code: of web pages
        return detect.HTML
    if start.startswith("<"):
        return "an XML document, not a certificate: ask for the certificate as a file"
    if start.startswith(("ssh-", "ecdsa-sha2-", "sk-ssh-")):
        return detect.SSH
    if start.startswith(("{", "[")):
        return "JSON, or a similar format, without a certificate"
    return detect.UNKNOWN
