"""Who builds the messages of the matrix: pyas2lib, `openssl cms`, and `cryptography`.

Each builds with its own code all that it can; what it cannot is said in `lacks`. The MIC is the sender's own.
"""

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from asn1crypto import cms
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from tests.interop.cells import DIGESTS, Cell, Receipt
from tests.support import messages, pyas2_oracle
from tests.support.daemon import keys
from tests.support.messages import EDI, LABELS, Sent
from tests.support.pyas2_oracle import Identity, openssl_decrypt

DOCUMENT = EDI + b"\x00\xff lone \n and \r, and what looks like a boundary\r\n--signed-1x\r\n"
TARGET = "https://acme.example/mdn?from=EXAMPLE"  # of an asynchronous MDN
CONTENT_TYPE = "application/octet-stream"  # pyas2lib leaves the line ends of no other alone


@dataclass(frozen=True, slots=True)
class Built:
    """A message as it goes over HTTP, and the MIC that its sender expects."""

    sent: Sent
    mic: str

    @property
    def message_id(self) -> str:
        return dict(self.sent.fields)["Message-ID"]


@dataclass(frozen=True, slots=True)
class Peer:
    """One implementation, with what it can build."""

    name: str
    letter: str  # in the tables of docs/interop.md
    digests: frozenset[str | None]
    ciphers: frozenset[str | None]
    compresses_what_is_signed: bool
    build: Callable[[Cell, str], Built]  # the cell, and the Message-ID
    lacks: str

    def builds(self, cell: Cell) -> bool:
        order = self.compresses_what_is_signed or not cell.layers.startswith("sc")
        return order and cell.digest in self.digests and cell.cipher in self.ciphers

    def message(self, cell: Cell) -> Built:
        built = self.build(cell, f"<{cell.id}.{self.letter}@acme.example>")
        if not cell.receipt.is_asynchronous:
            return built
        return replace(
            built, sent=replace(built.sent, fields=(*built.sent.fields, ("Receipt-Delivery-Option", TARGET)))
        )


def identity(name: str) -> Identity:
    """The key pair of this name, as the oracles take it."""
    pair = keys(name)
    assert isinstance(pair.private_key, RSAPrivateKey)
    return Identity(name, pair.private_key, pair.certificate.x509)


def entity() -> bytes:
    return messages.entity(DOCUMENT, CONTENT_TYPE, Content_Disposition='attachment; filename="order.edi"')


def mic(over: bytes, digest: str | None) -> str:
    return base64.b64encode(hashlib.new(digest or "sha256", over).digest()).decode()


# --- openssl cms, cryptography ----------------------------------------------------------------------------------------


def layered(
    cell: Cell, message_id: str, sign: Callable[[bytes, str], bytes], encrypt: Callable[[bytes, str], bytes]
) -> Built:
    """Put the layers around the document; the MIC is over what RFC 4130, section 7.3.1, says."""
    inner = entity()
    over = inner if cell.layers else DOCUMENT
    for layer in cell.layers:
        match layer:
            case "c":
                inner = messages.compress(inner)
            case "s":
                assert cell.digest
                over, inner = inner, _signed(inner, sign(inner, cell.digest), cell.digest)
            case _:
                assert cell.cipher
                inner = enveloped(encrypt(inner, cell.cipher), cell.cipher)
    return Built(addressed(inner, message_id, cell), mic(over, cell.digest))


def _signed(inner: bytes, signature: bytes, digest: str) -> bytes:
    return messages.multipart_signed(inner, signature, micalg=LABELS[digest])


def enveloped(der: bytes, cipher: str = "") -> bytes:
    return messages.smime("authEnveloped-data" if cipher.endswith("gcm") else "enveloped-data", der)


