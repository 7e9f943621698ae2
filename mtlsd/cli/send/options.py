"""The arguments and options of `mtlsd send`, as one value."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import click
from click import Choice

from mtlsd.as2.cms.encrypt import ENCRYPT_ALGORITHMS, KEY_ALGORITHMS
from mtlsd.as2.mic import DIGESTS
from mtlsd.as2.outbound.draft import Compression
from mtlsd.cli.options import argument, option

NONE = "none"
SIGN = DIGESTS
ENCRYPT = tuple(ENCRYPT_ALGORITHMS)
KEYS = KEY_ALGORITHMS
COMPRESS = tuple(each.value for each in Compression)

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)


@dataclass(frozen=True, slots=True)
class Options:
    """The options of the command, as they were given."""

    url: str = argument()
    document: Path = argument(metavar="FILE", type=FILE)
    as2_from: str = option("The AS2 id of the sender.", required=True, metavar="ID")
    as2_to: str = option("The AS2 id of the receiver.", required=True, metavar="ID")
    content_type: str = option("Type of FILE.", default="application/octet-stream")
    attach: tuple[tuple[Path, str], ...] = option(
        "One more document (multipart/related).", type=(FILE, str), multiple=True, metavar="FILE TYPE"
    )
    subject: str = option("Subject of the message.", default="AS2 message")
    message_id: str | None = option("Message-ID.  [default: a new one]", metavar="ID")
    as2_version: str = option("1.3 also sends the product name.", type=Choice(("1.2", "1.3")), default="1.2")
    cert: Path | None = option("TLS client certificate with its chain, PEM.  [default: none]", type=FILE)
    key: Path | None = option("Its private key, PEM.", type=FILE)
    ca: Path | None = option("Roots for the server's certificate, PEM.  [default: the system's]", type=FILE)
    resolve: str | None = option("Connect to this address; SNI and Host stay as in the URL.", metavar="ADDRESS")
    sign: str = option("Digest to sign.", type=Choice((NONE, *SIGN)), default="sha256")
    sign_cert: Path | None = option("AS2 signing certificate.  [default: --cert]", type=FILE)
    sign_key: Path | None = option("Its private key, RSA or elliptic curve.  [default: --key]", type=FILE)
    pss: bool = option("Sign with RSASSA-PSS instead of RSA PKCS #1 v1.5.", is_flag=True)
    opaque: bool = option("Put the content inside the signature instead of beside it.", is_flag=True)
    compress: str = option("Compress before or after signing.", type=Choice(COMPRESS), default=NONE)
    encrypt: str = option("Content cipher.", type=Choice((NONE, *ENCRYPT)), default="aes256-cbc")
    encrypt_to: Path | None = option("The receiver's AS2 certificate.", type=FILE)
    encrypt_key: str | None = option(
        "How the content key is encrypted.  [default: rsa, or ecdh-sha256 for an elliptic curve key]", type=Choice(KEYS)
    )
    mdn: Literal["none", "unsigned", "signed"] = option(
        "The receipt to request.", type=Choice((NONE, "unsigned", "signed")), default="signed"
    )
    micalg: str | None = option("Digest of a signed MDN and its MIC.  [default: as --sign]", type=Choice(SIGN))
    mdn_cert: Path | None = option("Certificates that may sign the MDN.  [default: --encrypt-to]", type=FILE)
    listen: str | None = option(
        "Request an asynchronous MDN, and wait for the MDN at this address.", metavar="ADDRESS:PORT"
    )
    async_url: str | None = option(
        "URL at which the receiver reaches --listen.  [default: that address]", metavar="URL"
    )
    listen_cert: Path | None = option("Listen over TLS, with this certificate and its chain, PEM.", type=FILE)
    listen_key: Path | None = option("Its private key, PEM.", type=FILE)
    listen_ca: Path | None = option("Request a client certificate issued under these roots.", type=FILE)
    timeout: float = option("Seconds for each step.", type=click.FloatRange(0.1), default=60)
    save: Path | None = option("Write the request and the answers to this folder, byte for byte.", type=FOLDER)
