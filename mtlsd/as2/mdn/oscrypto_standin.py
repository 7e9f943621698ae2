"""The names of oscrypto that pyas2lib uses, implemented with `cryptography` and asn1crypto.

oscrypto 1.3.0 cannot start with OpenSSL 3.0.10 and later, and pyas2lib imports it. `install` replaces it with this
stand-in while that import runs. Single DES, RC2 and RC4 are refused: mtlsd never asks pyas2lib for them.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import RLock
from types import ModuleType, SimpleNamespace
from typing import Any, NoReturn

from asn1crypto import pem
from asn1crypto import x509 as asn1_x509
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, CipherAlgorithm, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.padding import PKCS7
from cryptography.hazmat.primitives.serialization import pkcs12

DER_SEQUENCE = b"\x30"
REFUSED = (
    "rc2_cbc_pkcs5_encrypt",
    "rc2_cbc_pkcs5_decrypt",
    "rc4_encrypt",
    "rc4_decrypt",
    "des_cbc_pkcs5_encrypt",
)
_one_at_a_time = RLock()


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate as pyas2lib reads it: `asn1` for its issuer and serial number, and its RSA key."""

    asn1: Any
    public_key: RSAPublicKey


@contextmanager
def install() -> Iterator[None]:
    """Replace oscrypto while the block imports pyas2lib; the module that was there before is restored."""
    with _one_at_a_time:
        real = sys.modules.pop("oscrypto", None)
        sys.modules["oscrypto"] = _module()
        try:
            yield
        finally:
            sys.modules.pop("oscrypto", None)
            if real is not None:
                sys.modules["oscrypto"] = real


def load_certificate(source: bytes) -> Certificate:
    """Read one certificate, PEM or DER; raises ValueError if it is not one."""
    der = source
    if pem.detect(source):
        label, _, der = pem.unarmor(source)
        if label != "CERTIFICATE":
            raise ValueError(f"not a certificate but a {label}")
    certificate = asn1_x509.Certificate.load(der)
    public_key = serialization.load_der_public_key(certificate.public_key.dump())
    if not isinstance(public_key, RSAPublicKey):
        raise ValueError("not an RSA certificate")
    return Certificate(certificate, public_key)


def load_private_key(source: bytes, password: str | None = None) -> RSAPrivateKey:
    """Read an RSA private key, PEM or DER; raises OSError if it cannot be read, as pyas2lib expects."""
    load = serialization.load_pem_private_key if pem.detect(source) else serialization.load_der_private_key
    try:
        key = load(source, _secret(password))
    except (ValueError, TypeError) as error:
        raise OSError(str(error)) from error
    if not isinstance(key, RSAPrivateKey):
        raise OSError("not an RSA key")
    return key


def load_pkcs12(source: bytes, password: str | None = None) -> tuple[RSAPrivateKey, Certificate, list[Any]]:
    """Read a PKCS#12 file. pyas2lib recognizes a wrong password by the text of the ValueError."""
    if not source.startswith(DER_SEQUENCE):
        raise ValueError("not a PKCS#12 file")
    try:
        key, certificate, _ = pkcs12.load_key_and_certificates(source, _secret(password))
    except ValueError as error:
        raise ValueError("Password provided is invalid") from error
    if not isinstance(key, RSAPrivateKey) or certificate is None:
        raise ValueError("a PKCS#12 file without an RSA key and its certificate")
    return key, load_certificate(certificate.public_bytes(serialization.Encoding.DER)), []


def rsa_pkcs1v15_sign(key: RSAPrivateKey, data: bytes, digest: str) -> bytes:
    return key.sign(data, padding.PKCS1v15(), _hash(digest))


def rsa_pkcs1v15_verify(certificate: Certificate, signature: bytes, data: bytes, digest: str) -> None:
    certificate.public_key.verify(signature, data, padding.PKCS1v15(), _hash(digest))


def rsa_pss_sign(key: RSAPrivateKey, data: bytes, digest: str) -> bytes:
    return key.sign(data, _pss(digest), _hash(digest))


def rsa_pss_verify(certificate: Certificate, signature: bytes, data: bytes, digest: str) -> None:
    certificate.public_key.verify(signature, data, _pss(digest), _hash(digest))


