"""`mtlsd send`: a test partner. It builds a message, sends it, and judges the answer."""

import sys
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from mtlsd import __version__
from mtlsd.cli.options import with_json
from mtlsd.cli.output import say_json

if TYPE_CHECKING:
    import ssl

    from mtlsd.as2 import BuiltMessage, Sender
    from mtlsd.cli.verdict import Asked
    from mtlsd.config import Backend
    from mtlsd.identity import Certificate, KeyPair
    from mtlsd.net import Answer

# As in `as2`, which is too slow to import for a help text.
SIGN = ("sha1", "sha224", "sha256", "sha384", "sha512")
ENCRYPT = ("3des", "aes128-cbc", "aes192-cbc", "aes256-cbc")
NONE = "none"

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@dataclass(frozen=True, slots=True)
class Options:
    """The options of the command, as they were given."""

    url: str
    document: Path
    as2_from: str
    as2_to: str
    cert: Path | None
    key: Path | None
    sign_cert: Path | None
    sign_key: Path | None
    encrypt_to: Path | None
    sign: str
    encrypt: str
    compress: bool
    mdn: Literal["none", "unsigned", "signed"]
    mdn_cert: Path | None
    micalg: str | None
    ca: Path | None
    resolve: str | None
    content_type: str
    subject: str
    message_id: str | None
    timeout: float
    save: Path | None


@click.command()
@click.argument("url")
@click.argument("document", metavar="FILE", type=_FILE)
@click.option("--as2-from", required=True, metavar="ID", help="The AS2 id of the sender.")
@click.option("--as2-to", required=True, metavar="ID", help="The AS2 id of the receiver.")
@click.option("--cert", type=_FILE, help="TLS client certificate with its chain, PEM.")
@click.option("--key", type=_FILE, help="Its private key, PEM.")
@click.option("--sign-cert", type=_FILE, help="AS2 signing certificate.  [default: --cert]")
@click.option("--sign-key", type=_FILE, help="Its private key, RSA.  [default: --key]")
@click.option("--encrypt-to", type=_FILE, help="The receiver's AS2 certificate.")
@click.option("--sign", type=click.Choice((NONE, *SIGN)), default="sha256", show_default=True, help="Digest to sign.")
@click.option("--encrypt", type=click.Choice((NONE, *ENCRYPT)), default="aes256-cbc", show_default=True, help="Cipher.")
@click.option("--compress/--no-compress", default=False, show_default=True, help="Compress before signing.")
@click.option(
    "--mdn",
    type=click.Choice((NONE, "unsigned", "signed")),
    default="signed",
    show_default=True,
    help="Receipt wanted.",
)
@click.option("--mdn-cert", type=_FILE, help="Certificates that may sign the MDN.  [default: --encrypt-to]")
@click.option("--micalg", type=click.Choice(SIGN), help="Digest of the MIC and the MDN.  [default: as --sign]")
@click.option("--ca", type=_FILE, help="Roots for the server's certificate, PEM.  [default: the system's]")
@click.option("--resolve", metavar="ADDRESS", help="Connect to this address; SNI and Host stay as in the URL.")
@click.option("--content-type", default="application/octet-stream", show_default=True, help="Type of the document.")
@click.option("--subject", default="AS2 message", show_default=True, help="Subject of the message.")
@click.option("--message-id", metavar="ID", help="Message-ID.  [default: a new one]")
@click.option("--timeout", type=click.FloatRange(0.1), default=60, show_default=True, help="Seconds for each wait.")
@click.option(
    "--save", type=click.Path(file_okay=False, path_type=Path), help="Write request.http and answer.http here."
)
@with_json
def send(as_json: bool, **given: object) -> None:
    """Send FILE to URL as an AS2 message, and judge the answer.

    Says the HTTP status, whose signature the receipt (MDN) bears, what it says, and whether the MIC is that of the
    message. mtlsd's own refusals come with a reason code and advice.

    \b
    Example:
      mtlsd send https://as2.example.com:8443/as2 order.edi --as2-from ACME --as2-to EXAMPLE \\
        --cert acme.pem --key acme.key --encrypt-to example.pem --ca server-ca.pem

    Exit codes: 0 the receipt is as asked for: processed, signed, the MIC equal; 1 anything else; 2 wrong usage.
    """
    from mtlsd.cli import verdict
    from mtlsd.errors import UpstreamFailed

    options = Options(**given)  # type: ignore[arg-type]  # click made each of its type
    now = datetime.now(UTC)
    backend, message, asked = _prepare(options, now)
    fields = (*message.headers, *_framing(message))
    try:
        answer = _exchange(options, backend, fields, message.body)
    except UpstreamFailed as error:
        text = f"no answer from {backend.host}:{backend.port}: {error} ({error.reason}){_hint(str(error))}"
        raise click.ClickException(text) from error
    if options.save:
        _save(options.save, backend, fields, message.body, answer)
    found = verdict.judge(asked, answer, now)
    if as_json:
        say_json(found.as_json())
    else:
        verdict.say_verdict(found)
    sys.exit(0 if found.ok else 1)


