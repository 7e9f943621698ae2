"""Delivers into a directory: each file appears complete and on disk, or not at all."""

import os
from contextlib import suppress
from pathlib import Path
from shutil import copyfileobj
from typing import BinaryIO

from mtlsd.errors import UpstreamUnreachable
from mtlsd.relay.file_drop import Deposit


def put(folder: Path, deposit: Deposit, document: BinaryIO) -> None:
    """Write both files, the document last, so that the JSON file exists before it. Raises UpstreamUnreachable.

    Blocks on the disk.
    """
    try:
        _write(folder, deposit.metadata_name, deposit.metadata)
        _write(folder, deposit.name, document)
        _sync(folder)
    except OSError as error:
        raise UpstreamUnreachable(f"{folder}: {error.strerror or error}") from error


def _write(folder: Path, name: str, content: bytes | BinaryIO) -> None:
    temporary = folder / f".{name}.part"
    try:
        with temporary.open("wb") as file:
            if isinstance(content, bytes):
                file.write(content)
            else:
                copyfileobj(content, file, 1 << 20)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(folder / name)
    except OSError:
        with suppress(OSError):
            temporary.unlink()
        raise


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
