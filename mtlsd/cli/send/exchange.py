"""The exchange of `mtlsd send`: TLS, the listener for an asynchronous MDN, and the files of --save."""

import ssl
from datetime import datetime
from functools import partial
from ipaddress import ip_address
from pathlib import Path

import click
import trio

from mtlsd import __version__
from mtlsd.as2.mdn.pyas2 import MAX_MDN_SIZE
from mtlsd.as2.outbound.compose import BuiltMessage
from mtlsd.cli.files import write_errors
from mtlsd.cli.options import usage_of
from mtlsd.cli.send import hints, mdn
from mtlsd.cli.send.mdn import Asked
from mtlsd.cli.send.message import key_pair
from mtlsd.cli.send.options import NONE, Options
from mtlsd.config.addresses import Address, Backend
from mtlsd.errors import UpstreamFailed
from mtlsd.net.client.http import Answer, Recording
from mtlsd.net.client.http import send as send_request
from mtlsd.net.server.mdn_receiver import MDNListener, send_and_listen

SAVED = ("request.http", "answer.http", "mdn.http")
CHUNK = 256 * 1024  # octets of the body for each wait


def exchange(
    options: Options,
    backend: Backend,
    message: BuiltMessage,
    asked: Asked,
    listening: MDNListener | None,
    now: datetime,
) -> Answer:
    """Send the message, and wait for an asynchronous MDN; --save writes all bytes even if the exchange fails.

    `now` is the time at which the signature of an asynchronous MDN is judged.
    """
    context = _tls(options) if backend.scheme == "https" else None
    recording = Recording()
    framing = (
        ("User-Agent", f"mtlsd/{__version__}"),
        ("Accept", "application/problem+json"),
        ("Content-Length", str(len(message.body))),
    )
    request = partial(
        send_request,
        backend,
        "POST",
        (*message.headers, *framing),
        (message.body[at : at + CHUNK] for at in range(0, len(message.body), CHUNK)),
        timeout=options.timeout,
        context=context,
        connect_to=(options.resolve, backend.port) if options.resolve else None,
        recording=recording,
    )
    try:
        if listening is None:
            return trio.run(request)
        receive, waits = partial(mdn.receive, asked, now), partial(send_and_listen, request, listening)
        return trio.run(partial(waits, receive, promised=_promises, timeout=options.timeout))
    except UpstreamFailed as error:
        text = f"no answer from {backend.host}:{backend.port}: {error}{hints.unanswered(error.cause)}"
        raise click.ClickException(text) from error
    finally:
        if options.save:
            _save(options.save, recording, listening)


def _promises(answer: Answer) -> bool:
    """Whether an asynchronous MDN will follow."""
    return 200 <= answer.status < 300 and not mdn.is_mdn(answer)


def _save(folder: Path, recording: Recording, listening: MDNListener | None) -> None:
    """Write the files, after deleting those of an earlier exchange, because a mixture would mislead."""
    files = {"request.http": bytes(recording.sent), "answer.http": bytes(recording.received)}
    if listening and listening.posted:
        files["mdn.http"] = listening.posted.octets
    with write_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name in SAVED:
            (folder / name).unlink(missing_ok=True)
        for name, octets in files.items():
            (folder / name).write_bytes(octets)


# --- The listener ---------------------------------------------------------------------------------------------


def listening(options: Options) -> MDNListener | None:
    """Listen for the MDN, if --listen is given."""
    if options.listen is None:
        _without_listen(options)
        return None
    if options.mdn == NONE:
        raise click.UsageError("--listen waits for an MDN, but --mdn none requests none.")
    try:
        with usage_of("--listen"):
            return MDNListener(Address.parse(options.listen), _listening_tls(options), MAX_MDN_SIZE)
    except OSError as error:
        text = f"cannot listen on {options.listen}: {error.strerror}"
        raise click.BadParameter(text, param_hint="--listen") from error


def _without_listen(options: Options) -> None:
    names = ("async_url", "listen_cert", "listen_key", "listen_ca")
    if given := [name for name in names if getattr(options, name) is not None]:
        raise click.UsageError(f"--{given[0].replace('_', '-')} needs --listen.")


def receipt_url(options: Options, listener: MDNListener | None) -> str | None:
    """The URL that the message gives for its MDN."""
    if listener is None:
        return None
    if options.async_url is None:
        if ip_address(listener.address.host).is_unspecified:
            raise click.UsageError(f"--async-url is missing: the receiver cannot send to {listener.address.host}.")
        return f"{'https' if options.listen_cert else 'http'}://{listener.address}/"
    with usage_of("--async-url"):
        return Backend.parse(options.async_url).url


# --- TLS ------------------------------------------------------------------------------------------------------


def _tls(options: Options) -> ssl.SSLContext:
    context = _trusting(options.ca, "--ca")
    _show(context, options.cert, options.key, "--cert")
    return context


def _listening_tls(options: Options) -> ssl.SSLContext | None:
    if options.listen_cert is None:
        if options.listen_key or options.listen_ca:
            raise click.UsageError("--listen-cert is missing: the certificate to listen with over TLS.")
        return None
    context = _trusting(options.listen_ca, "--listen-ca", ssl.Purpose.CLIENT_AUTH)
    context.verify_mode = ssl.CERT_OPTIONAL if options.listen_ca else ssl.CERT_NONE
    _show(context, options.listen_cert, options.listen_key, "--listen-cert")
    return context


def _trusting(roots: Path | None, option: str, purpose: ssl.Purpose = ssl.Purpose.SERVER_AUTH) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(purpose, cafile=roots)
    except (ssl.SSLError, OSError) as error:
        raise click.BadParameter(f"{roots} has no certificates in PEM", param_hint=option) from error


def _show(context: ssl.SSLContext, certificate: Path | None, key: Path | None, option: str) -> None:
    """Make the context use this key pair."""
    if (certificate is None) != (key is None):
        raise click.UsageError(f"{option} and {option.replace('cert', 'key')} must be given together.")
    if certificate and key:
        key_pair(certificate, key)  # has better messages than OpenSSL, and prompts for no passphrase
        try:
            context.load_cert_chain(certificate, key)
        except (ssl.SSLError, OSError) as error:
            raise click.BadParameter(f"not usable in TLS: {error}", param_hint=option) from error
