"""The types of texts: each function parses one text.

If the text is not valid, the function raises ValueError with the expected form, and never with the text itself.
"""

import re
from ipaddress import IPv6Address
from pathlib import Path, PurePosixPath

MAX_PORT = 65535
MAX_AS2_ID = 128  # RFC 4130, section 6.2
OURS = "/.well-known/mtlsd/"

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_HOST_REFERENCE = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
_AUTHORITY = re.compile(r"(?P<host>[^:\[\]]*|\[[^\[\]]*\])(?::(?P<port>[0-9]{1,5}))?")
_DIRECTORY_NAME = re.compile(r"(?!\.)[!-.0-~](?:[ -.0-~]{0,126}[!-.0-~])?")  # ASCII without a slash
_AS2_ID = re.compile(rf"[!-~](?:[ -~]{{0,{MAX_AS2_ID - 2}}}[!-~])?")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_POSTGRES = re.compile(r"postgres(?:ql)?://[!-~]*")  # ASCII without blanks and control characters
_MAIL_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9.-]{1,253}")
_SEGMENT = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@-]+")  # RFC 3986, section 3.3, without percent-encoding


def path(value: str) -> Path:
    """A file path, absolute or not."""
    if not value or "\0" in value or value.startswith("~"):
        raise ValueError('expected a path, absolute or relative to this file ("~" is not expanded)')
    return Path(value)


def mail_server(value: str) -> tuple[str, int]:
    """The host and the port of `host[:port]`; the port is 25 by default."""
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


def host_reference(value: str) -> str:
    """The name of a virtual host in another file, in lower case."""
    name = value.lower()
    if not _HOST_REFERENCE.fullmatch(name):
        raise ValueError("expected names of virtual hosts, without a port")
    return name


def directory_name(value: str) -> str:
    """The directory of an organization, which is also its default AS2 id (RFC 4130, section 6.2), without a slash."""
    if not _DIRECTORY_NAME.fullmatch(value):
        raise ValueError(
            "expected the name of a directory in certs/organizations: 1 to 128 printable ASCII characters, "
            "no slash, no leading dot, no space at either end"
        )
    return value


def as2_id(value: str) -> str:
    """An AS2 id, unquoted (RFC 4130, section 6.2)."""
    if not _AS2_ID.fullmatch(value):
        raise ValueError(f"expected 1 to {MAX_AS2_ID} printable ASCII characters, without a space at either end")
    return value


def relative_path(value: str) -> str:
    """The path of a file or directory below the directory of the file that names it, normalized."""
    path = PurePosixPath(value)
    if not value or "\0" in value or path.is_absolute() or ".." in path.parts:
        raise ValueError("expected a path below this directory, such as acme-2027.pem")
    return str(path)


def fingerprint(value: str) -> str:
    """A SHA-256 in hexadecimal digits, with or without colons."""
    digits = value.replace(":", "").lower()
    if not _SHA256.fullmatch(digits):
        raise ValueError("expected the SHA-256 of a certificate: 64 hexadecimal digits")
    return digits


def route_path(value: str) -> str:
    """The path of a route, exactly as in the requests of clients."""
    segments = value.split("/")[1:]
    named = all(_SEGMENT.fullmatch(each) and each not in {".", ".."} for each in segments)
    if not value.startswith("/") or not (named or value == "/"):
        raise ValueError(
            'expected a path such as "/as2": it begins with "/" and does not end with it, has no empty, "." '
            'or ".." segment, no query, no fragment and no percent-encoding'
        )
    if f"{value}/".startswith(OURS):
        raise ValueError(f'"{OURS}" is reserved for mtlsd: expected another path')
    return value


def health_page(value: str) -> str:
    """The path of a health check, or an empty text."""
    return value and route_path(value)


def journal(value: str) -> str:
    """The place of the journal: "sqlite", or the URL of a PostgreSQL database for libpq."""
    if value == "sqlite":
        return value
    if re.search(r"//[^/]*:.*@|[?&][^=]*(password|%)[^=&]*=", value, re.IGNORECASE):  # no parameter's name needs a %
        raise ValueError(
            "the URL has a password: remove it, and use a password file (passfile=/path in the URL) "
            "or the systemd credential journal.password"
        )
    if not _POSTGRES.fullmatch(value):
        raise ValueError('expected "sqlite" or a URL such as "postgresql://mtlsd@db.example.com/mtlsd"')
    return value


def authority(value: str) -> tuple[str, int | None]:
    """The host and the port of `host[:port]`; an IPv6 address is written in brackets, and returned without them."""
    found = _AUTHORITY.fullmatch(value)
    if not found or int(found["port"] or 0) > MAX_PORT:
        raise ValueError("expected host:port")
    host, port = found["host"].lower(), int(found["port"]) if found["port"] else None
    return str(IPv6Address(host[1:-1])) if host.startswith("[") else host, port