def rsa_pkcs1v15_encrypt(certificate: Certificate, data: bytes) -> bytes:
    return certificate.public_key.encrypt(data, padding.PKCS1v15())


def rsa_pkcs1v15_decrypt(key: RSAPrivateKey, data: bytes) -> bytes:
    return key.decrypt(data, padding.PKCS1v15())


def rsa_oaep_encrypt(certificate: Certificate, data: bytes) -> bytes:
    return certificate.public_key.encrypt(data, _oaep())


def rsa_oaep_decrypt(key: RSAPrivateKey, data: bytes) -> bytes:
    return key.decrypt(data, _oaep())


def aes_cbc_pkcs7_encrypt(key: bytes, data: bytes, iv: bytes | None) -> tuple[bytes, bytes]:
    return _cbc_encrypt(AES(key), data, iv)


def aes_cbc_pkcs7_decrypt(key: bytes, data: bytes, iv: bytes) -> bytes:
    return _cbc_decrypt(AES(key), data, iv)


def tripledes_cbc_pkcs5_encrypt(key: bytes, data: bytes, iv: bytes | None) -> tuple[bytes, bytes]:
    return _cbc_encrypt(TripleDES(key), data, iv)


def tripledes_cbc_pkcs5_decrypt(key: bytes, data: bytes, iv: bytes) -> bytes:
    return _cbc_decrypt(TripleDES(key), data, iv)


def refuse_cipher(*_: object) -> NoReturn:
    """Refuse single DES, RC2 and RC4; raises ValueError."""
    raise ValueError("single DES, RC2 and RC4 are not available")


def _module() -> ModuleType:
    module = ModuleType("oscrypto", "A stand-in; see mtlsd.as2.mdn.oscrypto_standin.")
    asymmetric = _named(load_certificate, load_private_key, load_pkcs12)
    asymmetric |= _named(rsa_pkcs1v15_sign, rsa_pkcs1v15_verify, rsa_pkcs1v15_encrypt, rsa_pkcs1v15_decrypt)
    asymmetric |= _named(rsa_pss_sign, rsa_pss_verify, rsa_oaep_encrypt, rsa_oaep_decrypt)
    symmetric = _named(aes_cbc_pkcs7_encrypt, aes_cbc_pkcs7_decrypt)
    symmetric |= _named(tripledes_cbc_pkcs5_encrypt, tripledes_cbc_pkcs5_decrypt)
    symmetric |= dict.fromkeys(REFUSED, refuse_cipher)
    vars(module).update(
        asymmetric=SimpleNamespace(**asymmetric),
        symmetric=SimpleNamespace(**symmetric),
        util=SimpleNamespace(rand_bytes=os.urandom),
    )
    return module


def _named(*functions: Any) -> dict[str, Any]:
    return {function.__name__: function for function in functions}


def _secret(password: str | None) -> bytes | None:
    return password.encode() if password else None


def _hash(digest: str) -> hashes.HashAlgorithm:
    algorithm: hashes.HashAlgorithm = getattr(hashes, digest.upper())()
    return algorithm


def _pss(digest: str) -> padding.PSS:
    return padding.PSS(padding.MGF1(_hash(digest)), padding.PSS.DIGEST_LENGTH)


def _oaep() -> padding.OAEP:
    return padding.OAEP(padding.MGF1(_hash("sha1")), _hash("sha1"), None)


def _cbc_encrypt(cipher: CipherAlgorithm, data: bytes, iv: bytes | None) -> tuple[bytes, bytes]:
    block = _block_size(cipher)
    iv = iv or os.urandom(block // 8)
    padder, encryptor = PKCS7(block).padder(), Cipher(cipher, modes.CBC(iv)).encryptor()
    return iv, encryptor.update(padder.update(data) + padder.finalize()) + encryptor.finalize()


def _cbc_decrypt(cipher: CipherAlgorithm, data: bytes, iv: bytes) -> bytes:
    unpadder, decryptor = PKCS7(_block_size(cipher)).unpadder(), Cipher(cipher, modes.CBC(iv)).decryptor()
    padded = decryptor.update(data) + decryptor.finalize()
    return unpadder.update(padded) + unpadder.finalize()


def _block_size(cipher: CipherAlgorithm) -> int:
    return AES.block_size if isinstance(cipher, AES) else TripleDES.block_size
