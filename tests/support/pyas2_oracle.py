"""pyas2lib as a sender, a receiver and an MDN maker, and `openssl cms` as a judge, for the tests."""

import datetime
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from email import message_from_bytes
from email.message import Message
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, cast

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)

from mtlsd.as2.mdn import oscrypto_standin
from mtlsd.errors import AS2SignatureBad

with oscrypto_standin.install():
    from pyas2lib import as2 as as2

Headers = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Identity:
    """A made-up company: its AS2 id, RSA key and self-signed certificate."""

    as2_id: str
    private_key: rsa.RSAPrivateKey
    certificate: x509.Certificate

    @property
    def certificate_pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def private_key_pem(self) -> bytes:
        return self.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def pkcs12(self, password: str) -> bytes:
        secret = BestAvailableEncryption(password.encode())
        return pkcs12.serialize_key_and_certificates(None, self.private_key, self.certificate, None, secret)


@cache
def identity(as2_id: str) -> Identity:
    """Make the identity, once a process."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, as2_id)])
    start = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=36500))
        .sign(key, hashes.SHA256())
    )
    return Identity(as2_id, key, certificate)


def organization(own: Identity, as2_id: str | None = None) -> Any:
    """Make what pyas2lib knows of itself, with one key for signing and decryption."""
    made = as2.Organization(as2_name=as2_id or own.as2_id, domain="invalid")
    certificate = oscrypto_standin.load_certificate(own.certificate_pem)
    made.sign_key = made.decrypt_key = (own.private_key, certificate)
    return made


def partner(other: Identity, as2_id: str | None = None, **settings: object) -> Any:
    """Make what pyas2lib knows of its partner; `settings` are those of `pyas2lib.Partner`."""
    pem = other.certificate_pem
    settings = {"verify_cert": pem, "encrypt_cert": pem, "validate_certs": False} | settings
    return as2.Partner(as2_name=as2_id or other.as2_id, **settings)


CIPHERS = {
    "3des": "tripledes_192_cbc",
    "aes128-cbc": "aes_128_cbc",
    "aes192-cbc": "aes_192_cbc",
    "aes256-cbc": "aes_256_cbc",
}


@dataclass(frozen=True, slots=True)
class Sent:
    """A message of pyas2lib; `mic` is None where it is not signed: pyas2lib has none then."""

    headers: tuple[tuple[str, str], ...]
    body: bytes
    mic: str | None


def pyas2_build(
    payload: bytes,
    us: Identity,
    them: Identity,
    *,
    sign: str | None = "sha256",
    encrypt: str | None = "aes128-cbc",
    compress: bool = False,
    mdn: Literal["none", "unsigned", "signed"] = "signed",
    content_type: str = "application/octet-stream",
    message_id: str = "<1.2.3@us.example>",
) -> Sent:
    """Have pyas2lib build a message; it reads the clock for `Date` and the signing time."""
    to = partner(
        them,
        compress=compress,
        sign=sign is not None,
        digest_alg=sign or "sha256",
        encrypt=encrypt is not None,
        enc_alg=CIPHERS[encrypt] if encrypt else None,
        mdn_mode=None if mdn == "none" else "SYNC",
        mdn_digest_alg=(sign or "sha256") if mdn == "signed" else None,
    )
    message = as2.Message(organization(us), to)
    message.build(
        payload,
        filename="order.edi",
        subject="Orders",
        content_type=content_type,
        additional_headers={"Message-ID": message_id, "MIME-Version": "1.0"},
        disposition_notification_to=us.as2_id,
        message_id="replaced",
    )
    return Sent(tuple(message.payload.items()), message.content, message.mic.decode() if message.mic else None)


@dataclass(frozen=True, slots=True)
class Received:
    """What pyas2lib made of a message; `error` is the exception that it kept to itself."""

    status: str
    payload: bytes
    mdn_headers: tuple[tuple[str, str], ...]
    mdn_body: bytes
    mic: str | None
    signed: bool
    encrypted: bool
    compressed: bool
    error: Exception | None


def pyas2_parse(headers: Headers, body: bytes, org: Any, from_partner: Any) -> Received:
    """Have pyas2lib receive a message and answer it. No MDN was asked for: its headers are empty."""
    message = as2.Message()
    status, (error, _), mdn = message.parse(_raw(headers, body), find_org_partner_cb=lambda *_: (org, from_partner))
    return Received(
        status=status,
        payload=b"" if error else message.content,
        mdn_headers=tuple(mdn.payload.items()) if mdn else (),
        mdn_body=mdn.content if mdn else b"",
        mic=message.mic.decode() if message.mic else None,
        signed=message.signed,
        encrypted=message.encrypted,
        compressed=message.compressed,
        error=error,
    )


def openssl_verify(headers: Headers, body: bytes, signer: Identity) -> bytes:
    """Return the signed entity of a `multipart/signed`; AS2SignatureBad if no signature of `signer` holds.

    The parts are split here: with -binary, `openssl cms` takes the CR before a boundary for content.
    """
    outer = message_from_bytes(_raw(headers, body, only="content-type"))
    parts = body.split(f"--{outer.get_boundary()}".encode())
    if not outer.is_multipart() or len(parts) != 4:
        raise AS2SignatureBad("not two parts")
    entity = parts[1].removeprefix(b"\r\n").removesuffix(b"\r\n")
    signature = cast("Message", outer.get_payload(1)).get_payload(decode=True)
    pinned = ["-noverify", "-nointern", "-certfile", "certificate.pem"]
    detached = ["-verify", "-binary", "-inform", "DER", "-content", "content", *pinned]
    try:
        return _openssl(detached, cast("bytes", signature), signer, content=entity)
    except subprocess.CalledProcessError as error:
        raise AS2SignatureBad(error.stderr.decode()) from error


def openssl_decrypt(body: bytes, recipient: Identity) -> bytes:
    """Return what an EnvelopedData in DER holds."""
    keys = ["-recip", "certificate.pem", "-inkey", "key.pem"]
    return _openssl(["-decrypt", "-binary", "-inform", "DER", *keys], body, recipient)


def _openssl(arguments: list[str], message: bytes, owner: Identity, content: bytes = b"") -> bytes:
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "certificate.pem").write_bytes(owner.certificate_pem)
        (folder / "key.pem").write_bytes(owner.private_key_pem)
        (folder / "message").write_bytes(message)
        (folder / "content").write_bytes(content)
        command = ["openssl", "cms", *arguments, "-in", "message", "-out", "result"]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        return (folder / "result").read_bytes()


def _raw(headers: Headers, body: bytes, only: str = "") -> bytes:
    lines = [f"{name}: {value}\r\n".encode() for name, value in headers if not only or name.lower() == only]
    return b"".join(lines) + b"\r\n" + body