def _prepare(options: Options, now: datetime) -> "tuple[Backend, BuiltMessage, Asked]":
    """Read the files and build the message; what does not fit is wrong usage."""
    from mtlsd import config
    from mtlsd.cli.verdict import Asked

    try:
        backend = config.Backend.parse(options.url)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="URL") from error
    sender = _sender(options)
    message_id = options.message_id or _new_message_id(now)
    micalg = options.micalg or (options.sign if options.sign != NONE else "sha256")
    try:
        message = sender.build(
            options.document.read_bytes(),
            content_type=options.content_type,
            filename=options.document.name,
            subject=options.subject,
            message_id=message_id,
            sign=_unless_none(options.sign),
            encrypt=_unless_none(options.encrypt),
            compress=options.compress,
            mdn=options.mdn,
            micalg=micalg,
        )
    except (ValueError, OSError) as error:
        raise click.UsageError(str(error)) from error
    comparable = message.mic if micalg == message.mic_algorithm else None
    signers = _signers(options)
    return backend, message, Asked(message_id, options.mdn, comparable, options.sign != NONE, signers)


def _unless_none(value: str) -> str | None:
    return None if value == NONE else value


def _new_message_id(now: datetime) -> str:
    from mtlsd import net

    return f"<{net.new_id(now.timestamp())}@mtlsd.invalid>"


# --- Files ----------------------------------------------------------------------------------------------------


def _sender(options: Options) -> "Sender":
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    from mtlsd.as2 import Sender

    pair = _as2_pair(options)
    if not isinstance(pair.private_key, RSAPrivateKey):
        raise click.UsageError("AS2 needs an RSA key: give one with --sign-cert and --sign-key.")
    if options.encrypt != NONE and options.encrypt_to is None:
        raise click.UsageError("--encrypt-to is missing: the receiver's certificate, or --encrypt none.")
    # pyas2lib wants a receiver's certificate, even where nothing is encrypted
    receiver = _certificates(options.encrypt_to, "--encrypt-to")[0] if options.encrypt_to else pair.certificate
    return Sender(options.as2_from, pair.private_key, pair.certificate.x509, options.as2_to, receiver.x509)


def _as2_pair(options: Options) -> "KeyPair":
    if options.sign_cert and options.sign_key:
        return _pair(options.sign_cert, options.sign_key)
    if options.sign_cert or options.sign_key:
        raise click.UsageError("--sign-cert and --sign-key belong together.")
    if not (options.cert and options.key):
        raise click.UsageError("A key pair is needed: --cert and --key, or --sign-cert and --sign-key.")
    return _pair(options.cert, options.key)


def _pair(certificate: Path, key: Path) -> "KeyPair":
    from mtlsd import identity
    from mtlsd.errors import ConfigurationError

    try:
        return identity.load_key_pair(certificate, key).key_pair
    except ConfigurationError as error:
        problems = (replace(each, message=_told(each.message)) for each in error.problems)
        raise click.UsageError("\n".join(map(str, problems))) from error


