"""However large a message is, the daemon holds one piece of it: its resident memory grows by less than 64 MiB."""

import subprocess
from pathlib import Path
from typing import BinaryIO

import pytest

from mtlsd.pki.key_pair import KeyPair
from tests.support.client import Answer, opened, request
from tests.support.daemon import Daemon, Tree, acme, keys, running, spooled
from tests.support.messages import write_pair
from tests.support.partner import message

MIB = 1 << 20
SELFTEST = "/.well-known/mtlsd/as2-selftest"


@pytest.mark.parametrize("mebibytes", [64, pytest.param(1024, marks=pytest.mark.long)])
def test_a_large_message(tmp_path_factory: pytest.TempPathFactory, mebibytes: int) -> None:
    folder = tmp_path_factory.mktemp("large")
    body = encrypted_and_signed(folder, mebibytes * MIB)
    with running(Tree(folder / "tree")) as daemon:
        assert stream(daemon, body, "<first@acme.example>", small=True).status == 200
        before = resident(daemon)
        answer = stream(daemon, body, "<large@acme.example>")
        assert b"; processed\r\n" in answer.body
        assert peak(daemon) - before < 64 * MIB


def test_a_large_self_test(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Every possible MIC is computed of it, and nothing of it stays."""
    folder = tmp_path_factory.mktemp("selftest")
    body = encrypted_and_signed(folder, 48 * MIB)
    with running(Tree(folder / "tree")) as daemon:
        assert stream(daemon, body, "<first@acme.example>", small=True, path=SELFTEST).status == 200
        before = resident(daemon)
        answer = stream(daemon, body, "<large@acme.example>", path=SELFTEST)
        assert b"; processed\r\n" in answer.body
        assert b"decrypted, signed part, without header, raw" in answer.body
        assert peak(daemon) - before < 64 * MIB
        assert spooled(daemon.tree) == []


def encrypted_and_signed(folder: Path, size: int) -> Path:
    """A signed and encrypted message, made by `openssl cms` from file to file."""
    document, signed, encrypted = (folder / name for name in ("document", "signed", "encrypted"))
    header = b"Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: binary\r\n\r\n"
    with document.open("wb") as file:
        file.write(header)
        for _ in range(size // MIB):
            file.write(bytes(MIB))
    _pair(folder / "acme.pem", keys("ACME"))
    _pair(folder / "example.pem", keys("EXAMPLE"))
    signer, recipient = folder / "acme.pem", folder / "example.pem"
    _openssl("-sign", "-binary", "-md", "sha256", "-signer", signer, "-in", document, "-out", folder / "p7s")
    with signed.open("wb") as file:
        file.write(b'Content-Type: multipart/signed; protocol="application/pkcs7-signature"; micalg=sha-256; ')
        file.write(b'boundary="b1"\r\n\r\n--b1\r\n')
        _append(file, document)
        file.write(
            b"\r\n--b1\r\nContent-Type: application/pkcs7-signature\r\nContent-Transfer-Encoding: binary\r\n\r\n"
        )
        _append(file, folder / "p7s")
        file.write(b"\r\n--b1--\r\n")
    document.unlink()
    _openssl("-encrypt", "-stream", "-binary", "-aes256", "-recip", recipient, "-in", signed, "-out", encrypted)
    signed.unlink()
    return encrypted


def _append(file: BinaryIO, path: Path) -> None:
    with path.open("rb") as source:
        while data := source.read(MIB):
            file.write(data)


def _pair(path: Path, pair: KeyPair) -> None:
    write_pair(path, pair)


def _openssl(*arguments: object) -> None:
    subprocess.run(["openssl", "cms", *map(str, arguments), "-outform", "DER"], check=True, capture_output=True)


def stream(daemon: Daemon, body: Path, message_id: str, *, small: bool = False, path: str = "/as2") -> Answer:
    """Send a message from a file; a small one first warms up what is made once."""
    sent = message(message_id)
    with opened(daemon.address, acme()) as client:
        if small:
            return client.request(request(path=path, fields=sent.fields, body=sent.body))
        fields = [*sent.fields, ("Content-Length", str(body.stat().st_size))]
        client.send(request(path=path, fields=fields, length=False))
        with body.open("rb") as file:
            while data := file.read(MIB):
                client.send(data)
        return client.answer()


def resident(daemon: Daemon) -> int:
    return _status(daemon, "VmRSS")


def peak(daemon: Daemon) -> int:
    return _status(daemon, "VmHWM")


def _status(daemon: Daemon, name: str) -> int:
    lines = Path(f"/proc/{daemon.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))
