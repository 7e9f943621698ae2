"""Hints for users of `mtlsd send` if the exchange failed."""

from mtlsd.errors import FailureCause, PlainHTTPOnTLSPort
from mtlsd.net.client.http import Answer
from mtlsd.net.server.mdn_receiver import ListenerNote

_UNANSWERED = {
    FailureCause.OTHER_NAME: (
        "the server's certificate is for another name: use that name in the URL, and the server's address in --resolve."
    ),
    FailureCause.UNKNOWN_ISSUER: "give the server's root, or its self-signed certificate, with --ca.",
    FailureCause.NO_ADDRESS: (
        "this machine cannot resolve that name: use the name from the server's certificate in the URL, and the "
        "server's address in --resolve."
    ),
    FailureCause.NO_TLS: "the server does not speak TLS on that port: check the port, or use http:// in the URL.",
    FailureCause.NO_HTTP: ("the server does not speak HTTP on that port: if it speaks TLS, use https:// in the URL."),
    FailureCause.CONNECTION_REFUSED: "nothing listens on that port: check the port, and that the server is running.",
}

# The answers of nginx, Go and Apache to HTTP on a TLS port: pages, without a code.
_PLAIN_HTTP = (b"HTTP request was sent to HTTPS port", b"HTTP request to an HTTPS server", b"to an SSL-enabled server")


def unanswered(cause: FailureCause | None) -> str:
    """A line that begins with "Hint:" for an exchange that failed for this cause; empty if no cause is known."""
    return f"\nHint: {_UNANSWERED[cause]}" if cause else ""


def plain_http(answer: Answer) -> str | None:
    """The advice if the message was sent unencrypted to a port that speaks TLS; None for any other answer."""
    is_page = answer.status == 400 and any(each in answer.body for each in _PLAIN_HTTP)  # no code: of web servers
    is_ours = answer.get("mtlsd-reason") == PlainHTTPOnTLSPort.reason
    return "that port speaks TLS: use https:// in the URL" if is_page or is_ours else None


def noted(note: ListenerNote) -> str:
    """A note of the listener, with an explanation of a failed TLS handshake: clients seldom send the reason."""
    if not note.in_handshake:
        return str(note)
    return (
        f"{note}; the client may not accept the certificate of --listen-cert: it must trust the root (for mtlsd, a "
        "trusted root in the partner's directory), and the certificate must be for the host in --async-url"
    )
