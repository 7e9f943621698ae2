"""Notes in the state directory: for each file under partners/ that is not used, one that gives the reason.

`state/trust/<partner>/<file>.why` exists as long as the error does. The trust directory itself is never written. The
log reports the same; a note remains after the log was rotated.
"""

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from string import ascii_letters, digits

from mtlsd.errors import Problem
from mtlsd.files.durable import placed
from mtlsd.files.private import PRIVATE, make_directory
from mtlsd.snapshot.snapshot import Snapshot
from mtlsd.text import printable

DIRECTORY = "trust"
WHY = ".why"
PLAIN = frozenset(f"{ascii_letters}{digits}._- ")  # characters that are not encoded
MAX_NAME = 180  # octets, of the 255 that a file system allows
FOOT = """
mtlsd does not use this file, and reads it again as soon as it changes. The file has not been moved or modified.
`mtlsd check` reports what is wrong now; `mtlsd cert doctor FILE` examines a certificate file, and repairs it if it can.
mtlsd deletes this note by itself.
"""


def notes_directory(snapshot: Snapshot) -> Path:
    """The directory of the notes."""
    return snapshot.configuration.server.state / DIRECTORY


def update_notes(snapshot: Snapshot) -> None:
    """Update the notes; raises OSError. Blocks on the disk."""
    partners = snapshot.configuration.server.certs / "partners"
    write_notes(notes_directory(snapshot), notes(partners, snapshot.problems))


def notes(partners: Path, problems: Iterable[Problem]) -> dict[Path, str]:
    """The text for each file with a problem, by the path of the note below `state/trust/`."""
    said: defaultdict[Path, list[Problem]] = defaultdict(list)
    for problem in problems:
        if problem.file.is_relative_to(partners) and len(problem.file.relative_to(partners).parts) > 1:
            said[problem.file].append(problem)
    return {_place(file.relative_to(partners)): _text(several) for file, several in said.items()}


def write_notes(directory: Path, wanted: Mapping[Path, str]) -> None:
    """Write these notes below the directory, and delete all others; raises OSError."""
    for place in _notes_below(directory):
        if place.relative_to(directory) not in wanted:
            place.unlink()
            _remove_empty(place.parent, directory)
    for place, text in wanted.items():
        _write(directory / place, text.encode())


def safe_name(name: str) -> str:
    """A file name without a path and without special characters for a shell or terminal; unique for each name."""
    octets = os.fsencode(name)
    encoded = "".join(chr(each) if chr(each) in PLAIN else f"%{each:02X}" for each in octets)
    if encoded.startswith("."):
        encoded = f"%2E{encoded[1:]}"
    if len(encoded) <= MAX_NAME:
        return encoded
    return f"{encoded[:MAX_NAME]}%{sha256(octets).hexdigest()[:16]}"


def _place(relative: Path) -> Path:
    *above, name = map(safe_name, relative.parts)
    return Path(*above, name + WHY)


def _text(problems: Iterable[Problem]) -> str:
    lines = "".join(f"{printable(str(each))}\n" for each in problems)  # a file may name what is inside of it
    return f"{lines}{FOOT}"


def _notes_below(directory: Path) -> Iterator[Path]:
    for folder, _, names in os.walk(directory):  # does not follow links
        yield from (Path(folder, name) for name in names if name.endswith(WHY))


def _remove_empty(folder: Path, top: Path) -> None:
    with suppress(OSError):  # it is not empty
        while folder != top:
            folder.rmdir()
            folder = folder.parent


def _write(path: Path, data: bytes) -> None:
    if path.is_file() and path.read_bytes() == data:
        return
    make_directory(path.parent)
    with placed(path, PRIVATE, alone=True, name_is_synced=False) as file:  # the next start writes it again
        file.write(data)
