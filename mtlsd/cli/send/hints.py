"""What helps whoever uses `mtlsd send` where nothing came of it."""

from mtlsd.errors import FailureCause, PlainHTTPOnTLSPort
from mtlsd.net.client.http import Answer
from mtlsd.net.server.mdn_receiver import ListenerNote

_UNANSWERED = {
    FailureCause.OTHER_NAME: (
        "the server's certificate is for another name: write that name in the URL, and the server's address in "
        "--resolve."
    ),
    FailureCause.UNKNOWN_ISSUER: "name the server's root, or its self-signed certificate, with --ca.",
    FailureCause.NO_ADDRESS: (
        "this machine knows no address for that name: write it as in the server's certificate, and the server's "
        "address in --resolve."
    ),
    FailureCause.NO_TLS: "nobody speaks TLS on that port: another port, or http:// in the URL?",
    FailureCause.NO_HTTP: ("whoever is on that port does not speak HTTP: it may be TLS, with https:// in the URL."),
    FailureCause.CONNECTION_REFUSED: "nobody listens there: is it the right port, and is the server running?",
}

# What nginx, Go and Apache answer to HTTP where they speak TLS. They have a page and no code for it.
_PLAIN_HTTP = (b"HTTP request was sent to HTTPS port", b"HTTP request to an HTTPS server", b"to an SSL-enabled server")


def unanswered(cause: FailureCause | None) -> str:
    """A line that begins with "Hint:" for an exchange that failed for this cause; empty if no cause is known."""
    return f"\nHint: {_UNANSWERED[cause]}" if cause else ""


def plain_http(answer: Answer) -> str | None:
    """The advice to a user whose message went in the clear to a port that speaks TLS; None for any other answer."""
    return "that port speaks TLS: write https:// in the URL" if _is_to_plain_http(answer) else None


def _is_to_plain_http(answer: Answer) -> bool:
    if answer.get("mtlsd-reason") == PlainHTTPOnTLSPort.reason:
        return True
    return answer.status == 400 and any(each in answer.body for each in _PLAIN_HTTP)  # no code: of web servers


def noted(note: ListenerNote) -> str:
    """A note of the listener, with what a broken TLS handshake means: who comes seldom says why it went away."""
    if not note.in_handshake:
        return str(note)
    return (
        f"{note}; it may not accept the certificate of --listen-cert: its root must be known there (for mtlsd, a "
        "trusted root in the partner's directory), and it must be for the host name or address in --async-url"
    )
