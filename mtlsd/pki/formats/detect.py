"""Recognizes data by its first octets, or by the outermost fields of its DER; nothing is trusted yet."""

from enum import Enum, auto

from mtlsd.pki.ber import Value, declared_size, first_value, values

PRIVATE_KEY = "a private key: remove the file and rotate the key, because others may have read it"
WITHOUT_KEY = "; `mtlsd cert convert FILE OUT.crt` writes the certificates without the key"
REQUEST = "a certificate request, not a certificate: ask for the certificate that the CA issued for it"
CRL = "a certificate revocation list (CRL), not a certificate: in a partner's directory, name the file *.crl"
PUBLIC_KEY = "a public key, not a certificate: ask for the certificate of this key"
SSH = "an SSH key, not a certificate: ask for an X.509 certificate, which TLS and AS2 need"
PGP = "an OpenPGP key or message: ask for an X.509 certificate, which TLS and AS2 need"
ARCHIVE = "{} archive: unpack it, and use the file inside"
KEYSTORE = (
    "a Java keystore ({}): export the certificate with keytool -exportcert -rfc -alias NAME -keystore FILE "
    "-file FILE.pem, or our own key with keytool -importkeystore -srckeystore FILE -destkeystore FILE.pfx "
    "-deststoretype PKCS12"
)
HTML = "an HTML page, not a certificate: download the file itself, not the page that shows it"
UNKNOWN = "neither PEM nor DER: not a known certificate format"

MAGIC = {  # the first octets of files that are added by mistake
    b"\xfe\xed\xfe\xed": KEYSTORE.format("JKS"),
    b"\xce\xce\xce\xce": KEYSTORE.format("JCEKS"),
    b"\x1f\x8b": ARCHIVE.format("a gzip"),
    b"BZh": ARCHIVE.format("a bzip2"),
    b"\xfd7zXZ\0": ARCHIVE.format("an xz"),
    b"7z\xbc\xaf\x27\x1c": ARCHIVE.format("a 7-Zip"),
    b"Rar!\x1a\x07": ARCHIVE.format("a RAR"),
    b"%PDF-": "a PDF document: ask for the certificate as a file",
    b"\xd0\xcf\x11\xe0": "an Outlook message or an old Office document: save its attachment as a file",
    b"\x89PNG": "an image: ask for the certificate as a file",
    b"\xff\xd8\xff": "an image: ask for the certificate as a file",
    b"GIF8": "an image: ask for the certificate as a file",
    b"\x7fELF": "a program",
    b"SQLite format 3\0": "a database, such as the certificate store of a browser: export the certificate from it",
}
ZIP = (b"PK\x03\x04", b"PK\x05\x06")
DER = b"\x30"
SHORT, LONG = 129, 1 << 32  # sizes up to the one may be text, and from the other on no file has them


class Shape(Enum):
    """The type of a value in DER, by its outermost fields."""

    CERTIFICATE = auto()
    REQUEST = auto()
    CRL = auto()
    PUBLIC_KEY = auto()
    PRIVATE_KEY = auto()
    ENCRYPTED_KEY = auto()
    PKCS7 = auto()
    PKCS12 = auto()
    OTHER = auto()


SENTENCES = {
    Shape.REQUEST: REQUEST,
    Shape.CRL: CRL,
    Shape.PUBLIC_KEY: PUBLIC_KEY,
    Shape.PRIVATE_KEY: PRIVATE_KEY,
    Shape.ENCRYPTED_KEY: PRIVATE_KEY,
}

# The tags of the fields, in hex. SEQUENCE 30, INTEGER 02, OCTET STRING 04, BIT STRING 03, OBJECT IDENTIFIER 06.
_OUTERMOST = (
    ("023004", Shape.PRIVATE_KEY),  # PrivateKeyInfo (RFC 5958)
    ("020202020202", Shape.PRIVATE_KEY),  # RSAPrivateKey (RFC 8017), or one of DSA
    ("0204", Shape.PRIVATE_KEY),  # ECPrivateKey (RFC 5915)
    ("3004", Shape.ENCRYPTED_KEY),  # EncryptedPrivateKeyInfo (RFC 5958)
    ("0230", Shape.PKCS12),  # PFX (RFC 7292); its authSafe may be fragmented
    ("06a0", Shape.PKCS7),  # ContentInfo (RFC 5652)
)
_SIGNED = (  # the fields of what is signed: a SEQUENCE, an algorithm and a BIT STRING around it
    ("a00230303030", Shape.CERTIFICATE),  # TBSCertificate (RFC 5280)
    ("0230303030", Shape.CERTIFICATE),  # of version 1
    ("023030a0", Shape.REQUEST),  # CertificationRequestInfo (RFC 2986)
    ("02303017", Shape.CRL),  # TBSCertList, with a UTCTime or a GeneralizedTime
    ("02303018", Shape.CRL),
    ("303017", Shape.CRL),  # of version 1
)


def magic(data: bytes) -> str | None:
    """The sentence about a file that its first octets identify."""
    return next((sentence for start, sentence in MAGIC.items() if data.startswith(start)), None)


def shape_of(der: bytes) -> Shape:
    """The probable type of a value; never raises."""
    try:
        fields = values(first_value(der).content, at_most=20)
    except ValueError:
        return Shape.OTHER
    tags = _tags(fields)
    if tags == "303003":
        return _signed(fields[0])
    if tags == "3003":
        return Shape.PUBLIC_KEY  # SubjectPublicKeyInfo (RFC 5280); 0202 is RSAPublicKey
    if tags == "0202":
        return Shape.PUBLIC_KEY
    return next((shape for start, shape in _OUTERMOST if tags.startswith(start)), Shape.OTHER)


def cut_short(der: bytes) -> str | None:
    """The sentence about DER that ends too early; None otherwise."""
    size = declared_size(der)
    if size is None or not max(len(der), SHORT) < size < LONG:
        return None
    return f"incomplete: {len(der)} of {size} bytes; ask for the file again"


def _signed(inner: Value) -> Shape:
    try:
        tags = _tags(values(inner.content, at_most=20))
    except ValueError:
        return Shape.OTHER
    return next((shape for start, shape in _SIGNED if tags.startswith(start)), Shape.OTHER)


def _tags(fields: tuple[Value, ...]) -> str:
    return bytes(each.tag for each in fields).hex()
