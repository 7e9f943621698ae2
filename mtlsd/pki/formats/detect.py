"""What octets are, told from their first ones or from the outermost fields of their DER; nothing is believed yet."""

from enum import Enum, auto

from mtlsd.pki.ber import Value, declared_size, first_value, values

PRIVATE_KEY = "a private key: remove it from here and rotate it, for it may have been read by others"
REQUEST = "a certificate request, not a certificate: ask for what the CA made of it"
CRL = "a certificate revocation list (CRL), not a certificate: in a partner's directory its name ends with .crl"
PUBLIC_KEY = "a public key alone, not a certificate: ask for the certificate that it is in"
SSH = "an SSH key: TLS and AS2 need an X.509 certificate; ask for that"
PGP = "an OpenPGP key or message: TLS and AS2 need an X.509 certificate; ask for that"
ARCHIVE = "{} archive: unpack it, and put in what is inside"
KEYSTORE = (
    "a Java keystore ({}): write the certificate out with keytool -exportcert -rfc -alias NAME -keystore FILE "
    "-file FILE.pem, or a key of our own with keytool -importkeystore -srckeystore FILE -destkeystore FILE.pfx "
    "-deststoretype PKCS12"
)
HTML = "an HTML page, not a certificate: download the file itself, not the page that shows it"
UNKNOWN = "neither PEM nor DER: nothing that we know as a certificate"

MAGIC = {  # the first octets of what is put in by mistake
    b"\xfe\xed\xfe\xed": KEYSTORE.format("JKS"),
    b"\xce\xce\xce\xce": KEYSTORE.format("JCEKS"),
    b"\x1f\x8b": ARCHIVE.format("a gzip"),
    b"BZh": ARCHIVE.format("a bzip2"),
    b"\xfd7zXZ\0": ARCHIVE.format("an xz"),
    b"7z\xbc\xaf\x27\x1c": ARCHIVE.format("a 7-Zip"),
    b"Rar!\x1a\x07": ARCHIVE.format("a RAR"),
    b"%PDF-": "a PDF document: ask for the certificate as a file",
    b"\xd0\xcf\x11\xe0": "an Outlook message or an old Office document: save what is attached to it",
    b"\x89PNG": "an image: ask for the certificate as a file",
    b"\xff\xd8\xff": "an image: ask for the certificate as a file",
    b"GIF8": "an image: ask for the certificate as a file",
    b"\x7fELF": "a program",
    b"SQLite format 3\0": "a database, such as the certificate store of a browser: export the certificate from it",
}
ZIP = (b"PK\x03\x04", b"PK\x05\x06")
DER = b"\x30"
SHORT, LONG = 129, 1 << 32  # sizes up to the one may be text, and from the other on no file has them

PKCS_7 = bytes.fromhex("2a864886f70d0107")  # the arc of its content types (RFC 2315, section 14)


class Shape(Enum):
    """What a value in DER is, by its outermost fields."""

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
    ("0230", Shape.PKCS12),  # PFX (RFC 7292); its authSafe may be in pieces
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
    """The sentence about a file that its first octets betray."""
    return next((sentence for start, sentence in MAGIC.items() if data.startswith(start)), None)


def shape_of(der: bytes) -> Shape:
    """What a value seems to be; never raises."""
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
    """What to say of DER that ends before it should, or goes on behind its end."""
    size = declared_size(der)
    if size is None or not max(len(der), SHORT) < size < LONG:
        return None
    return f"cut short: {len(der)} of {size} octets are there; have it sent again"


def _signed(inner: Value) -> Shape:
    try:
        tags = _tags(values(inner.content, at_most=20))
    except ValueError:
        return Shape.OTHER
    return next((shape for start, shape in _SIGNED if tags.startswith(start)), Shape.OTHER)


def _tags(fields: tuple[Value, ...]) -> str:
    return bytes(each.tag for each in fields).hex()
