import subprocess
import sys
from types import ModuleType

import pytest
from asn1crypto import pem as asn1_pem
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from mtlsd.as2.mdn import oscrypto_standin
from tests.support.pyas2_oracle import as2, identity

OWN = identity("STANDIN")

IMPORT_AND_LIST = """
import sys
from mtlsd.as2.mdn.oscrypto_standin import install
with install():
    import pyas2lib
print([name for name in sys.modules if name.split(".")[0] == "oscrypto"])
"""


def test_importing_pyas2lib_leaves_no_oscrypto_behind() -> None:
    listed = subprocess.run([sys.executable, "-c", IMPORT_AND_LIST], check=True, capture_output=True, text=True)
    assert listed.stdout.strip() == "[]"


def test_only_the_stand_in_is_there_during_the_import(monkeypatch: pytest.MonkeyPatch) -> None:
    was_there = ModuleType("oscrypto")
    monkeypatch.setitem(sys.modules, "oscrypto", was_there)
    with oscrypto_standin.install():
        assert sys.modules["oscrypto"] is not was_there
        assert not hasattr(sys.modules["oscrypto"], "__path__")
    assert sys.modules["oscrypto"] is was_there


def test_an_import_that_fails_leaves_no_oscrypto_behind() -> None:
    with pytest.raises(LookupError), oscrypto_standin.install():
        raise LookupError
    assert "oscrypto" not in sys.modules


@pytest.mark.parametrize("digest", ["sha1", "sha224", "sha256", "sha384", "sha512"])
@pytest.mark.parametrize("scheme", ["pkcs1v15", "pss"])
def test_a_signature_holds_for_its_own_data_only(scheme: str, digest: str) -> None:
    sign = getattr(oscrypto_standin, f"rsa_{scheme}_sign")
    verify = getattr(oscrypto_standin, f"rsa_{scheme}_verify")
    certificate = oscrypto_standin.load_certificate(OWN.certificate_pem)
    signature = sign(OWN.private_key, b"data", digest)
    verify(certificate, signature, b"data", digest)
    with pytest.raises(InvalidSignature):
        verify(certificate, signature, b"date", digest)


@pytest.mark.parametrize("scheme", ["pkcs1v15", "oaep"])
def test_a_wrapped_key_unwraps(scheme: str) -> None:
    certificate = oscrypto_standin.load_certificate(OWN.certificate_pem)
    wrapped = getattr(oscrypto_standin, f"rsa_{scheme}_encrypt")(certificate, b"content key")
    assert getattr(oscrypto_standin, f"rsa_{scheme}_decrypt")(OWN.private_key, wrapped) == b"content key"


@pytest.mark.parametrize(
    ("cipher", "key_size"),
    [("aes_cbc_pkcs7", 16), ("aes_cbc_pkcs7", 24), ("aes_cbc_pkcs7", 32), ("tripledes_cbc_pkcs5", 24)],
)
@pytest.mark.parametrize("size", [0, 1, 7, 8, 15, 16, 17])
def test_what_a_cipher_encrypts_it_decrypts(cipher: str, key_size: int, size: int) -> None:
    key, data = bytes(range(key_size)), b"x" * size
    iv, encrypted = getattr(oscrypto_standin, f"{cipher}_encrypt")(key, data, None)
    assert getattr(oscrypto_standin, f"{cipher}_decrypt")(key, encrypted, iv) == data


@pytest.mark.parametrize("name", oscrypto_standin.REFUSED)
def test_a_weak_cipher_is_refused_in_words(name: str) -> None:
    with oscrypto_standin.install():
        symmetric = vars(sys.modules["oscrypto"])["symmetric"]
    with pytest.raises(ValueError, match="not available"):
        getattr(symmetric, name)(b"key", b"data", None)


def test_a_certificate_is_read_from_pem_and_from_der() -> None:
    der = OWN.certificate.public_bytes(Encoding.DER)
    for source in (OWN.certificate_pem, der):
        certificate = oscrypto_standin.load_certificate(source)
        assert certificate.asn1.dump() == der
        assert certificate.asn1["tbs_certificate"]["serial_number"].native == OWN.certificate.serial_number


def test_what_is_no_certificate_is_a_value_error() -> None:
    for source in (b"", b"\x30\x00", b"no certificate", OWN.private_key_pem):
        with pytest.raises(ValueError, match=r".+"):
            oscrypto_standin.load_certificate(source)


def test_pyas2lib_loads_its_keys_from_pkcs12_and_from_pem() -> None:
    secret = BestAvailableEncryption(b"password")
    encrypted = OWN.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, secret)
    for source in (OWN.pkcs12("password"), encrypted + OWN.certificate_pem):
        key, certificate = as2.Organization.load_key(source, "password")
        assert key.private_numbers() == OWN.private_key.private_numbers()
        assert certificate.asn1.dump() == OWN.certificate.public_bytes(Encoding.DER)
        with pytest.raises(as2.AS2Exception, match=r"[Pp]assword"):
            as2.Organization.load_key(source, "wrong")


def test_a_key_that_is_not_rsa_is_refused() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    for source in (pem, asn1_pem.unarmor(pem)[2]):
        with pytest.raises(OSError, match="not an RSA key"):
            oscrypto_standin.load_private_key(source)
