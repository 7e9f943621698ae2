"""What a single value may be: each function takes one, and returns it parsed or says what was expected.

They raise ValueError, which pydantic gathers; the text says what was expected and never repeats the value.
"""

import re
from collections.abc import Callable
from enum import StrEnum
from ipaddress import IPv6Address
from pathlib import Path

from pydantic import PlainValidator

MAX_PORT = 65535
OURS = "/.well-known/mtlsd/"

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_AUTHORITY = re.compile(r"(?P<host>[^:\[\]]*|\[[^\[\]]*\])(?::(?P<port>[0-9]{1,5}))?")
_DIRECTORY_NAME = re.compile(r"(?!\.)[!-.0-~](?:[ -.0-~]{0,126}[!-.0-~])?")  # ASCII without a slash
_POSTGRES = re.compile(r"postgres(?:ql)?://[!-~]*")  # ASCII without blanks and control characters
_MAIL_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9.-]{1,253}")
_SEGMENT = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@-]+")  # RFC 3986, section 3.3, without percent-encoding


def text(parse: Callable[[str], object]) -> PlainValidator:
    """A TOML string that `parse` understands."""

    def validate(value: object) -> object:
        if not isinstance(value, str):
            raise ValueError("expected text in quotes")
        return parse(value)

    return PlainValidator(validate)


def number(lowest: int, highest: int) -> PlainValidator:
    """A TOML integer within bounds; true and 1.0 are none."""

    def validate(value: object) -> int:
        if type(value) is not int or not lowest <= value <= highest:
            raise ValueError(f"expected a whole number from {lowest} to {highest}")
        return value

    return PlainValidator(validate)


def flag() -> PlainValidator:
    """A TOML boolean."""

    def validate(value: object) -> bool:
        if not isinstance(value, bool):
            raise ValueError("expected true or false")
        return value

    return PlainValidator(validate)


def one_or_more(parse: Callable[[str], object]) -> PlainValidator:
    """A TOML string that `parse` understands, or a list of different ones."""

    def validate(value: object) -> tuple[object, ...]:
        listed = value if isinstance(value, list) else [value]
        if not listed or not all(isinstance(each, str) for each in listed):
            raise ValueError("expected text in quotes, or a list of such texts")
        if len(set(listed)) < len(listed):
            raise ValueError("expected each of the list once")
        return tuple(map(parse, listed))

    return PlainValidator(validate)


def choice(names: type[StrEnum] | tuple[str, ...], later: tuple[str, ...] = ()) -> PlainValidator:
    """One of some names; those that a later version will serve get an answer of their own."""
    served = {str(name): name for name in names}
    listed = ", ".join(f'"{name}"' for name in served)

    def parse(value: str) -> str:
        if value in served:
            return served[value]
        if value in later:
            raise ValueError(f"this is not served by this version; expected {listed}")
        raise ValueError(f"expected one of {listed}" if len(served) > 1 else f"expected {listed}")

    return text(parse)


def path(value: str) -> Path:
    """A file path, absolute or not."""
    if not value or "\0" in value or value.startswith("~"):
        raise ValueError('expected a path, absolute or relative to this file ("~" is not expanded)')
    return Path(value)


def days(value: object) -> tuple[int, ...]:
    """Different numbers of days, the most first."""
    listed = value if isinstance(value, list) else []
    if not listed or any(type(each) is not int or not 0 <= each <= 3650 for each in listed):
        raise ValueError("expected a list of whole numbers from 0 to 3650, such as [30, 7, 0]")
    if len(set(listed)) < len(listed):
        raise ValueError("expected each of the list once")
    return tuple(sorted(listed, reverse=True))


def mail_server(value: str) -> tuple[str, int]:
    """The host and the port of `host[:port]`; 25 where there is no port."""
    host, port = authority(value)
    if not host or port == 0:
        raise ValueError('expected a host and a port, such as "mail.example.com:25"')
    return host, port or 25


def mail_address(value: str) -> str:
    """A plain mail address."""
    if not _MAIL_ADDRESS.fullmatch(value):
        raise ValueError('expected a mail address such as "edi@example.com"')
    return value


def host_name(value: str) -> str:
    """A host name in ASCII (RFC 1123, section 2.1), in lower case."""
    name = value.lower()
    if len(name) > 253 or not value.isascii() or not _HOST_NAME.fullmatch(name):
        raise ValueError(
            "expected one host name of letters, digits, dots and hyphens: no port, no wildcard, "
            'no final dot, an international name in its "xn--" form'
        )
    return name


def directory_name(value: str) -> str:
    """An organization's directory, which is its AS2 id as well: RFC 4130, section 6.2, without the slash."""
    if not _DIRECTORY_NAME.fullmatch(value):
        raise ValueError(
            "expected the name of a directory in certs/organizations: 1 to 128 printable ASCII characters, "
            "no slash, no leading dot, no space at either end"
        )
    return value


def route_path(value: str) -> str:
    """The path of a URL, exactly as clients send it."""
    segments = value.split("/")[1:]
    named = all(_SEGMENT.fullmatch(each) and each not in {".", ".."} for each in segments)
    if not value.startswith("/") or not (named or value == "/"):
        raise ValueError(
            'expected a path such as "/as2": it begins with "/" and does not end with it, has no empty, "." '
            'or ".." segment, no query, no fragment and no percent-encoding'
        )
    if f"{value}/".startswith(OURS):
        raise ValueError(f'"{OURS}" is for what mtlsd itself answers: expected another path')
    return value


def health_page(value: str) -> str:
    """The path of a page, or nothing."""
    return value and route_path(value)


def journal(value: str) -> str:
    """What keeps the journal: "sqlite", or the URL of a PostgreSQL database, which libpq reads."""
    if value == "sqlite":
        return value
    if re.search(r"//[^/]*:.*@|[?&][^=]*(password|%)[^=&]*=", value, re.IGNORECASE):  # no parameter's name needs a %
        raise ValueError(
            "the URL has a password in it: take it out, and use a password file (passfile=/path in the URL) "
            "or the systemd credential journal.password"
        )
    if not _POSTGRES.fullmatch(value):
        raise ValueError('expected "sqlite" or a URL such as "postgresql://mtlsd@db.example.com/mtlsd"')
    return value


def authority(value: str) -> tuple[str, int | None]:
    """The host and the port of `host[:port]`; an IPv6 address stands in brackets, and comes back without."""
    found = _AUTHORITY.fullmatch(value)
    if not found or int(found["port"] or 0) > MAX_PORT:
        raise ValueError("expected host:port")
    host, port = found["host"].lower(), int(found["port"]) if found["port"] else None
    return str(IPv6Address(host[1:-1])) if host.startswith("[") else host, port
