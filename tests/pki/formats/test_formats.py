"""Every form in which certificates are found in the wild is read, or refused with a sentence that helps.

`openssl` makes the files. The numbers are those of the list of forms in docs/partners.md.
"""

import base64
import hashlib
import io
import json
import os
import subprocess
import zipfile
from collections.abc import Callable
from datetime import timedelta
from email.message import EmailMessage
from functools import cache
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509 import CertificateRevocationListBuilder, CertificateSigningRequestBuilder, Name
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mtlsd.errors import Problem
from mtlsd.partners.partner import load_partner
from mtlsd.pki.ber import CONSTRUCTED, values
from mtlsd.pki.certificate import CertificateUnreadable, PasswordNeeded, PrivateKeyPresent
from mtlsd.pki.formats.budget import MAX_CERTIFICATES, MAX_UNPACKED
from mtlsd.pki.formats.detect import Shape, shape_of
from mtlsd.pki.formats.reader import read_certificates, read_contents, read_public
from tests.support import pki
from tests.support.odd import tlv

CA = pki.root()
LEAF = pki.leaf(CA)
BOTH = (LEAF.certificate, CA.certificate)
PEM = LEAF.pem + CA.pem
TEXT = PEM.decode()
ONE = LEAF.pem.decode()
KEY_DER = LEAF.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
OLD = ("-legacy", "-certpbe", "PBE-SHA1-RC2-40", "-keypbe", "PBE-SHA1-3DES", "-macalg", "sha1")


@cache
def openssl(*arguments: str, stdin: bytes = PEM) -> bytes:
    """What a command of openssl writes."""
    return subprocess.run(["openssl", *arguments], input=stdin, capture_output=True, check=True).stdout


def p7b(form: str) -> bytes:
    return openssl("crl2pkcs7", "-nocrl", "-certfile", "/dev/stdin", "-outform", form)


def p12(*options: str, password: str = "", key: bool = False, stdin: bytes = b"") -> bytes:
    keys = () if key else ("-nokeys",)
    source = stdin or (LEAF.key_pem + PEM if key else PEM)
    return openssl("pkcs12", "-export", *keys, "-passout", f"pass:{password}", *options, stdin=source)


def indefinite(der: bytes) -> bytes:
    """The same with indefinite lengths down to the OCTET STRINGs, which come in two pieces."""
    [value] = values(der)
    if value.tag == 4:
        half = len(value.content) // 2
        return b"\x24\x80" + tlv(4, value.content[:half]) + tlv(4, value.content[half:]) + b"\0\0"
    if not value.tag & CONSTRUCTED or value.tag == 0x31 or shape_of(der) is Shape.CERTIFICATE:
        return der
    return bytes([value.tag]) + b"\x80" + b"".join(indefinite(each.whole) for each in values(value.content)) + b"\0\0"


def dashed(dash: str) -> str:
    return TEXT.replace("-----", dash * 5)


def one_line(separator: str) -> str:
    return separator.join(TEXT.split("\n"))


