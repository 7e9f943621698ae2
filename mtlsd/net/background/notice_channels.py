"""Sends notices: as a POST of JSON, or as a mail. Each has a deadline, and none contains a secret."""

import json
import smtplib
import ssl
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from email.message import EmailMessage
from functools import partial

import trio

from mtlsd.config.addresses import Backend
from mtlsd.config.model import Mail
from mtlsd.errors import UpstreamFailed
from mtlsd.net.client import http
from mtlsd.partners.expiry import Notice

SECONDS = 20  # for one notice, from the connection to the answer
TRIES = 3
PAUSE_SECONDS = 2  # after the first attempt; twice as long after the second

Send = Callable[[Sequence[Notice], str, datetime], Awaitable[None]]  # the notices, the node, the time


class NoticeFailed(Exception):
    """A channel did not accept the notices; the text says why, without the address."""


def webhook(url: Backend) -> Send:
    """A channel that POSTs JSON to this URL; any status but 2xx is retried."""

    async def send(alerts: Sequence[Notice], node: str, now: datetime) -> None:
        await _tried(partial(_post, url, json.dumps(as_json(alerts, node, now)).encode()))

    return send


def mail(settings: Mail) -> Send:
    """A channel that hands a mail to an SMTP server."""

    async def send(alerts: Sequence[Notice], node: str, now: datetime) -> None:
        await _tried(partial(_mail, settings, message(settings, alerts, node, now)))

    return send


def as_json(alerts: Sequence[Notice], node: str, now: datetime) -> dict[str, object]:
    """The JSON for the webhook; `text` is for chat systems that show nothing else."""
    return {
        "event": "certificates_expire",
        "node": node,
        "at": now.isoformat(),
        "text": text(alerts, now),
        "certificates": [_certificate(each, now) for each in alerts],
    }


def message(settings: Mail, alerts: Sequence[Notice], node: str, now: datetime) -> EmailMessage:
    """The mail, with one line per certificate."""
    made = EmailMessage()
    made["From"], made["To"], made["Date"] = settings.sender, ", ".join(settings.to), now
    made["Subject"] = f"mtlsd: {subject(alerts, now)}"
    made["Auto-Submitted"] = "auto-generated"  # RFC 3834: prevents automatic out-of-office replies
    made.set_content(f"{text(alerts, now)}\n\nfrom {node}\n")
    return made


def subject(alerts: Sequence[Notice], now: datetime) -> str:
    """The number of certificates, and how soon the first expires."""
    count = f"{len(alerts)} certificates" if len(alerts) > 1 else "a certificate"
    left = min(each.about.days_left(now) for each in alerts)
    verb = "end" if len(alerts) > 1 else "ends"
    return f"{count} ended or {verb} today" if left < 1 else f"{count} {verb}, the first in {left} days"


def text(alerts: Sequence[Notice], now: datetime) -> str:
    """One line per certificate, for people."""
    return "\n".join(_line(each, now) for each in alerts)


def _line(alert: Notice, now: datetime) -> str:
    about = alert.about
    when = f"{'ended' if about.not_after < now else 'ends'} on {about.not_after:%Y-%m-%d %H:%M} UTC"
    return f"{about.owner}: {about.name} ({about.use}) {when}, {about.sha256[:16]}"


def _certificate(alert: Notice, now: datetime) -> dict[str, object]:
    about = alert.about
    return {
        "owner": about.owner,
        "use": about.use,
        "subject": about.name,
        "sha256": about.sha256,
        "not_after": about.not_after.isoformat(),
        "days_left": about.days_left(now),
        "alert": alert.days,
    }


# --- Sending --------------------------------------------------------------------------------------------


async def _tried(act: Callable[[], Awaitable[None]]) -> None:
    """Run `act`, and retry after a pause if it failed; raises NoticeFailed if the last attempt fails."""
    for attempt in range(TRIES):
        try:
            with trio.fail_after(SECONDS):
                return await act()
        except trio.TooSlowError:
            error = NoticeFailed(f"not done within {SECONDS} s")
        except NoticeFailed as failure:
            error = failure
        if attempt < TRIES - 1:
            await trio.sleep(PAUSE_SECONDS << attempt)
    raise error


async def _post(url: Backend, body: bytes) -> None:
    fields = [("Content-Type", "application/json"), ("Content-Length", str(len(body))), ("User-Agent", "mtlsd")]
    context = await trio.to_thread.run_sync(ssl.create_default_context) if url.scheme == "https" else None
    try:
        answer = await http.send(url, "POST", fields, [body], timeout=SECONDS, context=context)
    except UpstreamFailed as error:
        raise NoticeFailed(str(error) or error.reason) from error
    if not 200 <= answer.status < 300:
        raise NoticeFailed(f"it answered {answer.status}")


async def _mail(settings: Mail, made: EmailMessage) -> None:
    try:
        await trio.to_thread.run_sync(_hand_over, settings, made, abandon_on_cancel=True)
    except (OSError, smtplib.SMTPException) as error:
        raise NoticeFailed(str(error)) from error


def _hand_over(settings: Mail, made: EmailMessage) -> None:
    host, port = settings.smtp
    with smtplib.SMTP(host, port, timeout=SECONDS) as server:
        server.send_message(made)
