"""AS2 messages for the tests, built by others than us: `cryptography`'s PKCS #7, asn1crypto, and `openssl cms`.

`PartnerKeys` is what a partner holds; `build` nests layers around a payload. Every builder works on MIME entities:
bytes with their header.
"""

import base64
import subprocess
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from asn1crypto import cms, core
from asn1crypto import x509 as asn1_x509
from asn1crypto.parser import emit
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.ciphers import algorithms
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, pkcs7

from mtlsd.partners.ours.organization import Organization
from mtlsd.partners.partner import Partner
from mtlsd.partners.partner_toml import Require
from mtlsd.pki.certificate import Certificate
from mtlsd.pki.key_pair import KeyPair

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
EDI = b"UNB+UNOA:1+ACME+EXAMPLE+261121:1200+1'\r\nUNH+1+ORDERS:D:96A:UN'\r\nUNT+2+1'\r\nUNZ+1+1'\r\n"
HASHES: dict[str, hashes.SHA256 | hashes.SHA384 | hashes.SHA512] = {
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}
LABELS = {"sha1": "sha1", "sha256": "sha-256", "sha384": "sha-384", "sha512": "sha-512"}


@cache
def key_pair(name: str, *, days: int = 365, bits: int = 2048) -> KeyPair:
    """A self-signed certificate and its key, as AS2 partners have them; made once a test run."""
    key = rsa.generate_private_key(65537, bits)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=400))
        .not_valid_after(NOW + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return KeyPair(Certificate.from_der(certificate.public_bytes(Encoding.DER)), (), key)


@cache
def curve_pair(name: str, curve: str = "secp256r1") -> KeyPair:
    """A self-signed certificate on a curve, and its key."""
    key = ec.generate_private_key({"secp256r1": ec.SECP256R1(), "secp384r1": ec.SECP384R1()}[curve])
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
    builder = builder.not_valid_before(NOW - timedelta(days=1)).not_valid_after(NOW + timedelta(days=365))
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    certificate = builder.sign(key, hashes.SHA256())
    return KeyPair(Certificate.from_der(certificate.public_bytes(Encoding.DER)), (), key)


def renewed(pair: KeyPair) -> Certificate:
    """Another certificate for the same key and name, valid now."""
    assert isinstance(pair.private_key, rsa.RSAPrivateKey)
    old = pair.certificate.x509
    builder = x509.CertificateBuilder().subject_name(old.subject).issuer_name(old.subject)
    builder = builder.public_key(old.public_key()).serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(NOW - timedelta(days=1)).not_valid_after(NOW + timedelta(days=365))
    return Certificate.from_der(builder.sign(pair.private_key, hashes.SHA256()).public_bytes(Encoding.DER))


def organization(name: str = "EXAMPLE") -> Organization:
    pair = key_pair(name)
    return Organization(name=name, as2_id=name, signing=pair, decryption=(pair,))


def partner(
    name: str = "ACME",
    *,
    certificates: tuple[Certificate, ...] | None = None,
    relax: frozenset[str] = frozenset(),
    require: frozenset[Require] = frozenset(Require),
) -> Partner:
    return Partner(
        name=name,
        as2_ids=(name,),
        hosts=None,
        require=require,
        relax=relax,
        mdn_urls=(),
        match=None,
        public_certificates=(),
        trusted_roots=(),
        intermediates=(),
        message_certificates=(key_pair(name).certificate,) if certificates is None else certificates,
    )


def entity(payload: bytes = EDI, content_type: str = "application/EDIFACT", **more: str) -> bytes:
    """A MIME entity around the document; `Content_Language="en"` is another field of its header."""
    header = {"Content-Type": content_type} | {name.replace("_", "-"): value for name, value in more.items()}
    return "".join(f"{name}: {value}\r\n" for name, value in header.items()).encode() + b"\r\n" + payload


def split(data: bytes) -> tuple[dict[str, str], bytes]:
    """An entity's header fields and its body."""
    header, _, body = data.partition(b"\r\n\r\n")
    return dict(line.split(": ", 1) for line in header.decode().split("\r\n")), body


def smime(kind: str, der: bytes, *, encode: bool = False) -> bytes:
    """An application/pkcs7-mime entity, in binary or base64."""
    body = base64.encodebytes(der).replace(b"\n", b"\r\n") if encode else der
    encoding = "base64" if encode else "binary"
    return entity(
        body,
        f"application/pkcs7-mime; smime-type={kind}; name=smime.p7m",
        Content_Transfer_Encoding=encoding,
    )


def compress(inner: bytes) -> bytes:
    """CompressedData (RFC 3274) by asn1crypto and zlib."""
    return smime("compressed-data", compressed_data(zlib.compress(inner)))


def compressed_data(deflated: bytes) -> bytes:
    content = {
        "version": 0,
        "compression_algorithm": {"algorithm": "1.2.840.113549.1.9.16.3.8"},
        "encap_content_info": {"content_type": "data", "content": core.ParsableOctetString(deflated)},
    }
    return bytes(cms.ContentInfo({"content_type": "compressed_data", "content": cms.CompressedData(content)}).dump())


def multipart_signed(signed: bytes, signature: bytes, *, micalg: str = "sha-256", boundary: str = "signed-1") -> bytes:
    """multipart/signed around an entity and its detached SignedData."""
    encoded = base64.encodebytes(signature).replace(b"\n", b"\r\n")
    part = entity(encoded, "application/pkcs7-signature; name=smime.p7s", Content_Transfer_Encoding="base64")
    delimiter = b"--" + boundary.encode()
    body = delimiter + b"\r\n" + signed + b"\r\n" + delimiter + b"\r\n" + part + b"\r\n" + delimiter + b"--\r\n"
    parameters = f'protocol="application/pkcs7-signature"; micalg={micalg}; boundary="{boundary}"'
    return entity(body, f"multipart/signed; {parameters}")


def signed_data(content: bytes, pair: KeyPair, algorithm: str = "sha256", *, attributes: bool = True) -> bytes:
    """A detached SignedData by `cryptography`."""
    assert isinstance(pair.private_key, rsa.RSAPrivateKey)
    if not attributes:
        return signed_data_by_openssl(content, pair, algorithm, "-noattr")
    if algorithm == "sha1":
        return signed_data_by_openssl(content, pair, algorithm)
    options = [pkcs7.PKCS7Options.DetachedSignature, pkcs7.PKCS7Options.Binary]
    builder = pkcs7.PKCS7SignatureBuilder().set_data(content)
    return builder.add_signer(pair.certificate.x509, pair.private_key, HASHES[algorithm]).sign(Encoding.DER, options)


def sign(inner: bytes, pair: KeyPair, algorithm: str = "sha256", *, attributes: bool = True) -> bytes:
    signature = signed_data(inner, pair, algorithm, attributes=attributes)
    return multipart_signed(inner, signature, micalg=LABELS[algorithm])


def encrypt(inner: bytes, recipient: KeyPair, algorithm: str = "aes256") -> bytes:
    """EnvelopedData: AES by `cryptography`, the others by `openssl cms`."""
    return smime("enveloped-data", enveloped_data(inner, recipient, algorithm))


def enveloped_data(inner: bytes, recipient: KeyPair, algorithm: str = "aes256") -> bytes:
    if algorithm not in ("aes128", "aes256"):
        return openssl("-encrypt", f"-{algorithm}", stdin=inner, recipient=recipient)
    builder = pkcs7.PKCS7EnvelopeBuilder().set_data(inner).add_recipient(recipient.certificate.x509)
    cipher = algorithms.AES128 if algorithm == "aes128" else algorithms.AES256
    return builder.set_content_encryption_algorithm(cipher).encrypt(Encoding.DER, [pkcs7.PKCS7Options.Binary])


def openssl(*arguments: str, stdin: bytes, signer: KeyPair | None = None, recipient: KeyPair | None = None) -> bytes:
    """`openssl cms` on these bytes, DER (or BER with -stream) out."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        operation, *options = arguments
        command = ["openssl", "cms", operation, "-binary", "-outform", "DER", "-in", str(folder / "in")]
        (folder / "in").write_bytes(stdin)
        for pair, option in ((signer, "-signer"), (recipient, "-recip")):
            if pair is not None:
                write_pair(folder / "pair.pem", pair)
                command += [option, str(folder / "pair.pem")]
        return subprocess.run(
            [*command, *options], capture_output=True, check=True
        ).stdout  # -keyopt is for the last key


def signed_data_by_openssl(content: bytes, pair: KeyPair, algorithm: str, *options: str) -> bytes:
    return openssl("-sign", "-md", algorithm, *options, stdin=content, signer=pair)


def write_pair(path: Path, pair: KeyPair) -> None:
    private = pair.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(pair.certificate.x509.public_bytes(Encoding.PEM) + private)


@dataclass(frozen=True, slots=True)
class Sent:
    """A message as it goes over HTTP: all header fields, and the body."""

    fields: tuple[tuple[str, str], ...]
    body: bytes


def message(
    inner: bytes,
    *,
    as2_from: str = "ACME",
    as2_to: str = "EXAMPLE",
    message_id: str = "<1@acme.example>",
    mdn: str | None = "required,sha-256",
    **more: str,
) -> Sent:
    """An AS2 message around an entity; `mdn` is the micalg option, "" asks for an unsigned MDN, None for none."""
    entity_fields, body = split(inner)
    fields = {
        "AS2-Version": "1.2",
        "AS2-From": as2_from,
        "AS2-To": as2_to,
        "Message-ID": message_id,
        "Subject": "Orders",
        **entity_fields,
    }
    if mdn is not None:
        fields["Disposition-Notification-To"] = "edi@acme.example"
    if mdn:
        fields["Disposition-Notification-Options"] = (
            f"signed-receipt-protocol=optional, pkcs7-signature; signed-receipt-micalg={mdn}"
        )
    fields |= {name.replace("_", "-"): value for name, value in more.items()}
    return Sent(tuple(fields.items()), body)


def build(
    layers: str = "csE",
    *,
    payload: bytes = EDI,
    digest: str = "sha256",
    cipher: str = "aes256",
    sender: str = "ACME",
    recipient: str = "EXAMPLE",
) -> bytes:
    """An entity with layers put around it in this order: c compress, s sign, E encrypt."""
    inner = entity(payload, Content_Disposition='attachment; filename="order.edi"')
    for layer in layers:
        if layer == "c":
            inner = compress(inner)
        elif layer == "s":
            inner = sign(inner, key_pair(sender), digest)
        else:
            inner = encrypt(inner, key_pair(recipient), cipher)
    return inner


def resign(signature: bytes, content: bytes, pair: KeyPair) -> bytes:
    """The signature with one more signer, by `openssl cms -resign`."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "in").write_bytes(signature)
        (folder / "content").write_bytes(content)
        write_pair(folder / "pair.pem", pair)
        command = ["openssl", "cms", "-resign", "-binary", "-inform", "DER", "-outform", "DER", "-in", "in"]
        command += ["-content", "content", "-signer", "pair.pem"]
        return subprocess.run(command, cwd=folder, capture_output=True, check=True).stdout


def openssl_to_many(content: bytes, *recipients: KeyPair) -> bytes:
    """EnvelopedData to several recipients, in this order."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "in").write_bytes(content)
        command = ["openssl", "cms", "-encrypt", "-binary", "-aes256", "-outform", "DER", "-in", "in"]
        for number, pair in enumerate(recipients):
            write_pair(folder / f"{number}.pem", pair)
            command += ["-recip", f"{number}.pem"]
        return subprocess.run(command, cwd=folder, capture_output=True, check=True).stdout


def with_authenticated_attributes(content: bytes, recipient: KeyPair) -> bytes:
    """AuthEnvelopedData (RFC 5083) with an attribute, by `cryptography` and asn1crypto's parts."""
    key, nonce = AESGCM.generate_key(256), bytes(range(12))
    text = core.UTF8String("an attribute").dump()
    attribute = cms.CMSAttribute({"type": "1.2.3.4", "values": [core.Any.load(text)]}).dump()
    attributes = tlv(0x31, attribute)
    sealed = AESGCM(key).encrypt(nonce, content, attributes)
    public_key = recipient.certificate.x509.public_key()
    assert isinstance(public_key, rsa.RSAPublicKey)
    info = cms.KeyTransRecipientInfo(
        {
            "version": 0,
            "rid": cms.RecipientIdentifier(
                "issuer_and_serial_number",
                cms.IssuerAndSerialNumber(
                    {
                        "issuer": asn1_x509.Name.load(recipient.certificate.issuer_der),
                        "serial_number": recipient.certificate.serial,
                    }
                ),
            ),
            "key_encryption_algorithm": {"algorithm": "rsaes_pkcs1v15"},
            "encrypted_key": public_key.encrypt(key, padding.PKCS1v15()),
        }
    ).dump()
    parameters = tlv(0x30, tlv(0x04, nonce), tlv(0x02, b"\x10"))
    algorithm = tlv(0x30, core.ObjectIdentifier("2.16.840.1.101.3.4.1.46").dump(), parameters)
    data = core.ObjectIdentifier("1.2.840.113549.1.7.1").dump()
    encrypted = tlv(0x30, data, algorithm, tlv(0x80, sealed[:-16]))
    body = tlv(0x30, tlv(0x02, b"\0"), tlv(0x31, info), encrypted, tlv(0xA1, attribute), tlv(0x04, sealed[-16:]))
    return tlv(0x30, core.ObjectIdentifier("1.2.840.113549.1.9.16.1.23").dump(), tlv(0xA0, body))


def tlv(tag: int, *parts: bytes) -> bytes:
    """A DER value, by asn1crypto."""
    return bytes(emit(tag >> 6, (tag >> 5) & 1, tag & 0x1F, b"".join(parts)))