def zipped(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def mail(*attachments: bytes, text: str = "Dear partner,\nhere it is.\n", signature: bytes = b"") -> bytes:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "edi@acme.example", "edi@example.com", "our certificate"
    message.set_content(text)
    message.add_alternative("<html><body>Dear partner</body></html>", subtype="html")
    for data in attachments:
        message.add_attachment(data, "application", "octet-stream", filename="acme.cer")
    if signature:
        message.add_attachment(signature, "application", "pkcs7-signature", filename="smime.p7s")
    return message.as_bytes()


ASIDE = "Bag Attributes\n    friendlyName: C:\\new\nsubject=CN = x\n"
FORMS: dict[str, tuple[bytes | str, str]] = {  # the octets, and a remark
    "F-01 a bundle": (PEM, ""),
    "F-01 a bundle with duplicates": (PEM + PEM, ""),
    "F-02 literal \\n": (TEXT.replace("\n", "\\n"), "written out"),
    "F-02 literal \\r\\n": (TEXT.replace("\n", "\\r\\n"), "written out"),
    "F-02 literal \\n in quotes": (json.dumps(TEXT)[:-1] + '",', "written out"),
    "F-03 a service key": (json.dumps({"certificate": ONE, "certurl": "https://x", "chain": [TEXT]}), ""),
    "F-03 nested": (json.dumps([{"a": {"b": [1, None, {"certificate": TEXT}]}}], indent=2), ""),
    "F-03 base64 of DER": (
        json.dumps({"x5c": [base64.b64encode(each.der).decode() for each in BOTH]}),
        "base64 without BEGIN",
    ),
    "F-04 double-escaped": (TEXT.replace("\n", "\\\\n"), "written out"),
    "F-04 double-escaped in JSON": (json.dumps({"certificate": TEXT.replace("\n", "\\\\n")}), "written out"),
    "F-04 escaped as \\u000a": (TEXT.replace("\n", "\\u000a").replace("+", "\\u002B"), "written out"),
    "F-05 em dashes": (TEXT.replace("-----", "\u2014\u2014-"), "typographic dashes"),
    "F-05 en dash and hyphens": (TEXT.replace("-----", "\u2013----"), "typographic dashes"),
    "F-05 in Windows-1252": (TEXT.replace("-----", "\u2013\u2014--").encode("cp1252"), "typographic dashes"),
    **{f"F-06 U+{ord(dash):04X}": (dashed(dash), "typographic dashes")
       for dash in "\u2010\u2011\u2012\u2013\u2014\u2015\u2043\u2212\u2500\u2e3a\u2e3b\ufe58\ufe63\uff0d"},
    "F-07 one line with spaces": (one_line(" "), "all on one line"),
    "F-08 one line without a break": (one_line(""), "all on one line"),
    "F-08 one line without a space": (one_line("").replace(" ", ""), "all on one line"),
    **{f"F-09 {left} and {right} dashes": (
        TEXT.replace("-----BEGIN", "-" * left + "BEGIN").replace("CERTIFICATE-----", "CERTIFICATE" + "-" * right),
        "" if left == right == 5 else "exactly five hyphens",
    ) for left, right in ((4, 4), (4, 8), (6, 5), (5, 5), (8, 8))},
    "F-10 CRLF": (TEXT.replace("\n", "\r\n"), ""),
    "F-11 CR": (TEXT.replace("\n", "\r"), ""),
    "F-12 a byte-order mark": (b"\xef\xbb\xbf" + PEM, ""),
    "F-13 UTF-16 LE": (TEXT.encode("utf-16-le"), "UTF-16"),
    "F-13 UTF-16 BE": (TEXT.encode("utf-16-be"), "UTF-16"),
    "F-13 UTF-16 with a mark": (TEXT.encode("utf-16"), "UTF-16"),
    "F-14 no-break spaces": (TEXT.replace(" ", "\u00a0"), "no-break or zero-width"),
    "F-14 zero-width spaces": (TEXT.replace("A", "A\u200b"), "no-break or zero-width"),
    "F-14 a mark inside": ("x\n\ufeff" + TEXT.replace("\n", "\u2060\n"), "no-break or zero-width"),
    "F-15 indented": ("".join(f"    {line}\n" for line in TEXT.splitlines()), "indented or quoted"),
    "F-15 quoted": ("".join(f"> {line}\n" for line in TEXT.splitlines()), "indented or quoted"),
    "F-15 quoted twice": ("".join(f">> {line}\n" for line in TEXT.splitlines()), "indented or quoted"),
    "F-16 no newline at the end": (TEXT.rstrip(), ""),
    "F-17 bag attributes": (ASIDE + ONE + ASIDE + CA.pem.decode(), ""),
    "F-17 the text form": (openssl("x509", "-text", stdin=LEAF.pem) + CA.pem, ""),
    "F-18 bare base64": (base64.b64encode(LEAF.certificate.der), "base64 without BEGIN"),
    "F-18 in lines": (base64.encodebytes(LEAF.certificate.der), "base64 without BEGIN"),
    "F-18 of the PEM": (base64.b64encode(PEM), "base64 without BEGIN"),
    "F-19 DER": (LEAF.certificate.der, ""),
    "F-19 DER with a line end": (LEAF.certificate.der + b"\r\n", ""),
    "F-19 two one behind the other": (LEAF.certificate.der + CA.certificate.der, ""),
    "F-20 PKCS#7": (p7b("DER"), ""),
    "F-20 PKCS#7 in PEM": (p7b("PEM"), ""),
    "F-20 PKCS#7 labelled CERTIFICATE": (p7b("PEM").replace(b"PKCS7", b"CERTIFICATE"), ""),
    "F-20 PKCS#7 in BER": (indefinite(p7b("DER")), ""),
    "F-20 PKCS#7 in bare base64": (base64.b64encode(p7b("DER")), "base64 without BEGIN"),
    "F-21 PKCS#12, AES": (p12(), ""),
    "F-21 PKCS#12, 3DES and RC2-40": (p12(*OLD), ""),
    "F-21 PKCS#12 without a MAC": (p12("-nomac"), ""),
    "F-21 PKCS#12, not encrypted": (p12("-certpbe", "NONE"), ""),
    "F-21 PKCS#12 in BER": (indefinite(p12("-legacy")), ""),
    "F-22 X509 CERTIFICATE": (TEXT.replace(" CERTIFICATE-", " X509 CERTIFICATE-"), ""),
    "F-22 TRUSTED CERTIFICATE": (openssl("x509", "-trustout", "-addtrust", "clientAuth", stdin=LEAF.pem), ""),
    "F-23 lines of a thousand characters": (
        "".join(f"-----BEGIN CERTIFICATE-----\n{base64.b64encode(each.der).decode()[:1000]}\n"
                f"{base64.b64encode(each.der).decode()[1000:]}\n-----END CERTIFICATE-----\n" for each in BOTH),
        "",
    ),
    "F-25 joined": (ONE.rstrip() + CA.pem.decode(), "without a line break between them"),
    "F-24 a ZIP": (zipped(**{"acme/a.cer": LEAF.certificate.der, "acme/b.pem": CA.pem}), ""),
    "F-24 a ZIP in a ZIP": (zipped(inner=zipped(a=PEM)), ""),
    "F-24 an e-mail": (mail(LEAF.certificate.der, CA.pem), ""),
    "F-24 in the text of an e-mail": (mail(text=f"> Hello\n\n{TEXT}"), ""),
    "F-24 a ZIP in an e-mail, quoted": (mail(zipped(a=f"> {ONE}".encode())), ""),
    "F-24 a forwarded e-mail": (mail(mail(PEM)), ""),
    "URL-encoded": (TEXT.replace("\n", "%0A").replace("+", "%2B"), "URL-encoded"),
    "a web page": (f"<html><pre>{TEXT}</pre></html>".replace("\n", "<br/>\n"), "contains HTML"),
    "base64 without its padding": (TEXT.replace("=", ""), "padding" if "=" in TEXT else ""),
}  # fmt: skip
MARKED = {"F-14 no-break spaces", "F-24 a ZIP in an e-mail, quoted"}  # with a second remark, for it is odd twice


@pytest.mark.parametrize("form", FORMS)
def test_the_form_is_read(form: str) -> None:
    data, remark = FORMS[form]
    found = read_public(data if isinstance(data, bytes) else data.encode())
    assert set(found.certificates) <= set(BOTH)
    assert found.certificates[0] in BOTH
    assert LEAF.certificate in found.certificates
    assert any(remark in each for each in found.remarks) or not remark, found.remarks
    assert remark or not found.remarks or form in MARKED, found.remarks


@pytest.mark.parametrize(
    "form", [form for form in FORMS if "F-1" in form and "F-18" not in form and "F-19" not in form]
)
def test_a_form_of_pem_loses_no_certificate(form: str) -> None:
    data, _ = FORMS[form]
    assert read_certificates(data if isinstance(data, bytes) else data.encode()) == BOTH


@pytest.mark.parametrize("options", [(), ("-legacy",), OLD, ("-macalg", "sha512", "-iter", "100000")], ids=str)
@pytest.mark.parametrize("password", ["", "secret", "pässword"])
def test_a_keystore_is_read_with_its_password(options: tuple[str, ...], password: str) -> None:
    found = read_contents(p12(*options, password=password, key=True), password)
    assert (set(found.certificates), len(found.keys), found.form) == (set(BOTH), 1, "PKCS#12")
    with pytest.raises(CertificateUnreadable, match="the password is wrong"):
        read_contents(p12(*options, password=password, key=True), "other")


def test_a_keystore_that_costs_too_much_is_refused_at_once() -> None:
    with pytest.raises(CertificateUnreadable, match="iterations"):
        read_contents(p12("-iter", "1100000"))


def test_a_key_that_hides_in_encrypted_content_costs_nothing() -> None:
    """OpenSSL decrypts the first key that it finds, and it finds ours: this one would take it half an hour."""
    derivation = tlv(0x30, tlv(6, PBKDF2), tlv(0x30, tlv(4, SALT), tlv(2, b"\x7f\xff\xff\xff"), HMAC_SHA256))
    scheme = tlv(0x30, tlv(6, PBES2), tlv(0x30, derivation, tlv(0x30, tlv(6, AES_256_CBC), tlv(4, SALT))))
    hidden = tlv(0x30, tlv(6, BAG + b"\2"), tlv(0xA0, tlv(0x30, scheme, tlv(4, SALT))))
    value = tlv(0x30, tlv(6, bytes.fromhex("2a864886f70d01091601")), tlv(0xA0, tlv(4, LEAF.certificate.der)))
    bags = tlv(0x30, hidden, tlv(0x30, tlv(6, BAG + b"\3"), tlv(0xA0, value)))
    data = tlv(0x30, tlv(2, b"\3"), content("01", tlv(4, tlv(0x30, content("06", encrypted(bags, b"secret"))))))
    assert read_certificates(data, "secret") == (LEAF.certificate,)
    with pytest.raises(CertificateUnreadable, match="the password is wrong"):
        read_certificates(data, "other")


PBES2, PBKDF2 = bytes.fromhex("2a864886f70d01050d"), bytes.fromhex("2a864886f70d01050c")
HMAC_SHA256 = bytes.fromhex("300c06082a864886f70d02090500")
AES_256_CBC = bytes.fromhex("60864801650304012a")
BAG = bytes.fromhex("2a864886f70d010c0a01")
SALT = bytes(16)


def content(kind: str, value: bytes) -> bytes:
    """A ContentInfo; `kind` is the last octet of its type."""
    return tlv(0x30, tlv(6, bytes.fromhex("2a864886f70d0107" + kind)), tlv(0xA0, value))


def encrypted(octets: bytes, password: bytes) -> bytes:
    """An EncryptedData around any octets (RFC 5652, section 8), with a key derivation of one iteration."""
    key = hashlib.pbkdf2_hmac("sha256", password, SALT, 1, 32)
    padding = 16 - len(octets) % 16
    encryptor = Cipher(AES(key), CBC(SALT)).encryptor()
    ciphertext = encryptor.update(octets + bytes([padding]) * padding) + encryptor.finalize()
    derivation = tlv(0x30, tlv(6, PBKDF2), tlv(0x30, tlv(4, SALT), tlv(2, b"\1"), HMAC_SHA256))
    scheme = tlv(0x30, tlv(6, PBES2), tlv(0x30, derivation, tlv(0x30, tlv(6, AES_256_CBC), tlv(4, SALT))))
    info = tlv(0x30, tlv(6, bytes.fromhex("2a864886f70d010701")), scheme, tlv(0x80, ciphertext))
    return tlv(0x30, tlv(2, b"\0"), info)


@pytest.mark.parametrize(
    ("form", "name"),
    [
        ("F-01 a bundle", "PEM"),
        ("F-03 nested", "PEM in JSON"),
        ("F-18 bare base64", "DER in base64"),
        ("F-19 DER", "DER"),
        ("F-20 PKCS#7 in PEM", "PEM, PKCS#7"),
        ("F-21 PKCS#12 in BER", "PKCS#12"),
        ("F-24 a ZIP", "DER, PEM in ZIP"),
        ("F-24 a ZIP in an e-mail, quoted", "PEM in ZIP in e-mail"),
    ],
)
def test_the_form_has_a_name(form: str, name: str) -> None:
    data, _ = FORMS[form]
    assert read_public(data if isinstance(data, bytes) else data.encode()).form == name


# --- What is none -------------------------------------------------------------------------------------------

REQUEST = (
    CertificateSigningRequestBuilder().subject_name(Name.from_rfc4514_string("CN=a")).sign(LEAF.key, hashes.SHA256())
)
CRL = (
    CertificateRevocationListBuilder()
    .issuer_name(CA.certificate.x509.subject)
    .last_update(pki.NOW)
    .next_update(pki.NOW + timedelta(days=1))
    .sign(CA.key, hashes.SHA256())
)  # fmt: skip
PUBLIC = LEAF.key.public_key()
PUBLIC_KEY = "a public key, not a certificate"
ROTATE = "a private key: remove the file and rotate the key"
WRONG: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "^empty$"),
    "only line ends": (b"\xef\xbb\xbf\r\n", "neither PEM nor DER"),
    "a request": (REQUEST.public_bytes(Encoding.PEM), "a certificate request, not a certificate: ask for"),
    "a request in DER": (REQUEST.public_bytes(Encoding.DER), "a certificate request"),
    "a request in bare base64": (base64.b64encode(REQUEST.public_bytes(Encoding.DER)), "a certificate request"),
    "a CRL": (CRL.public_bytes(Encoding.PEM), r"a certificate revocation list \(CRL\)"),
    "a CRL in DER": (CRL.public_bytes(Encoding.DER), r"a certificate revocation list \(CRL\)"),
    "a public key": (PUBLIC.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo), PUBLIC_KEY),
    "a public key in DER": (PUBLIC.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo), PUBLIC_KEY),
    "a public key of RSA": (openssl("pkey", "-pubout", stdin=LEAF.key_pem), PUBLIC_KEY),
    "an SSH key": (PUBLIC.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH), "an SSH key"),
    "an SSH private key": (
        LEAF.key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()), ROTATE),
    "an OpenPGP key": (b"-----BEGIN PGP PUBLIC KEY BLOCK-----\nmQ==\n-----END PGP PUBLIC KEY BLOCK-----\n", "OpenPGP"),
    "a Java keystore": (b"\xfe\xed\xfe\xed\0\0\0\x02", r"a Java keystore \(JKS\): export the certificate with"),
    "an HTML page": (b"<!DOCTYPE html><html></html>", "an HTML page"),
    "metadata": (b"<?xml version='1.0'?><a/>", "an XML document"),
    "JSON": (b'{"error": "not found"}', "neither PEM nor DER|without a certificate"),
    "a PDF": (b"%PDF-1.7", "a PDF document"),
    "an Outlook message": (b"\xd0\xcf\x11\xe0\xa1\xb1", "an Outlook message"),
    "a tar ball": (b"\x1f\x8b\x08", "a gzip archive"),
    "an image": (b"\x89PNG\r\n", "an image"),
    "text": (b"hello", "neither PEM nor DER"),
    "binary octets": (b"\0\1\2\3", "neither PEM nor DER"),
    "a key": (LEAF.key_pem, ROTATE),
    "a key in DER": (KEY_DER, ROTATE),
    "a key of RSA": (LEAF.key.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption()), ROTATE),
    "a key on a curve": (
        pki.ec_key("k").private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption()), ROTATE),
    "an encrypted key": (LEAF.encrypted_key_pem(b"secret"), ROTATE),
    "a key beside its certificate": (LEAF.pem + LEAF.key_pem, ROTATE),
    "a key on one line": (LEAF.key_pem.replace(b"\n", b"\\n"), ROTATE),
    "a key in UTF-16": (LEAF.key_pem.decode().encode("utf-16"), ROTATE),
    "a key in a service key": (json.dumps({"certificate": ONE, "key": LEAF.key_pem.decode()}).encode(), ROTATE),
    "a key in a keystore whose password is not known": (p12(password="secret", key=True), ROTATE),
    "a key in a ZIP": (zipped(a=LEAF.pem, b=LEAF.key_pem), ROTATE),
    "a key in an e-mail": (mail(LEAF.pem, p12(key=True)), ROTATE),
    "a keystore under a password": (p12(password="secret"), "a PKCS#12 file with a password: put the password into"),
    "a damaged keystore": (p12()[:200] + b"\0" * 40 + p12()[240:], "a PKCS#12 file"),
    "cut short": (LEAF.pem[:300], "incomplete: the line -----END CERTIFICATE----- is missing"),
    "cut short in the second": (LEAF.pem + CA.pem[:300], "incomplete"),
    "cut short in DER": (LEAF.certificate.der[:300], "incomplete: 300 of"),
    "cut short inside of its lines": (LEAF.pem[:300] + b"\n-----END CERTIFICATE-----\n", "damaged base64|incomplete"),
    "octets behind it": (LEAF.certificate.der + b"more", "neither PEM nor DER|not a readable"),
    "a PKCS#7 without certificates": (tlv(0x30, bytes.fromhex("06092a864886f70d010702"), tlv(
        0xA0, tlv(0x30, tlv(2, b"\1"), tlv(0x31), tlv(0x30), tlv(0x31)))), "a PKCS#7 bundle without a certificate"),
    "a ZIP without any": (zipped(**{"readme.txt": b"hello"}), "readme.txt: neither PEM nor DER"),
    "a ZIP that is cut short": (zipped(a=PEM)[:-30], "a damaged ZIP archive"),
    "a ZIP of a file without a name": (zipped(ab=b"hello").replace(b"ab", b"\0b"), "neither PEM nor DER"),
    "a ZIP that is a bomb": (zipped(a=b"\0" * (MAX_UNPACKED + 1)), "bytes inside: unpack it yourself"),
    "a ZIP of ZIPs of ZIPs": (zipped(a=zipped(a=zipped(a=zipped(a=zipped(a=zipped(a=PEM)))))), "inside each other"),
    "a signed e-mail without an attachment": (mail(signature=p7b("DER")), "part 3 of the e-mail"),
    "JSON without an end": (b"[" * 100_000, "without a certificate"),
    "too many": (LEAF.pem * (MAX_CERTIFICATES + 1), "more than 500 certificates"),
}  # fmt: skip


