"""`mtlsd send`: a test partner. It builds a message, sends it, and judges the answer."""

import sys
from contextlib import nullcontext
from datetime import UTC, datetime

import click

from mtlsd.cli.options import usage_of, with_json, with_options
from mtlsd.cli.output import say, say_json
from mtlsd.cli.send import exchange, hints, verdict
from mtlsd.cli.send import message as drafting
from mtlsd.cli.send.options import Options
from mtlsd.config.addresses import Backend


@click.command()
@with_options(Options)
@with_json
def send(options: Options, as_json: bool) -> None:
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
    now = datetime.now(UTC)
    with usage_of("URL"):
        backend = Backend.parse(options.url)
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
