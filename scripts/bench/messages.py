"""A large message for the benchmarks, made by `openssl cms`: signed, then encrypted."""

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from scripts.bench.rig import Pair

MIB = 1024 * 1024
ENTITY_HEADER = b"Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: binary\r\n\r\n"
SIGNED_TYPE = b'multipart/signed; protocol="application/pkcs7-signature"; micalg=sha-256; boundary="b-large"'
SIGNED_HEADER = b"Content-Type: " + SIGNED_TYPE + b"\r\n\r\n"
SIGNATURE_HEADER = b"Content-Type: application/pkcs7-signature\r\nContent-Transfer-Encoding: binary\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Keys:
    """Who signs, and who can decrypt."""

    signer: Pair
    recipient: Pair


def large_message(folder: Path, keys: Keys, mib: int, *, ber: bool) -> Path:
    """The body of the message, as a file in `folder`; `ber` is how streaming senders write it."""
    entity, signature, signed, body = (folder / name for name in ("entity", "signature", "signed", "body"))
    block = os.urandom(MIB)
    with entity.open("wb") as file:
        file.write(ENTITY_HEADER)
        for _ in range(mib):
            file.write(block)
    signer: list[str | Path] = ["-signer", keys.signer.chain_file, "-inkey", keys.signer.key_file]
    openssl("-sign", "-md", "sha256", *signer, "-in", entity, "-out", signature)
    with signed.open("wb") as file:
        file.write(SIGNED_HEADER + b"--b-large\r\n")
        for data in pieces(entity):
            file.write(data)
        file.write(b"\r\n--b-large\r\n" + SIGNATURE_HEADER + signature.read_bytes() + b"\r\n--b-large--\r\n")
    entity.unlink()
    stream = ["-stream"] if ber else []
    openssl("-encrypt", "-aes256", *stream, "-in", signed, "-out", body, keys.recipient.chain_file)
    signed.unlink()
    return body


def openssl(operation: str, *arguments: str | Path) -> None:
    """Run `openssl cms` on files."""
    command = ["openssl", "cms", operation, "-binary", "-outform", "DER", *arguments]
    subprocess.run([str(each) for each in command], check=True)


def pieces(path: Path, size: int = 256 * 1024) -> Iterator[bytes]:
    """The octets of a file."""
    with path.open("rb") as file:
        while data := file.read(size):
            yield data