@pytest.mark.parametrize("form", WRONG)
def test_what_is_no_certificate_is_refused_by_what_it_is(form: str) -> None:
    data, words = WRONG[form]
    with pytest.raises(CertificateUnreadable, match=words):
        read_public(data)


@pytest.mark.parametrize("password", [None, "other"])
@pytest.mark.parametrize("pack", [bytes, lambda data: zipped(a=data)], ids=["alone", "in a ZIP"])
def test_that_a_password_would_help_is_said_by_the_type(pack: Callable[[bytes], bytes], password: str | None) -> None:
    with pytest.raises(PasswordNeeded):
        read_contents(pack(p12(password="secret", key=True)), password)


def test_damage_that_no_password_mends_is_of_another_type() -> None:
    with pytest.raises(CertificateUnreadable) as raised:
        read_contents(p12(password="secret")[:-9], "secret")
    assert type(raised.value) is CertificateUnreadable


@pytest.mark.parametrize("form", [form for form, (_, words) in WRONG.items() if words == ROTATE])
def test_that_a_private_key_is_there_is_said_by_the_type(form: str) -> None:
    with pytest.raises(PrivateKeyPresent):
        read_public(WRONG[form][0])


def test_the_signature_of_an_email_gives_no_certificate() -> None:
    signature = openssl("crl2pkcs7", "-nocrl", "-certfile", "/dev/stdin", "-outform", "DER", stdin=LEAF.pem)
    assert read_certificates(mail(CA.pem, signature=signature)) == (CA.certificate,)