def _certificates(path: Path, option: str) -> "tuple[Certificate, ...]":
    from mtlsd import identity

    try:
        return identity.read_certificates(identity.read_file(path).data)
    except (identity.FileRefused, identity.CertificateUnreadable) as error:
        raise click.BadParameter(f"{path}: {_told(str(error))}", param_hint=option) from error


def _told(mistake: str) -> str:
    """A mistake in a file; here the key is the user's own, which nobody has to rotate."""
    return "a private key, not a certificate" if mistake.startswith("a private key") else mistake


def _signers(options: Options) -> "tuple[Certificate, ...]":
    """The certificates that the MDN's signature is verified with."""
    if options.mdn_cert:
        return _certificates(options.mdn_cert, "--mdn-cert")
    if options.encrypt_to:
        return _certificates(options.encrypt_to, "--encrypt-to")[:1]
    if options.mdn == "signed":
        raise click.UsageError("--mdn-cert is missing: the certificate that signs the MDN, or --mdn unsigned.")
    return ()


# --- The exchange ---------------------------------------------------------------------------------------------


def _exchange(options: Options, backend: "Backend", fields: "tuple[tuple[str, str], ...]", body: bytes) -> "Answer":
    import trio

    from mtlsd import net

    request = partial(
        net.send_request,
        timeout=options.timeout,
        context=_tls(options) if backend.scheme == "https" else None,
        connect_to=(options.resolve, backend.port) if options.resolve else None,
    )
    return trio.run(request, backend, "POST", fields, [body])


def _framing(message: "BuiltMessage") -> tuple[tuple[str, str], ...]:
    return (
        ("User-Agent", f"mtlsd/{__version__}"),
        ("Accept", "application/problem+json"),
        ("Content-Length", str(len(message.body))),
    )


def _tls(options: Options) -> "ssl.SSLContext":
    import ssl

    try:
        context = ssl.create_default_context(cafile=options.ca)
    except (ssl.SSLError, OSError) as error:
        raise click.BadParameter(f"no certificates in PEM: {error}", param_hint="--ca") from error
    if bool(options.cert) != bool(options.key):
        raise click.UsageError("--cert and --key belong together.")
    if options.cert and options.key:
        _pair(options.cert, options.key)  # says more of what is wrong than OpenSSL, and asks for no passphrase
        try:
            context.load_cert_chain(options.cert, options.key)
        except (ssl.SSLError, OSError) as error:
            raise click.BadParameter(f"not usable in TLS: {error}", param_hint="--cert") from error
    return context


def _hint(error: str) -> str:
    """What helps against a server certificate that no root vouches for."""
    unknown = "CERTIFICATE_VERIFY_FAILED" in error and ("self-signed" in error or "issuer certificate" in error)
    return "\nHint: name the server's root, or its self-signed certificate, with --ca." if unknown else ""


def _save(
    folder: Path, backend: "Backend", fields: "tuple[tuple[str, str], ...]", body: bytes, answer: "Answer"
) -> None:
    """Write both messages; the header of the answer with its names in lower case, as the client gives them."""
    request = _octets(
        f"POST {backend.target} HTTP/1.1", (("Host", _authority(backend)), *fields, ("Connection", "close")), body
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "request.http").write_bytes(request)
        (folder / "answer.http").write_bytes(_octets(f"HTTP/1.1 {answer.status}", answer.fields, answer.body))
    except OSError as error:
        raise click.ClickException(f"{folder} cannot be written: {error.strerror}") from error


def _authority(backend: "Backend") -> str:
    name = f"[{backend.host}]" if ":" in backend.host else backend.host
    return name if backend.port == {"http": 80, "https": 443}[backend.scheme] else f"{name}:{backend.port}"


def _octets(first_line: str, fields: "tuple[tuple[str, str], ...]", body: bytes) -> bytes:
    lines = (first_line, *(f"{name}: {value}" for name, value in fields), "", "")
    return "\r\n".join(lines).encode("latin-1") + body