def addressed(inner: bytes, message_id: str, cell: Cell) -> Sent:
    """The message around an entity, with the receipt that the cell asks for."""
    wished = f"required,{LABELS[cell.digest or 'sha256']}" if cell.receipt.is_signed else ""
    return messages.message(inner, message_id=message_id, mdn=None if cell.receipt is Receipt.NONE else wished)


def openssl_sign(content: bytes, digest: str) -> bytes:
    return messages.signed_data_by_openssl(content, keys("ACME"), digest)


def openssl_encrypt(content: bytes, cipher: str) -> bytes:
    name = {"3des": "des3"}.get(cipher, cipher.replace("aes", "aes-"))
    return messages.openssl("-encrypt", f"-{name}", stdin=content, recipient=keys("EXAMPLE"))


def _by_openssl(cell: Cell, message_id: str) -> Built:
    return layered(cell, message_id, openssl_sign, openssl_encrypt)


def _by_cryptography(cell: Cell, message_id: str) -> Built:
    return layered(
        cell,
        message_id,
        lambda content, digest: messages.signed_data(content, keys("ACME"), digest),
        lambda content, cipher: messages.enveloped_data(content, keys("EXAMPLE"), cipher.removesuffix("-cbc")),
    )


# --- pyas2lib ---------------------------------------------------------------------------------------------------------


def _by_pyas2lib(cell: Cell, message_id: str) -> Built:
    us, them = identity("ACME"), identity("EXAMPLE")
    built = pyas2_oracle.pyas2_build(
        DOCUMENT,
        us,
        them,
        sign=cell.digest,
        encrypt=cell.cipher,
        compress="c" in cell.layers,
        mdn=_wished(cell.receipt),
        content_type=CONTENT_TYPE,
        message_id=message_id,
    )
    return Built(Sent(built.headers, built.body), built.mic or _mic_of_unsigned(cell, built))


def _wished(receipt: Receipt) -> Literal["none", "unsigned", "signed"]:
    if receipt is Receipt.NONE:
        return "none"
    return "signed" if receipt.is_signed else "unsigned"


def _mic_of_unsigned(cell: Cell, built: pyas2_oracle.Sent) -> str:
    """pyas2lib has a MIC for what is signed only; this opens its message without our code, and hashes what is in it."""
    inside = built.body
    if "E" in cell.layers:
        inside = openssl_decrypt(inside, identity("EXAMPLE"))
    if "c" in cell.layers:
        der = inside.partition(b"\r\n\r\n")[2] if "E" in cell.layers else inside
        inside = cms.ContentInfo.load(der)["content"].decompressed
    return mic(inside, None)


PEERS = (
    Peer(
        name="pyas2lib",
        letter="P",
        digests=frozenset(DIGESTS),
        ciphers=frozenset({None, "3des", "aes128-cbc", "aes192-cbc", "aes256-cbc"}),
        compresses_what_is_signed=False,
        build=_by_pyas2lib,
        lacks="no AES-GCM; no compression of what is signed; no RSASSA-PSS, RSAES-OAEP or ECDSA; "
        "no MIC of its own for what is not signed",
    ),
    Peer(
        name="openssl cms",
        letter="O",
        digests=frozenset(DIGESTS),
        ciphers=frozenset({None, "3des", "aes128-cbc", "aes192-cbc", "aes256-cbc", "aes128-gcm", "aes256-gcm"}),
        compresses_what_is_signed=True,
        build=_by_openssl,
        lacks="no zlib in the builds of most distributions: CompressedData is made with zlib and asn1crypto",
    ),
    Peer(
        name="cryptography",
        letter="C",
        digests=frozenset({None, "sha256", "sha384", "sha512"}),
        ciphers=frozenset({None, "aes128-cbc", "aes256-cbc"}),
        compresses_what_is_signed=True,
        build=_by_cryptography,
        lacks="no SHA-1, Triple DES, AES-192 or AES-GCM in CMS; no RSAES-OAEP; "
        "no CompressedData: that is made with zlib and asn1crypto; no verification of signatures",
    ),
)
