"""Checkpoints on disk, and the key that signs them.

The key of a node is an Ed25519 key in `state/node.key`, and the node's name is its fingerprint: 32 digits of the
SHA-256 over the SubjectPublicKeyInfo. A directory of checkpoints holds two files per node: `<node>.pem`, its public
key, and `<node>.jsonl`, one signed checkpoint per line. Nobody who can write the journal should be able to write it.
"""

import json
import os
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fcntl import LOCK_EX, flock
from hashlib import sha256
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from mtlsd.errors import JournalUnavailable
from mtlsd.files.durable import sync_directory
from mtlsd.files.private import PRIVATE, make_directory, open_private
from mtlsd.files.writing import PUBLIC, write_file
from mtlsd.journal.proof.chain import Checkpoint
from mtlsd.journal.spool import disk_errors

KEY = "node.key"
NAME_DIGITS = 32
MAX_LINE = 4096  # octets
TAIL = 64 * 1024  # octets at the end of a file that are searched first for the newest checkpoint
UNNAMED = "unnamed"  # the name of the chain before a node has a key


@dataclass(frozen=True, slots=True)
class NodeKey:
    """The key of this node, which signs its checkpoints and nothing else."""

    private: Ed25519PrivateKey

    @property
    def node(self) -> str:
        return node_of(self.private.public_key())


@dataclass(frozen=True, slots=True)
class SignedCheckpoint:
    """A checkpoint whose signature is not verified yet; `line` is its line in the file, from 1."""

    checkpoint: Checkpoint
    signature: bytes
    line: int

    @property
    def text(self) -> bytes:
        """The line of the file."""
        signature = b64encode(self.signature).decode()
        return json.dumps({**json.loads(self.checkpoint.text), "signature": signature}).encode()

    def is_signed_by(self, key: Ed25519PublicKey) -> bool:
        try:
            key.verify(self.signature, self.checkpoint.text)
        except InvalidSignature:
            return False
        return True


class CheckpointUnreadable(JournalUnavailable):
    """The public key beside the checkpoints of a node is missing, unreadable, or that of another node."""


def load_key(state: Path) -> NodeKey:
    """The key of the node, created if there is none; raises JournalUnavailable or SpoolFull."""
    path = state / KEY
    with disk_errors():
        if not path.exists():
            _make_key(path)
        data = path.read_bytes()
    try:
        private = load_pem_private_key(data, password=None)
    except ValueError as error:
        raise JournalUnavailable(f"{path} is not a key: {error}") from error
    if not isinstance(private, Ed25519PrivateKey):
        raise JournalUnavailable(f"{path} is not an Ed25519 key")
    return NodeKey(private)


def node_name(state: Path) -> str:
    """The name of the node, for commands; UNNAMED if the daemon has not created a key yet."""
    return load_key(state).node if (state / KEY).exists() else UNNAMED


def write(directory: Path, key: NodeKey, checkpoint: Checkpoint) -> SignedCheckpoint:
    """Sign a checkpoint as the next one in this directory and write it; raises JournalUnavailable or SpoolFull."""
    assert checkpoint.node == key.node
    with disk_errors():
        is_ours = make_directory(directory)
        public = directory / f"{key.node}.pem"
        if not public.exists():  # in a directory of their own, auditors must be able to read it
            _write_new(public, pem_of(key.private.public_key()), PRIVATE if is_ours else PUBLIC)
        with _locked(directory / f"{key.node}.jsonl") as fd:  # no other process can take the same sequence number
            checkpoint = replace(checkpoint, sequence=_last_sequence(fd) + 1)
            signed = SignedCheckpoint(checkpoint, key.private.sign(checkpoint.text), 0)
            _append(fd, signed.text)
    return signed


def nodes(directory: Path) -> list[str]:
    """The nodes that have checkpoints in this directory."""
    with disk_errors():
        return sorted(each.stem for each in directory.glob("*.jsonl"))


def public_key(directory: Path, node: str) -> Ed25519PublicKey:
    """The public key of a node, checked against the node's name; raises CheckpointUnreadable."""
    path = directory / f"{node}.pem"
    try:
        key = load_pem_public_key(path.read_bytes())
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not a public key"
        raise CheckpointUnreadable(f"{path} cannot be read: {why}. Put the public key of the node there") from error
    if not isinstance(key, Ed25519PublicKey) or node_of(key) != node:
        raise CheckpointUnreadable(f"{path} is the key of another node")
    return key


