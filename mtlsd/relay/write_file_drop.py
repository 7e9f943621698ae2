"""Delivers into a directory: each file appears complete and on disk, or not at all."""

from pathlib import Path
from shutil import copyfileobj
from typing import BinaryIO

from mtlsd.errors import UpstreamUnreachable
from mtlsd.files.durable import placed, sync_directory
from mtlsd.relay.file_drop import METADATA, Deposit


def put(folder: Path, deposit: Deposit, document: BinaryIO) -> None:
    """Write both files, the document last, so that the JSON file exists before it. Raises UpstreamUnreachable.

    Blocks on the disk.
    """
    try:
        _write(folder, f"{deposit.name}{METADATA}", deposit.metadata)
        _write(folder, deposit.name, document)
        sync_directory(folder)
    except OSError as error:
        raise UpstreamUnreachable(f"{folder}: {error.strerror or error}") from error


def _write(folder: Path, name: str, content: bytes | BinaryIO) -> None:
    with placed(folder / name, alone=True, name_is_synced=False) as file:
        if isinstance(content, bytes):
            file.write(content)
        else:
            copyfileobj(content, file, 1 << 20)
