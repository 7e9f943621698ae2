"""The scenario, step by step: what partners see, what the backend gets, and what the log reports."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from http.client import HTTPException
from ssl import PEM_cert_to_DER_cert

from mtlsd.as2.outbound.compose import BuiltMessage
from mtlsd.config.model import VirtualHost
from mtlsd.errors import MtlsdError
from scripts.demo_backend import Backend, Received
from scripts.demo_daemon import Daemon, Event
from scripts.demo_partner import Answer, Connection, Partner
from scripts.demo_show import Failed, Show
from scripts.demo_site import Site

ABOUT = (
    "(RFC 4130) transfers business documents between companies, signed and encrypted, over HTTPS. The receiver "
    "returns a signed receipt, the MDN. The MDN contains a hash of the received content, the MIC, with which the "
    "sender can prove what was received."
)
PATIENCE_SECONDS = 10  # for events that normally happen at once
RELOAD_SECONDS = 2.0
BACKEND_HEADERS = ("content-type", "mtlsd-partner", "mtlsd-message-id", "mtlsd-as2-from", "mtlsd-as2-to", "mtlsd-mic",
                   "mtlsd-filename", "mtlsd-request-id", "forwarded", "idempotency-key")  # fmt: skip


@dataclass
class Story:
    """The scenario, and the results of one step that a later step needs."""

    site: Site
    daemon: Daemon
    backend: Backend
    show: Show
    first: tuple[BuiltMessage, Answer] | None = field(default=None, init=False)

    def tell(self) -> None:
        """Run all steps and print the summary; raises Failed at the first expectation that is not met."""
        self._introduce()
        for at, (title, step) in enumerate(STEPS):
            self.show.heading(f"{_letter(at)}) {title}")
            try:
                step(self)
            except (Failed, MtlsdError, OSError, HTTPException) as error:
                self._summary(held=at, failed=True)
                self._log_tail()
                raise Failed(f"step {_letter(at)}: {error}") from error
        self._summary(held=len(STEPS), failed=False)

    @cached_property
    def acme(self) -> Partner:
        return self.site.partner("ACME")

    @cached_property
    def kept(self) -> Connection:
        """ACME's connection; it stays open from ACME's first message to the end of the demo."""
        return self.acme.connect(*self.address)

    @property
    def address(self) -> tuple[str, int]:
        return _address(self.site.mutual_tls)

    @property
    def path(self) -> str:
        return self.site.mutual_tls.routes[0].path

    # --- What the steps share -------------------------------------------------------------------------------------

    def post(self, connection: Connection, message: BuiltMessage) -> Answer:
        return connection.ask("POST", self.path, message.body, message.headers)

    def refused(self, partner: Partner, *, with_certificate: bool, sentence: str) -> Event:
        """Connect, expect a 400 with nginx's sentence, and return the log event of the refusal."""
        since = self.daemon.mark()
        answer = partner.connect(*self.address, with_certificate=with_certificate).ask("POST", self.path, b"", ())
        reason = answer.get("Mtlsd-Reason")
        self.show.line("got", f"{answer.status_line}   Mtlsd-Reason: {reason}", _title(answer))
        explained = answer.status == 400 and sentence in _title(answer) and bool(reason)
        self.show.expect(explained, "the answer is 400, in nginx's wording, with a reason code")
        return self.logged("exchange_finished", since, reason=reason)

    def logged(self, name: str, since: int, **facts: object) -> Event:
        """Wait for an event in the log; raises Failed."""
        event = self.daemon.wait_for(name, PATIENCE_SECONDS, since, **facts)
        if event is None:
            raise Failed(f"the log has no event {name} with {facts}")
        return event

    def receipt(self, partner: Partner, message: BuiltMessage, answer: Answer) -> None:
        """Check the receipt as the partner does."""
        if answer.status != 200:
            raise Failed(f"{answer.status_line}: {_title(answer)}")
        mdn = partner.read_receipt(answer, message)
        said = f"{mdn.disposition_mode}; {mdn.disposition_type}" + (f"/{mdn.modifier}" if mdn.modifier else "")
        self.show.line("got", f"{answer.status_line}   Disposition: {said}", f"MIC {mdn.mic}, {mdn.mic_algorithm}")
        self.show.expect(
            mdn.signed and mdn.confirmed, "the receipt is signed (openssl verified it), and its MIC is the sender's"
        )

    def delivered(self, since: int, message: BuiltMessage) -> Received:
        """Wait until the backend has the message, and return the request that it received."""
        facts = {"state": "delivered", "message_id": _message_id(message)}
        self.logged("delivery_finished", since, **facts)
        return next(each for each in self.backend.received if each.headers["mtlsd-message-id"] == _message_id(message))

    # --- Before and after -----------------------------------------------------------------------------------------

    def _introduce(self) -> None:
        self.show.heading("mtlsd, two partners and a backend, all on this machine")
        self.show.line("AS2", ABOUT)
        self.show.line("folder", f"{self.site.folder}: virtualhosts.toml, certificates, journal, mtlsd.log")
        for host in self.site.configuration.virtualhosts:
            self.show.line("host", f"{_url(host)}   client certificate: {host.client_certificate}")
        self.show.line("backend", self.backend.url)

    def _summary(self, *, held: int, failed: bool) -> None:
        self.show.heading("Summary")
        for at, (title, _) in enumerate(STEPS):
            outcome = True if at < held else (False if failed and at == held else None)
            print(f" {self.show.tick(outcome)} {_letter(at)}) {title}")

    def _log_tail(self) -> None:
        self.show.heading("The last lines of the daemon's log")
        for line in self.daemon.last_lines():
            print(f"   {line}")


