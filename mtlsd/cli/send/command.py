"""`mtlsd send`: a test partner. It builds a message, sends it, and judges the answer."""

import sys
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path

import click

from mtlsd.as2.cms.encrypt import ENCRYPT_ALGORITHMS, KEY_ALGORITHMS
from mtlsd.as2.mic import DIGESTS
from mtlsd.as2.outbound.draft import Compression
from mtlsd.cli.options import with_json
from mtlsd.cli.output import say, say_json
from mtlsd.cli.send import exchange, hints, verdict
from mtlsd.cli.send import message as drafting
from mtlsd.cli.send.options import NONE, Options
from mtlsd.config.addresses import Backend

SIGN = DIGESTS
ENCRYPT = tuple(ENCRYPT_ALGORITHMS)
KEYS = KEY_ALGORITHMS
COMPRESS = tuple(each.value for each in Compression)
VERSIONS = ("1.2", "1.3")

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_FOLDER = click.Path(file_okay=False, path_type=Path)


@click.command()
@click.argument("url")
@click.argument("document", metavar="FILE", type=_FILE)
@click.option("--as2-from", required=True, metavar="ID", help="The AS2 id of the sender.")
@click.option("--as2-to", required=True, metavar="ID", help="The AS2 id of the receiver.")
@click.option("--content-type", default="application/octet-stream", show_default=True, help="Type of FILE.")
@click.option(
    "--attach", type=(_FILE, str), multiple=True, metavar="FILE TYPE", help="One more document (multipart/related)."
)
@click.option("--subject", default="AS2 message", show_default=True, help="Subject of the message.")
@click.option("--message-id", metavar="ID", help="Message-ID.  [default: a new one]")
@click.option(
    "--as2-version",
    type=click.Choice(VERSIONS),
    default="1.2",
    show_default=True,
    help="1.3 also sends the product name.",
)
@click.option("--cert", type=_FILE, help="TLS client certificate with its chain, PEM.  [default: none]")
@click.option("--key", type=_FILE, help="Its private key, PEM.")
@click.option("--ca", type=_FILE, help="Roots for the server's certificate, PEM.  [default: the system's]")
@click.option("--resolve", metavar="ADDRESS", help="Connect to this address; SNI and Host stay as in the URL.")
@click.option("--sign", type=click.Choice((NONE, *SIGN)), default="sha256", show_default=True, help="Digest to sign.")
@click.option("--sign-cert", type=_FILE, help="AS2 signing certificate.  [default: --cert]")
@click.option("--sign-key", type=_FILE, help="Its private key, RSA or elliptic curve.  [default: --key]")
@click.option("--pss", is_flag=True, help="Sign with RSASSA-PSS instead of RSA PKCS #1 v1.5.")
@click.option("--opaque", is_flag=True, help="Put the content inside the signature instead of beside it.")
@click.option(
    "--compress", type=click.Choice(COMPRESS), default=NONE, show_default=True, help="Compress before or after signing."
)
@click.option(
    "--encrypt", type=click.Choice((NONE, *ENCRYPT)), default="aes256-cbc", show_default=True, help="Content cipher."
)
@click.option("--encrypt-to", type=_FILE, help="The receiver's AS2 certificate.")
@click.option(
    "--encrypt-key",
    type=click.Choice(KEYS),
    help="How the content key is encrypted.  [default: rsa, or ecdh-sha256 for an elliptic curve key]",
)
@click.option(
    "--mdn",
    type=click.Choice((NONE, "unsigned", "signed")),
    default="signed",
    show_default=True,
    help="The receipt to request.",
)
@click.option("--micalg", type=click.Choice(SIGN), help="Digest of a signed MDN and its MIC.  [default: as --sign]")
@click.option("--mdn-cert", type=_FILE, help="Certificates that may sign the MDN.  [default: --encrypt-to]")
@click.option(
    "--listen", metavar="ADDRESS:PORT", help="Request an asynchronous MDN, and wait for the MDN at this address."
)
@click.option("--async-url", metavar="URL", help="URL at which the receiver reaches --listen.  [default: that address]")
@click.option("--listen-cert", type=_FILE, help="Listen over TLS, with this certificate and its chain, PEM.")
@click.option("--listen-key", type=_FILE, help="Its private key, PEM.")
@click.option("--listen-ca", type=_FILE, help="Request a client certificate issued under these roots.")
@click.option("--timeout", type=click.FloatRange(0.1), default=60, show_default=True, help="Seconds for each step.")
@click.option("--save", type=_FOLDER, help="Write the request and the answers to this folder, byte for byte.")
@with_json
def send(as_json: bool, **given: object) -> None:
    """Send FILE to URL as an AS2 message, and check the receipt (MDN).

    The output has the HTTP status, the signer of the MDN, its disposition, and whether its MIC matches the message. If
    mtlsd is the receiver, refusals come with a reason code and advice.

    The two key pairs are independent: --cert and --key identify the client in TLS, --sign-cert and --sign-key sign the
    message. Without the second pair, the first pair also signs.

    \b
    Example: signed and encrypted, over mutual TLS, with a signed MDN in the answer:
      mtlsd send https://as2.example.com:8443/as2 order.edi --as2-from ACME --as2-to EXAMPLE \\
        --cert acme.pem --key acme.key --encrypt-to example.pem --ca server-ca.pem

    \b
    Example: the same with an asynchronous MDN, which the receiver posts to this machine:
      mtlsd send ... --listen 0.0.0.0:8080 --async-url http://acme.example.com:8080/mdn

    \b
    Example: neither signed nor encrypted, to a host that requests no client certificate:
      mtlsd send https://open.example.com/as2 order.edi --as2-from ACME --as2-to EXAMPLE \\
        --sign none --encrypt none --mdn unsigned

    \b
    Files that --save writes; they replace those of an earlier exchange:
      request.http  the request: header and body
      answer.http   the answer
      mdn.http      the asynchronous MDN, as received

    \b
    Exit codes:
      0  the receipt is as requested: processed, signed, and with the right MIC
      1  anything else
      2  wrong usage
    """
    options = Options(**given)  # type: ignore[arg-type]  # click converted each value to its type
    now = datetime.now(UTC)
    try:
        backend = Backend.parse(options.url)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="URL") from error
    listening = exchange.listening(options)
    with listening or nullcontext():
        receipt_url = exchange.receipt_url(options, listening)
        message, asked = drafting.prepare(options, receipt_url, now)
        if listening and not as_json:
            say(f"listening on {listening.address} for the MDN to {receipt_url}")
        answer = exchange.exchange(options, backend, message, asked, listening, now)
    posted, notes = (listening.posted, tuple(map(hints.noted, listening.notes))) if listening else (None, ())
    found = verdict.judge(asked, answer, datetime.now(UTC), posted, notes)
    if as_json:
        say_json(found.as_json())
    else:
        verdict.say_verdict(found)
    sys.exit(0 if found.ok else 1)
