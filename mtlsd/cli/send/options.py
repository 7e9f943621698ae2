"""The options of `mtlsd send`, as one value."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

NONE = "none"


@dataclass(frozen=True, slots=True)
class Options:
    """The options of the command, as they were given."""

    url: str
    document: Path
    as2_from: str
    as2_to: str
    content_type: str
    attach: tuple[tuple[Path, str], ...]
    subject: str
    message_id: str | None
    as2_version: str
    cert: Path | None
    key: Path | None
    ca: Path | None
    resolve: str | None
    sign: str
    sign_cert: Path | None
    sign_key: Path | None
    pss: bool
    opaque: bool
    compress: str
    encrypt: str
    encrypt_to: Path | None
    encrypt_key: str | None
    mdn: Literal["none", "unsigned", "signed"]
    micalg: str | None
    mdn_cert: Path | None
    listen: str | None
    async_url: str | None
    listen_cert: Path | None
    listen_key: Path | None
    listen_ca: Path | None
    timeout: float
    save: Path | None