def _no_certificate(story: Story) -> None:
    story.show.line("sent", f"POST {story.path}, without a client certificate")
    story.refused(story.acme, with_certificate=False, sentence="No required SSL certificate was sent")


def _stranger(story: Story) -> None:
    stranger = story.site.partner("stranger")
    story.show.line("sent", f"POST {story.path}, with a certificate that is not registered")
    event = story.refused(stranger, with_certificate=True, sentence="The SSL certificate error")
    names = [f"{name}={event.get(name)}" for name in ("subject", "issuer", "sha256")]
    story.show.line("log", ", ".join(names[:2]), names[2])
    der = PEM_cert_to_DER_cert((stranger.folder / "tls-cert.pem").read_text(encoding="ascii"))
    named = event.get("sha256") == sha256(der).hexdigest() and event.get("subject") and event.get("issuer")
    story.show.expect(bool(named), "the log identifies the certificate: subject, issuer, fingerprint")


def _message(story: Story) -> None:
    since, message = story.daemon.mark(), story.acme.message(4711)
    document = story.acme.order(4711)
    how = "compressed, signed (SHA-256), encrypted (AES-256)"
    story.show.line("sent", f"an order of {len(document)} bytes, {how}; {len(message.body)} bytes on the wire")
    story.show.line("requested", "a signed receipt (MDN) in the answer")
    answer = story.post(story.kept, message)
    story.first = message, answer
    story.receipt(story.acme, message, answer)
    received = story.delivered(since, message)
    story.show.line("backend", *(f"{name}: {received.headers.get(name, '-')}" for name in BACKEND_HEADERS))
    story.show.expect(received.body == document, f"the backend received the order unchanged, all {len(document)} bytes")
    public = all(name in received.headers for name in BACKEND_HEADERS)
    story.show.expect(public, "its headers identify the sender and the message")


def _again(story: Story) -> None:
    assert story.first is not None
    (message, answer), since = story.first, story.daemon.mark()
    story.show.line("sent", f"{_message_id(message)} again, as a partner does after a network failure")
    again = story.post(story.kept, message)
    event = story.logged("exchange_finished", since, message_id=_message_id(message))
    story.show.line("log", f"duplicate_of={event.get('duplicate_of')}")
    same = (again.status, again.body, again.get("content-type")) == (200, answer.body, answer.get("content-type"))
    story.show.expect(same, f"the receipt is the same, all {len(answer.body)} bytes")
    once = len(story.backend.received) == 1 and story.daemon.deliveries() == ["delivered"]
    story.show.expect(once, "there is no second delivery, neither in the journal nor at the backend")


