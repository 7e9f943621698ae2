"""The description of a message of the test partner: its documents, its layers, and the receipt that it requests."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from cryptography.hazmat.primitives.asymmetric import ec, rsa

from mtlsd.as2.cms.encrypt import ENCRYPT_ALGORITHMS, KEY_ALGORITHMS
from mtlsd.as2.cms.sign import Padding
from mtlsd.as2.mic import DIGESTS
from mtlsd.partners.partner_toml import DEFAULT_VERSION
from mtlsd.pki.certificate import Certificate
from mtlsd.pki.key_pair import KeyPair

_MEDIA_TYPE = re.compile(r"[\w!#$&^.+-]+/[\w!#$&^.+-]+[ \t]*(?:;|\Z)", re.ASCII)  # RFC 2045, section 5.1

MDNRequest = Literal["none", "unsigned", "signed"]


class Compression(StrEnum):
    """Whether a message is compressed before or after it is signed; without a signature, both are the same."""

    NONE = "none"
    BEFORE = "before"
    AFTER = "after"


@dataclass(frozen=True, slots=True)
class Document:
    """A document, its media type, and the file name that is sent to the receiver."""

    data: bytes
    content_type: str
    filename: str


@dataclass(frozen=True, slots=True)
class Signing:
    """The signer's key pair, RSA or EC; `digest` is one of `DIGESTS`. Opaque: the content is inside the signature."""

    pair: KeyPair
    digest: str = "sha256"
    rsa_padding: Padding = Padding.PKCS1V15
    opaque: bool = False


@dataclass(frozen=True, slots=True)
class Encryption:
    """The recipient and the algorithms: see `seal`."""

    recipient: Certificate
    cipher: str = "aes256-cbc"
    key_algorithm: str | None = None


@dataclass(frozen=True, slots=True)
class Draft:
    """A message to be composed: its documents, its layers, and the receipt that it asks for.

    Several documents are sent as one multipart/related (RFC 6362). `micalg` is the digest requested for the MIC of a
    signed receipt; `receipt_url` requests an asynchronous receipt. `product` is sent in AS2 1.3 only.
    """

    as2_from: str
    as2_to: str
    message_id: str
    documents: tuple[Document, ...]
    subject: str = "AS2 message"
    signing: Signing | None = None
    compression: Compression = Compression.NONE
    encryption: Encryption | None = None
    mdn: MDNRequest = "signed"
    micalg: str = "sha256"
    receipt_url: str | None = None
    version: str = DEFAULT_VERSION
    product: str = "mtlsd"


def check(draft: Draft) -> None:
    """Raise ValueError if no message can be built from this draft."""
    types = [each.content_type for each in draft.documents]
    _check_values(draft.message_id, *types, *filter(None, [draft.receipt_url]))
    for each in types:
        if not _MEDIA_TYPE.match(each):
            raise ValueError(f"not a content type, such as application/edifact: {each!r}")
    names = (each.filename for each in draft.documents)
    _check_values(draft.as2_from, draft.as2_to, *filter(None, [draft.subject]), *names, any_language=True)
    _check_name(draft.micalg, DIGESTS, "digest")
    if draft.signing:
        _check_name(draft.signing.digest, DIGESTS, "digest")
        _check_key(draft.signing)
    if draft.encryption:
        _check_name(draft.encryption.cipher, ENCRYPT_ALGORITHMS, "content encryption")
        _check_name(draft.encryption.key_algorithm or "rsa", KEY_ALGORITHMS, "key encryption")


def _check_values(*values: str, any_language: bool = False) -> None:
    for each in values:
        if not each or not each.isprintable() or not (any_language or each.isascii()):
            raise ValueError(f"not the value of a header field: {each!r}")


def _check_name(algorithm: str, known: Collection[str], kind: str) -> None:
    if algorithm not in known:
        raise ValueError(f"unknown {kind} algorithm: {algorithm}")


def _check_key(signing: Signing) -> None:
    key = signing.pair.private_key
    if isinstance(key, ec.EllipticCurvePrivateKey) and signing.rsa_padding is Padding.PSS:
        raise ValueError("RSASSA-PSS needs an RSA key, but this is an EC key")
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise ValueError("AS2 needs an RSA or an EC key")
