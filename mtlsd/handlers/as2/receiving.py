"""The body of one AS2 message as it arrives: stored unchanged, and read at the same time.

The files belong to `Receiving` until `keep` or `abort`.
"""

from collections.abc import Callable, Iterator

from mtlsd.as2 import explain
from mtlsd.as2.agreement import Agreement
from mtlsd.as2.explain import Candidate
from mtlsd.as2.layers import SignatureEvidence
from mtlsd.as2.mime.parser import ContentType
from mtlsd.as2.receiver import Receiver, SealedMessage, VerifiedMessage
from mtlsd.as2.second_pass import Hints, ReadAgain
from mtlsd.config.model import Deliver
from mtlsd.errors import AS2MDNUnexpected, AS2Refused
from mtlsd.handlers.context import Inbound, Services
from mtlsd.journal import documents
from mtlsd.journal.documents import Document, Kept
from mtlsd.partners.partner_toml import Require

SMALL = 64 * 1024  # octets that are verified without a separate thread
READ_AGAIN = 64 * 1024  # octets at a time, if the body must be read once more

Pause = Callable[[], None]  # called between two pieces of long work: others may need the processor


class Receiving:
    """Call `begin`, `receive_data` for each piece of the body, then `finish`, which also raises an earlier refusal."""

    def __init__(self, inbound: Inbound, services: Services) -> None:
        self._inbound = inbound
        self._services = services
        self._refusal: AS2Refused | None = None
        self._receiver: Receiver | None = None
        self._documents: dict[str, Document] = {}
        self._counts_as_failure = False
        self._pause: Pause = _go_on

    def begin(self, pause: Pause) -> None:
        """Let the message of a stranger count as failed until it is complete; raises TooManyFailures.

        Otherwise a stranger could cause any amount of work with messages that neither succeed nor fail.
        """
        call, self._pause = self._inbound.call, pause
        if call.peer is None:
            self._services.failures.charge(self._inbound.failure_key, call.now)
            self._counts_as_failure = True

    def receive_data(self, data: bytes) -> None:
        """Receive some octets of the body; raises SpoolFull or JournalUnavailable."""
        if self._refusal is not None:
            return
        try:
            if self._receiver is None:
                self._open(Hints())
            self._documents["as2"].write(data)
            self._read(data)
        except AS2Refused as refusal:
            self._refusal = refusal
            self.abort()

    @property
    def is_small(self) -> bool:
        """Whether `finish` touches no file, and takes no longer than a few milliseconds."""
        read = self._receiver
        if read is not None and (read.inflated > SMALL or read.needs_another_pass):
            return False
        return all(document.file is None and document.size <= SMALL for document in self._documents.values())

    def finish(self) -> VerifiedMessage | SealedMessage:
        """Return the verdict on the complete body; raises AS2Refused, SpoolFull or JournalUnavailable."""
        try:
            if self._receiver is None and self._refusal is None:
                self._open(Hints())
            if self._refusal is not None:
                raise self._refusal
            read = self._verify()
        finally:
            self._complete()
        if isinstance(read, SealedMessage):
            self._documents.pop("payload").discard()
        else:
            check_no_mdn(read.content_type)
        return read

    def keep(self) -> Kept:
        """Pass the documents to the spool and the journal; raises SpoolFull."""
        return documents.keep(self._services.spool, self._inbound.call.request_id, self._documents)

    def abort(self) -> None:
        """Remove the files that are not kept."""
        for document in self._documents.values():
            document.discard()

    def candidates(self) -> list[Candidate]:
        """Every digest that could be the MIC. Call before `keep` or `abort`, because the message is read once more."""
        return self.candidates_in(self._documents["as2"].read_back(READ_AGAIN))

    def candidates_in(self, body: Iterator[bytes]) -> list[Candidate]:
        """Every digest that the sender of this body could have used as the MIC."""
        inbound, pieces = self._inbound, _pausing(body, self._pause)
        return explain.explain(inbound.headers, agreement_of(inbound), self._services.limits, inbound.call.time, pieces)

    def excuse(self) -> None:
        """Note that the failure is ours, and not the sender's."""
        self._complete()

    def _complete(self) -> None:
        """From now on the verdict decides whether the message counts as failed."""
        if self._counts_as_failure:
            self._services.failures.give_back(self._inbound.failure_key)
            self._counts_as_failure = False

    def _open(self, hints: Hints) -> None:
        services = self._services
        for suffix in ("as2", "payload"):
            if suffix not in self._documents:
                self._documents[suffix] = Document(services.spool, services.max_inline)
        headers, now = self._inbound.headers, self._inbound.call.time
        agreement = agreement_of(self._inbound)
        self._receiver = Receiver(headers, agreement, services.limits, now, hints, witness=self._witness)

    def _witness(self, evidence: SignatureEvidence, data: bytes) -> None:
        """Keep the evidence of the signature, or its digest."""
        if evidence not in self._documents:
            services = self._services
            self._documents[evidence] = Document(services.spool, digest_only=not services.keeps_evidence)
        self._documents[evidence].write(data)

    def _read(self, data: bytes) -> None:
        assert self._receiver is not None
        self._receiver.receive_data(data)
        self._write_payload()

    def _write_payload(self) -> None:
        assert self._receiver is not None
        for event in self._receiver.events():
            self._documents["payload"].write(event.data)

    def _verify(self) -> VerifiedMessage | SealedMessage:
        """Return the verdict; the body is read again if a pass lacked information."""
        assert self._receiver is not None
        try:
            verified = self._receiver.finish()
        except ReadAgain as again:
            self._read_again(again.hints)
            return self._verify()
        self._write_payload()
        return verified

    def _read_again(self, hints: Hints) -> None:
        for suffix in self._documents.keys() - {"as2"}:
            self._documents.pop(suffix).discard()
        self._open(hints)
        for data in _pausing(self._documents["as2"].read_back(READ_AGAIN), self._pause):
            self._read(data)


def _go_on() -> None:
    pass


def _pausing(pieces: Iterator[bytes], pause: Pause) -> Iterator[bytes]:
    """The same pieces, with a pause before each."""
    for piece in pieces:
        pause()
        yield piece


def agreement_of(inbound: Inbound) -> Agreement:
    """A sender without proof from TLS must sign; only the backend can vouch for content that stays encrypted."""
    call, partner = inbound.call, inbound.partner
    assert partner is not None
    require = partner.require | ({Require.SIGN} if call.peer is None else frozenset())
    may_stay_sealed = inbound.backend_answers and call.peer is not None
    passed_on = call.route.deliver is Deliver.MESSAGE
    return Agreement(
        organization=call.organization,
        partner=partner,
        require=frozenset(require),
        may_stay_sealed=may_stay_sealed,
        passed_on=passed_on,
        is_proven=call.peer is not None,
    )


def check_no_mdn(content_type: str) -> None:
    """Raises AS2MDNUnexpected: some partners know one URL of ours and send everything there."""
    parsed = ContentType.parse(content_type)
    kind = parsed.parameters.get("report-type", "disposition-notification").lower()
    if parsed.value == "multipart/report" and kind == "disposition-notification":
        raise AS2MDNUnexpected()