def _new_partner(story: Story) -> None:
    newcomer, port = story.site.make_partner("NEWCO"), story.kept.local_port
    message = newcomer.message(1)
    before = story.post(newcomer.connect(*story.address), message)
    story.show.line("before", f"NEWCO gets {before.status_line}   Mtlsd-Reason: {before.get('Mtlsd-Reason')}")
    since, started = story.daemon.mark(), time.monotonic()
    target = story.site.trust(newcomer)
    answer = _answer_after_reload(story, newcomer, message, since)
    seconds = time.monotonic() - started
    story.show.line("done", f"NEWCO's files copied to {target.relative_to(story.site.folder)}/, without a restart")
    story.receipt(newcomer, message, answer)
    within = f"NEWCO is accepted within {RELOAD_SECONDS:g} s: {seconds:.2f} s from the first file to the receipt"
    story.show.expect(before.status == 400 and seconds < RELOAD_SECONDS, within)
    story.delivered(since, message)
    order = story.acme.message(4712)
    confirmed = story.acme.read_receipt(story.post(story.kept, order), order).confirmed
    unbroken = confirmed and story.kept.local_port == port
    story.show.expect(unbroken, f"ACME's connection, open since c), carried the next order (local port {port})")
    story.delivered(since, order)


def _answer_after_reload(story: Story, partner: Partner, message: BuiltMessage, since: int) -> Answer:
    """Try after each reload: if copying is slow, the first reload may happen before the last file is copied."""
    while True:
        story.logged("reloaded", since)
        since = story.daemon.mark()
        answer = story.post(partner.connect(*story.address), message)
        if answer.status == 200:
            return answer


def _backend_down(story: Story) -> None:
    story.backend.stop()
    since, message = story.daemon.mark(), story.acme.message(4713)
    story.show.line("sent", f"{_message_id(message)}, while the backend is stopped")
    story.receipt(story.acme, message, story.post(story.kept, message))
    attempt = story.logged("delivery_finished", since, message_id=_message_id(message), state="pending")
    story.show.line(
        "log", f"delivery_finished attempt={attempt['attempt']} reason={attempt.get('reason')} state=pending"
    )
    story.backend.start()
    received = story.delivered(since, message)
    key = received.headers["idempotency-key"]
    story.show.line("backend", f"restarted; received {len(received.body)} bytes, Idempotency-Key: {key}")
    story.show.expect(received.body == story.acme.order(4713), "the order was delivered unchanged")
    once = story.backend.with_key(key) == 1 and set(story.daemon.deliveries()) == {"delivered"}
    story.show.expect(once, "it was delivered once, and no delivery is pending")


def _signed_only(story: Story) -> None:
    host = story.site.signed_only
    since, connection = story.daemon.mark(), story.acme.connect(*_address(host), with_certificate=False)
    unsigned = connection.ask("POST", host.routes[0].path, *_parts(story.acme.message(4714, sign=False)))
    story.show.line("sent", f"to {host.name}, without a client certificate: first unsigned, then signed")
    reason = unsigned.get("Mtlsd-Reason")
    story.show.expect(bool(reason), f"the unsigned message is refused: {reason}")
    message = story.acme.message(4715)
    story.receipt(story.acme, message, connection.ask("POST", host.routes[0].path, *_parts(message)))
    received = story.delivered(since, message)
    story.show.expect(received.body == story.acme.order(4715), "the signed message reached the backend")


STEPS: tuple[tuple[str, Callable[[Story], None]], ...] = (
    ("A client without a certificate: refused, with a reason that the partner can read", _no_certificate),
    ("An unknown certificate: refused, with the reason", _stranger),
    ("A partner's certificate and an AS2 message: receipt and delivery", _message),
    ("The same message again: the same receipt, no second delivery", _again),
    ("The certificates of a new partner, added while the daemon is running", _new_partner),
    ("The backend is down: the message is accepted, and delivered when the backend is back", _backend_down),
    ("The second host: for partners whose product does not support client certificates", _signed_only),
)


def _letter(at: int) -> str:
    return "abcdefghij"[at]


def _parts(message: BuiltMessage) -> tuple[bytes, tuple[tuple[str, str], ...]]:
    return message.body, message.headers


def _message_id(message: BuiltMessage) -> str:
    return dict(message.headers)["Message-ID"]


def _address(host: VirtualHost) -> tuple[str, int]:
    return host.name, host.listen.port


def _url(host: VirtualHost) -> str:
    return f"https://{host.name}:{host.listen.port}{host.routes[0].path}"


def _title(answer: Answer) -> str:
    """The title of nginx's error page."""
    return answer.body.decode("latin-1").partition("<title>")[2].partition("</title>")[0]
