"""Single cases beside the sweep: the lists of MIC algorithms that a receipt may be asked with, and the forms of CMS."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

from asn1crypto import algos, cms
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from mtlsd.as2.headers import algorithm_of
from mtlsd.as2.mime.parser import ContentType
from mtlsd.pki.key_pair import KeyPair
from tests.interop.cells import PROCESSED, Cell
from tests.interop.gateway import RECIPIENT, SIGNERS, on_a_curve
from tests.interop.peers import Built, addressed, entity, enveloped, mic
from tests.support import messages
from tests.support.daemon import keys

UNSUPPORTED = "failed/failure: unsupported MIC-algorithms"

# --- Disposition-Notification-Options ---------------------------------------------------------------------------------

# What is asked for, and the label of the MIC for a message that is signed with SHA-256: None where we have none of it.
WISHES = {
    "sha1": "sha1",
    "sha-1": "sha-1",
    "SHA1": "SHA1",
    "sha256,sha1": "sha256",
    "sha-512,sha-256": "sha-256",
    "md5,foo": None,
    "foo": None,
}


@dataclass(frozen=True, slots=True)
class Wish:
    """A list of MIC algorithms, required or optional."""

    id: str
    importance: str
    labels: str

    @property
    def expected(self) -> str:
        return UNSUPPORTED if self.importance == "required" and WISHES[self.labels] is None else PROCESSED

    @property
    def label(self) -> str | None:
        """The label of the MIC; without any that we have, it is the signature's."""
        return None if self.expected == UNSUPPORTED else WISHES[self.labels] or "sha-256"

    def built_by(self, build: Callable[[Cell], Built]) -> Built:
        """A signed message that asks for it."""
        built = build(Cell(f"{self.id}-{self.importance}", "s", cipher=None))
        name = "disposition-notification-options"
        options = f"signed-receipt-protocol=optional, pkcs7-signature; signed-receipt-micalg={self.importance}, "
        kept = [(field, value) for field, value in built.sent.fields if field.lower() != name]
        wished = replace(built.sent, fields=(*kept, (name, options + self.labels)))
        return Built(wished, mic(_signed_part(built), algorithm_of(self.label or "")))


def _signed_part(built: Built) -> bytes:
    """The octets that were signed, cut out at the boundary."""
    fields = {name.lower(): value for name, value in built.sent.fields}
    boundary = ContentType.parse(fields["content-type"]).parameters["boundary"]
    return built.sent.body.split(f"--{boundary}\r\n".encode())[1].removesuffix(b"\r\n")


WISHED = [
    Wish(f"DNO-{number:02}", importance, labels)
    for (number, labels), importance in product(enumerate(WISHES, 1), ("required", "optional"))
]

# --- The forms of CMS -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Case:
    """One form of CMS by one peer; `build` makes the entity that is sent around the document's."""

    id: str
    what: str
    peer: str
    build: Callable[[bytes], bytes]
    expected: str = PROCESSED

    @property
    def name(self) -> str:
        return f"{self.id} {self.what} by {self.peer}"

    def built(self) -> Built:
        cell = Cell(self.id, "s")
        message_id = f"<{self.name.replace(' ', '.')}@acme.example>"
        return Built(addressed(self.build(entity()), message_id, cell), mic(entity(), "sha256"))


OPENSSL, CRYPTOGRAPHY, ASN1CRYPTO = "openssl cms", "cryptography", "openssl cms, changed with asn1crypto"
PSS = ("-keyopt", "rsa_padding_mode:pss")
OAEP = ("-keyopt", "rsa_padding_mode:oaep")
DETACHED = (pkcs7.PKCS7Options.Binary, pkcs7.PKCS7Options.DetachedSignature)


def detached(*options: str, name: str = "ACME", curve: str | None = None) -> Callable[[bytes], bytes]:
    """multipart/signed with a signature by openssl; key options come behind the key."""
    return lambda inner: messages.multipart_signed(inner, _openssl_sign(inner, _pair(name, curve), *options))


def opaque(*options: str) -> Callable[[bytes], bytes]:
    """SignedData by openssl, with its content inside."""
    return lambda inner: messages.smime("signed-data", _openssl_sign(inner, keys("ACME"), "-nodetach", *options))


def envelope(*options: str, to: tuple[KeyPair, ...] = ()) -> Callable[[bytes], bytes]:
    """An envelope by openssl, to these recipients, around a signed entity."""

    def build(inner: bytes) -> bytes:
        signed = messages.sign(inner, keys("ACME"))
        with TemporaryDirectory() as folder:
            recipients = []
            for at, pair in enumerate(to or (keys("EXAMPLE"),)):
                path = Path(folder, f"{at}.pem")
                messages.write_pair(path, pair)
                recipients += ["-recip", str(path)]
            return enveloped(messages.openssl("-encrypt", "-aes-256-cbc", *recipients, *options, stdin=signed))

    return build


def _pair(name: str, curve: str | None) -> KeyPair:
    return on_a_curve(name, curve) if curve else keys(name)