def test_what_else_is_in_a_file_is_said() -> None:
    found = read_public(LEAF.pem + CRL.public_bytes(Encoding.PEM) + REQUEST.public_bytes(Encoding.PEM))
    assert found.certificates == (LEAF.certificate,)
    assert ["CRL" in found.others[0], "request" in found.others[1]] == [True, True]


# --- In a partner's directory -------------------------------------------------------------------------------


@pytest.fixture
def acme(tmp_path: Path) -> Path:
    directory = tmp_path / "acme"
    directory.mkdir()
    (directory / "partner.toml").write_text('as2_id = "ACME"\n')
    return directory


def said(problems: tuple[Problem, ...]) -> str:
    return "\n".join(map(str, problems))


def test_a_password_lies_beside_its_keystore(acme: Path) -> None:
    (acme / "a.pfx").write_bytes(p12(password="secret"))
    assert "put the password into a file beside it" in said(load_partner(acme).problems)
    (acme / "a.pfx.password").write_bytes(b"secret\r\n")
    (acme / "a.pfx.password").chmod(0o600)
    loaded = load_partner(acme)
    assert (loaded.problems, loaded.warnings) == ((), ())
    assert loaded.public_certificates == (LEAF.certificate,)
    (acme / "a.pfx.password").chmod(0o644)
    assert "everybody can access the password" in said(load_partner(acme).warnings)
    (acme / "a.pfx.password").write_bytes(b"other")
    assert "the password is wrong" in said(load_partner(acme).problems)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: path.mkdir(), "not read: only tls/, as2/ and mdn/ are"),
        (os.mkfifo, "not a regular file"),
        (lambda path: path.symlink_to("/etc/hostname"), "a symbolic link that leads out"),
        (lambda path: path.write_bytes(p12(key=True)), ROTATE),
    ],
    ids=["a directory", "a FIFO", "a link", "a keystore with a key"],
)
def test_what_cannot_be_read_is_said_and_keeps_nothing_back(
    acme: Path, make: Callable[[Path], object], words: str
) -> None:
    (acme / "good.pem").write_bytes(PEM)
    make(acme / "bad.pfx")
    loaded = load_partner(acme)
    assert loaded.partner
    assert loaded.public_certificates == (LEAF.certificate,)
    assert words in said((*loaded.problems, *loaded.warnings))