def read(directory: Path, node: str) -> Iterator[SignedCheckpoint]:
    """The checkpoints of a node, in the order of the file; a line that a crash left incomplete is skipped."""
    for number, line in _lines(directory, node):
        if signed := _parse(number, line):
            yield signed


def lost(directory: Path, node: str) -> tuple[int, str] | None:
    """The number of the first entry after a missing checkpoint, and the end of a sentence; None if none is missing.

    Lines that were cut off at the end are not noticed. An incomplete line that a crash left does not count as a loss if
    the next line continues the sequence.
    """
    expected, number, unreadable = 1, 0, 0
    for line, text in _lines(directory, node):
        signed = _parse(line, text)
        if signed is None:
            unreadable = unreadable or line
        elif signed.checkpoint.sequence != expected:
            return number + 1, _missing(node, expected, signed.checkpoint.sequence, unreadable)
        else:
            expected, number, unreadable = expected + 1, signed.checkpoint.number, 0
    if unreadable:
        return number + 1, f"has lost a checkpoint: line {unreadable} of {node}.jsonl cannot be read"
    return None


def _missing(node: str, expected: int, found: int, unreadable: int) -> str:
    where = f"line {unreadable} of {node}.jsonl cannot be read" if unreadable else f"lines of {node}.jsonl are missing"
    return f"has lost a checkpoint: expected number {expected}, found {found}: {where}"


def _lines(directory: Path, node: str) -> Iterator[tuple[int, bytes]]:
    path = directory / f"{node}.jsonl"
    with disk_errors():
        data = path.read_bytes() if path.exists() else b""
    for number, line in enumerate(data.split(b"\n"), 1):
        if line:
            yield number, line[:MAX_LINE]


def last(directory: Path, node: str) -> Checkpoint | None:
    """The newest checkpoint of a node."""
    signed = list(read(directory, node))
    return max((each.checkpoint for each in signed), key=lambda each: each.number, default=None)


def node_of(key: Ed25519PublicKey) -> str:
    """The name of the node that has this key."""
    return sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()[:NAME_DIGITS]


def pem_of(key: Ed25519PublicKey) -> bytes:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _parse(number: int, line: bytes) -> SignedCheckpoint | None:
    try:
        values = json.loads(line)
        what = str(values["node"]), int(values["number"]), str(values["digest"])
        checkpoint = Checkpoint(*what, float(values["at"]), int(values["sequence"]))
        return SignedCheckpoint(checkpoint, b64decode(values["signature"]), number)
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None


def _make_key(path: Path) -> None:
    private = Ed25519PrivateKey.generate()
    make_directory(path.parent)
    _write_new(path, private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), PRIVATE)


def _write_new(path: Path, data: bytes, mode: int) -> None:
    """Create the file; if another process was quicker, its file stays."""
    try:
        write_file(path, data, mode)
    except FileExistsError:
        sync_directory(path.parent)  # the other process may not have come to that yet


@contextmanager
def _locked(path: Path) -> Iterator[int]:
    """The file, locked, created if there is none: the daemon and `mtlsd journal prove` may write at the same time."""
    is_new = not path.exists()
    fd = open_private(path, os.O_RDWR | os.O_APPEND)
    try:
        flock(fd, LOCK_EX)
        yield fd
    finally:
        os.close(fd)
    if is_new:
        sync_directory(path.parent)


def _last_sequence(fd: int) -> int:
    """The sequence of the newest checkpoint in the file; 0 if there is none."""
    size = os.fstat(fd).st_size
    for length in (min(size, TAIL), size):  # the whole file is read only if its end has no checkpoint
        lines = os.pread(fd, length, size - length).split(b"\n")
        if found := [signed.checkpoint.sequence for line in lines if (signed := _parse(0, line[:MAX_LINE]))]:
            return max(found)
    return 0


def _append(fd: int, line: bytes) -> None:
    size = os.fstat(fd).st_size
    torn = size and os.pread(fd, 1, size - 1) != b"\n"  # by a crash: the rest stays a line of its own
    rest = (b"\n" if torn else b"") + line + b"\n"
    while rest:  # a full disk accepts a part, and the next write fails
        rest = rest[os.write(fd, rest) :]
    os.fsync(fd)