def _openssl_sign(inner: bytes, pair: KeyPair, *options: str) -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder, "pair.pem")
        messages.write_pair(path, pair)
        return messages.openssl("-sign", "-md", "sha256", "-signer", str(path), *options, stdin=inner)


def by_cryptography(
    *options: pkcs7.PKCS7Options, curve: str | None = None, pss: bool = False
) -> Callable[[bytes], bytes]:
    """A signature by cryptography, detached unless the options leave that out."""

    def build(inner: bytes) -> bytes:
        pair = _pair(SIGNERS[curve] if curve else "ACME", curve)
        assert isinstance(pair.private_key, RSAPrivateKey | EllipticCurvePrivateKey)
        scheme = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH) if pss else None
        builder = pkcs7.PKCS7SignatureBuilder().set_data(inner)
        builder = builder.add_signer(pair.certificate.x509, pair.private_key, hashes.SHA256(), rsa_padding=scheme)
        der = builder.sign(Encoding.DER, list(options))
        is_detached = pkcs7.PKCS7Options.DetachedSignature in options
        return messages.multipart_signed(inner, der) if is_detached else messages.smime("signed-data", der)

    return build


def to_two_by_cryptography(inner: bytes) -> bytes:
    builder = pkcs7.PKCS7EnvelopeBuilder().set_data(messages.sign(inner, keys("ACME")))
    for name in ("ANOTHER", "EXAMPLE"):
        builder = builder.add_recipient(keys(name).certificate.x509)
    builder = builder.set_content_encryption_algorithm(AES256)
    return enveloped(builder.encrypt(Encoding.DER, [pkcs7.PKCS7Options.Binary]))


ABSENT = algos.DigestAlgorithm.load(bytes.fromhex("300b 0609608648016503040201"))
NULL = algos.DigestAlgorithm.load(bytes.fromhex("300d 0609608648016503040201 0500"))


def with_digest_algorithm(digest: algos.DigestAlgorithm) -> Callable[[bytes], bytes]:
    """A signature that names its digest like this: the signature does not cover that."""

    def build(inner: bytes) -> bytes:
        parsed = cms.ContentInfo.load(_openssl_sign(inner, keys("ACME")))
        parsed["content"]["digest_algorithms"] = [digest]
        parsed["content"]["signer_infos"][0]["digest_algorithm"] = digest
        return messages.multipart_signed(inner, parsed.dump(force=True))

    return build


CASES = [
    Case("CMS-01", "RSASSA-PSS", OPENSSL, detached(*PSS)),
    Case("CMS-01", "RSASSA-PSS, salt of 20 octets", OPENSSL, detached(*PSS, "-keyopt", "rsa_pss_saltlen:20")),
    Case("CMS-01", "RSASSA-PSS", CRYPTOGRAPHY, by_cryptography(*DETACHED, pss=True)),
    Case("CMS-02", "RSAES-OAEP, SHA-1", OPENSSL, envelope(*OAEP)),
    Case("CMS-02", "RSAES-OAEP, SHA-256", OPENSSL, envelope(*OAEP, "-keyopt", "rsa_oaep_md:sha256")),
    Case("CMS-02", "RSAES-OAEP, SHA-512", OPENSSL, envelope(*OAEP, "-keyopt", "rsa_oaep_md:sha512")),
    *(
        case
        for curve, name in SIGNERS.items()
        for case in (
            Case("CMS-03", f"ECDSA, {curve}", OPENSSL, detached(name=name, curve=curve)),
            Case("CMS-03", f"ECDSA, {curve}", CRYPTOGRAPHY, by_cryptography(*DETACHED, curve=curve)),
        )
    ),
    Case("CMS-04", "several recipients", OPENSSL, envelope(to=(keys("ANOTHER"), keys("EXAMPLE")))),
    Case("CMS-04", "several recipients", CRYPTOGRAPHY, to_two_by_cryptography),
    Case("CMS-05", "recipient by subject key identifier", OPENSSL, envelope("-keyid")),
    Case("CMS-06", "parameters of the digest absent", ASN1CRYPTO, with_digest_algorithm(ABSENT)),
    Case("CMS-06", "parameters of the digest NULL", ASN1CRYPTO, with_digest_algorithm(NULL)),
    Case("CMS-07", "BER with indefinite lengths, an envelope", OPENSSL, envelope("-stream")),
    Case("CMS-07", "BER with indefinite lengths, a signature", OPENSSL, opaque("-stream")),
    Case("CMS-08", "SignedData with its content inside", OPENSSL, opaque()),
    Case("CMS-08", "SignedData with its content inside", CRYPTOGRAPHY, by_cryptography(pkcs7.PKCS7Options.Binary)),
    Case("CMS-09", "certificate inside", OPENSSL, detached()),
    Case("CMS-09", "certificate left out", OPENSSL, detached("-nocerts")),
    Case("CMS-09", "certificate inside", CRYPTOGRAPHY, by_cryptography(*DETACHED)),
    Case("CMS-09", "certificate left out", CRYPTOGRAPHY, by_cryptography(*DETACHED, pkcs7.PKCS7Options.NoCerts)),
    Case("CMS-10", "ECDH, secp256r1", OPENSSL, envelope(to=(on_a_curve(RECIPIENT),))),
]