def test_an_odd_spelling_is_a_warning(acme: Path) -> None:
    (acme / "a").write_text(TEXT.replace("\n", "\\n"))
    [warning] = load_partner(acme).warnings
    assert str(warning).endswith(
        r"a: the file has \n written out instead of line breaks: it is accepted, and `mtlsd cert doctor` can repair it"
    )


# --- Any octets ---------------------------------------------------------------------------------------------

SAMPLES = sorted(
    {data if isinstance(data, bytes) else data.encode() for data, _ in FORMS.values()}
    | {data for data, _ in WRONG.values() if len(data) < 20_000}
)


def attempt(data: bytes) -> None:
    for read in (read_public, read_contents):
        try:
            found = read(data)
        except CertificateUnreadable:
            continue
        assert found.certificates or found.keys


@settings(max_examples=300)
@given(st.data())
def test_a_damaged_file_of_any_form_is_read_or_refused_and_nothing_else(data: st.DataObject) -> None:
    sample = bytearray(data.draw(st.sampled_from(SAMPLES)))
    for _ in range(data.draw(st.integers(0, 4))):
        if sample:
            sample[data.draw(st.integers(0, len(sample) - 1))] = data.draw(st.integers(0, 255))
    attempt(bytes(sample[: data.draw(st.integers(0, len(sample)))]))


