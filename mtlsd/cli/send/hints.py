"""What helps whoever uses `mtlsd send` where nothing came of it: plain words for what a library or a port says."""

from mtlsd.net.client.http import Answer

# What is said, in any of these words; what helps. The first one that fits counts.
_UNANSWERED: tuple[tuple[tuple[str, ...], str], ...] = (
    (
        ("Hostname mismatch", "IP address mismatch"),
        "the server's certificate is for another name: write that name in the URL, and the server's address in "
        "--resolve.",
    ),
    (
        ("self-signed certificate", "issuer certificate"),
        "name the server's root, or its self-signed certificate, with --ca.",
    ),
    (
        ("Name or service not known", "No address associated", "name resolution", "nodename nor servname"),
        "this machine knows no address for that name: write it as in the server's certificate, and the server's "
        "address in --resolve.",
    ),
    (
        ("wrong version number", "record layer failure", "packet length too long", "http request"),
        "nobody speaks TLS on that port: another port, or http:// in the URL?",
    ),
    (("illegal status line",), "whoever is on that port does not speak HTTP: it may be TLS, with https:// in the URL."),
    (("Connection refused",), "nobody listens there: is it the right port, and is the server running?"),
)

# What servers say to HTTP where they speak TLS: nginx and mtlsd, Go, Apache.
_PLAIN_HTTP = (b"HTTP request was sent to HTTPS port", b"HTTP request to an HTTPS server", b"to an SSL-enabled server")


def unanswered(error: str) -> str:
    """A line that begins with "Hint:" for an exchange that failed like this; empty where nobody knows."""
    return next((f"\nHint: {hint}" for words, hint in _UNANSWERED if any(each in error for each in words)), "")


def plain_http(answer: Answer) -> str | None:
    """The advice to a user whose message went in the clear to a port that speaks TLS; None for any other answer."""
    if answer.status == 400 and any(each in answer.body for each in _PLAIN_HTTP):
        return "that port speaks TLS: write https:// in the URL"
    return None


def handshake(note: str) -> str:
    """A note of the listener, with what a broken TLS handshake means: who comes seldom says why it went away."""
    if "TLS handshake" not in note:
        return note
    return (
        f"{note}; it may not accept the certificate of --listen-cert: its root must be known there (for mtlsd, a "
        "trusted root in the partner's directory), and it must be for the host name or address in --async-url"
    )
