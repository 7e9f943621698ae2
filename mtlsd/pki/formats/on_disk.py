"""Reads certificate files on disk, with the password in a file beside them: `acme.pfx` and `acme.pfx.password`."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from mtlsd.files.reading import FileRefused, read_file
from mtlsd.pki.certificate import Certificate
from mtlsd.pki.formats.reader import Contents, read_contents, read_public
from mtlsd.pki.lint import oddities

PASSWORD = ".password"  # noqa: S105  # appended to the name of the file


@dataclass(frozen=True, slots=True)
class PublicFile:
    """The contents of a file of somebody else's, and warnings about them, one sentence each."""

    certificates: tuple[Certificate, ...]
    warnings: tuple[str, ...]
    lists: tuple[bytes, ...] = ()  # revocation lists in DER, if they were asked for


@dataclass(frozen=True, slots=True)
class OwnFile:
    """The contents of one of our own files."""

    contents: Contents
    mode: int
    password_file: Path | None
    password_mode: int


def read_public_file(
    path: Path,
    within: Path | None = None,
    data: bytes | None = None,
    *,
    password: str | None = None,
    may_have_password: bool = True,
    lists: bool = False,
) -> PublicFile:
    """Read a file that may not hold a private key; raises FileRefused or CertificateUnreadable.

    `data` is the content of the file, if it was read already. Without `password`, the one in the file beside it is
    used, unless there is none. With `lists`, revocation lists are read too, and a file may hold nothing else.
    """
    mode = 0
    if password is None and may_have_password:
        password, mode = password_beside(path, within)
    found = read_public(read_file(path, within).data if data is None else data, password, lists=lists)
    repair = ", and `mtlsd cert doctor` can repair it" if found.certificates else ""
    warnings = [f"the file {each}: it is accepted{repair}" for each in found.remarks]
    warnings += (f"not used: {each}" for each in found.others)
    warnings += (f"{each.subject}: {oddity}" for each in found.certificates for oddity in oddities(each))
    if password is not None and (words := exposed(mode, "password")):
        warnings.append(words)
    return PublicFile(found.certificates, tuple(warnings), found.lists)


def read_own_file(path: Path) -> OwnFile:
    """Read one of our own files, with the keys in it; raises FileRefused or CertificateUnreadable."""
    password, password_mode = password_beside(path, None)
    file = read_file(path)
    beside = _password_file(path) if password is not None else None
    return OwnFile(read_contents(file.data, password), file.mode, beside, password_mode)


def exposed(mode: int, secret: str) -> str | None:
    """The warning about a secret that others can read or replace."""
    if is_open_to_everybody(mode):
        return f"everybody can access the {secret} (mode {mode:04o}): chmod 600 the file, and rotate the {secret}"
    return f"the {secret} is group-readable (mode {mode:04o}): chmod 600 the file" if mode & stat.S_IRGRP else None


def is_open_to_everybody(mode: int) -> bool:
    """Whether everybody on this machine can read or replace the file."""
    return bool(mode & (stat.S_IROTH | stat.S_IWOTH))


def decoded_password(data: bytes) -> str:
    """The password in the bytes of its file, without a byte-order mark and the line end that editors add."""
    try:
        return data.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise FileRefused("the password in its .password file is not UTF-8") from error


def password_in(file: Path) -> str:
    """The password in a file; raises FileRefused."""
    return decoded_password(read_file(file).data)


def password_beside(path: Path, within: Path | None = None) -> tuple[str | None, int]:
    """The password for a file, or None, and the mode of the password file; raises FileRefused."""
    beside = _password_file(path)
    if not os.path.lexists(beside):
        return None, 0
    try:
        file = read_file(beside, within)
    except FileRefused as error:
        raise FileRefused(f"{beside.name}: {error}") from error
    return decoded_password(file.data), file.mode


def _password_file(path: Path) -> Path:
    return path.with_name(path.name + PASSWORD)