@settings(max_examples=300)
@given(st.sampled_from([b"", *{data[:12] for data in SAMPLES}]), st.binary(max_size=300), st.sampled_from(SAMPLES))
@example(b"", b"\x30\x80" * 100_000, b"")
@example(b"", b"\x24\x80" * 100_000, b"")
@example(b"", b"-----BEGIN CERTIFICATE-----\n" * 35_000, b"")
@example(b"", b"-" * 1_000_000, b"")
@example(b"", b"BEGIN -- " * 100_000, b"")
@example(b"From: a\nTo: b\n", b"Content-Type: multipart/mixed; boundary=a\n\n--a\n" * 20, b"")
@example(b"", b"[" * 500_000, b"")
@example(b"", b'{"a":' * 50_000 + b"1" + b"}" * 50_000, b"")
@example(b"", b"\\" * 1_000_000, b"")
@example(b"", b"a: b\n" * 200_000, b"")
@example(b"-----BEGIN CERTIFICATE-----\n", b"a: b\n" * 200_000, b"-----END CERTIFICATE-----\n")
@example(b"-----BEGIN CERTIFICATE-----\n", b"<" * 1_000_000, b"-----END CERTIFICATE-----\n")
@example(b"-----BEGIN CERTIFICATE-----\n", b" " * 1_000_000, b"-----END CERTIFICATE-----\n")
def test_any_octets_are_read_or_refused_and_nothing_else(start: bytes, middle: bytes, end: bytes) -> None:
    attempt(start + middle + end)
