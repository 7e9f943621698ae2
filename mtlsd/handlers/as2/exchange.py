"""One AS2 message being served: received, promised, and answered.

Every exchange ends in a `Response`, with the data that must be on disk before it is sent. An acceptance writes
everything to disk in one commit; if an earlier message holds the key by then, `duplicate` returns the answer instead.

Some routes ask the backend first (`mdn = "delivered"` and `"backend"`): the caller, which has the sockets, makes the
attempt and passes the outcome to `delivered`. Nothing is accepted unless the backend took it.
"""

from dataclasses import replace
from functools import partial

from mtlsd.as2.explain import Candidate
from mtlsd.as2.headers import algorithm_of
from mtlsd.as2.receiver import SealedMessage, VerifiedMessage
from mtlsd.config.model import MDNMode
from mtlsd.errors import AS2DuplicateOtherContent, AS2Refused, BackendUnavailable
from mtlsd.handlers.as2 import answer, backend_mdn, records
from mtlsd.handlers.as2.answer import Read
from mtlsd.handlers.as2.backend_mdn import BackendReceipt
from mtlsd.handlers.as2.receiving import READ_AGAIN, Pause, Receiving
from mtlsd.handlers.context import Inbound, Services
from mtlsd.http.messages import Response
from mtlsd.journal import documents
from mtlsd.journal.documents import Kept, open_kept
from mtlsd.journal.integrity import check_mdn
from mtlsd.journal.model import Acceptance, Attempt, DeliveryState, Message
from mtlsd.relay.retry import Answered, Outcome, reason_of


class Exchange:
    """A message being received: `begin`, its data, then `finish`; or `abort`. Until then it owns its files."""

    def __init__(self, inbound: Inbound, services: Services) -> None:
        self._inbound = inbound
        self._services = services
        self._receiving = Receiving(inbound, services)
        self._message: Read | None = None
        self._kept: Kept | None = None
        self._alert = ""

    def begin(self, pause: Pause) -> None:
        """Begin to receive the body; raises TooManyFailures."""
        self._receiving.begin(pause)

    def excuse(self) -> None:
        """Note that the failure is ours, and not the sender's."""
        self._receiving.excuse()

    def receive_data(self, data: bytes) -> None:
        """Receive some octets of the body; raises SpoolFull or JournalUnavailable."""
        self._receiving.receive_data(data)

    @property
    def is_small(self) -> bool:
        """Whether `finish` touches no file, and takes no longer than a few milliseconds."""
        return self._receiving.is_small

    def finish(self) -> Response:
        """Verify the complete body, and answer.

        Raises SpoolFull or JournalUnavailable, or TooManyFailures.
        """
        try:
            return self._accept(self._receiving.finish())
        except AS2Refused as refusal:
            return answer.refuse(self._inbound, self._services, refusal)
        finally:
            self.abort()

    def abort(self) -> None:
        """Remove the files that are not kept."""
        self._receiving.abort()

    def withdraw(self) -> None:
        """Remove the files of a message that is not accepted after all."""
        if self._kept is not None:
            documents.remove(self._services.spool, self._kept)

    def _accept(self, read: Read) -> Response:
        self._message = read
        self._alert = answer.receipt_alert(self._inbound)
        mdn = answer.receipt(self._inbound, read)
        kept = self._kept = self._receiving.keep()
        message = records.message_of(self._inbound, read, kept, mdn)
        deliveries = tuple(records.deliveries_of(self._inbound, message))
        certificates = records.certificates_of(read)
        acceptance = Acceptance(message, deliveries, kept.inline, certificates=certificates)
        return answer.accepted(self._inbound, read, acceptance, self._alert)

    # --- If the backend is asked first --------------------------------------------------------------------------------

    @property
    def asks_backend_first(self) -> bool:
        """Whether an acceptance by `finish` must first be attempted, and `delivered` has the answer."""
        return self._inbound.call.route.mdn is not MDNMode.ACCEPTED

    def delivered(self, acceptance: Acceptance, attempt: Attempt, outcome: Outcome) -> Response:
        """Return the answer after the backend was asked, possibly its refusal; raises BackendUnavailable."""
        if reason := reason_of(outcome):
            if isinstance(self._message, SealedMessage) and isinstance(outcome, Answered):
                self._charge()  # otherwise a sender could guess without limit what the backend can open
            raise BackendUnavailable(f"{reason}: {attempt.detail or attempt.status}")
        assert isinstance(outcome, Answered)
        message = acceptance.message
        if self._inbound.backend_answers and self._inbound.headers.receipt:
            receipt = self._backend_receipt(outcome)
            self._alert = receipt.alert
            if receipt.is_negative:
                return self._pass_on(receipt)
            message = replace(message, mdn=receipt.mdn, notes=(*message.notes, *filter(None, (receipt.alert,))))
        return self._accept_delivered(replace(acceptance, message=message), attempt)

    def _accept_delivered(self, acceptance: Acceptance, attempt: Attempt) -> Response:
        assert self._message is not None
        first, *others = records.deliveries_of(self._inbound, acceptance.message)
        made = replace(first, state=DeliveryState.DELIVERED, attempts=1, finished_at=attempt.finished_at)
        acceptance = replace(acceptance, deliveries=(made, *others), attempts=(attempt,))
        return answer.accepted(self._inbound, self._message, acceptance, self._alert)

    def _pass_on(self, receipt: BackendReceipt) -> Response:
        assert self._message is not None
        self.withdraw()
        self._charge()
        return answer.passed_on(self._inbound, self._message, receipt)

    def lacks_receipt(self, earlier: Message) -> bool:
        """Whether the backend must be asked again: the earlier message requested no MDN, and this message does.

        Never if the content differs: a backend takes a message with the same key for the one that it already has.
        """
        if not self._inbound.backend_answers or self._inbound.headers.receipt is None or earlier.mdn is not None:
            return False
        return self._is_same(earlier)

    def _backend_receipt(self, answered: Answered) -> BackendReceipt:
        assert self._message is not None
        return backend_mdn.judge(self._inbound, self._message, answered, self._inbound.call.time, self._explain)

    def _charge(self) -> None:
        self._services.failures.charge(self._inbound.failure_key, self._inbound.call.now)

    # --- If an earlier message holds the key --------------------------------------------------------------------------

    def is_first(self, holder: Message) -> bool:
        """Whether the message that holds the key is this one."""
        return holder.id == self._inbound.call.request_id

    def duplicate(self, earlier: Message) -> Response:
        """The answer if an earlier message holds the key: its MDN if the content is the same, else a refusal.

        It may read the message once more, and write the MDN that the earlier message had not requested. Raises
        JournalUnavailable, also if the stored MDN of the earlier message differs from its entry.
        """
        assert self._message is not None
        try:
            return self._duplicate(earlier, self._message)
        except AS2Refused as refusal:
            return answer.refuse(self._inbound, self._services, refusal, self._message)
        finally:
            self.withdraw()

    def _duplicate(self, earlier: Message, read: Read) -> Response:
        """Return the stored MDN; nothing is processed twice."""
        if not self._is_same(earlier):
            raise AS2DuplicateOtherContent(f"first received as {earlier.id}")
        if earlier.mdn:
            check_mdn(self._services.journal, earlier)
        elif late := answer.receipt(self._inbound, read, earlier):
            earlier = self._services.journal.answer(earlier, late, self._inbound.call.now)
        return answer.duplicate(self._inbound, read, earlier, self._alert)

    def _is_same(self, earlier: Message) -> bool:
        """Whether the content is the same as in the earlier message, as far as both are known."""
        verified = self._message
        if earlier.mic is None or not isinstance(verified, VerifiedMessage):
            return True
        algorithm = algorithm_of(earlier.mic_algorithm or "")
        is_signed = verified.signer is not None
        if algorithm == verified.mic.algorithm and (is_signed or earlier.mic == verified.mic.value):
            return earlier.mic == verified.mic.value
        candidates = (each for each in self._explain() if is_signed or each.profiles)  # the profile may have changed
        return any((each.mic.value, each.mic.algorithm) == (earlier.mic, algorithm) for each in candidates)

    def _explain(self) -> list[Candidate]:
        """Return every digest of this message, which is stored and is read once more."""
        assert self._kept is not None
        with open_kept(self._services.spool, self._kept.inline, self._kept.names["as2"]) as file:
            return self._receiving.candidates_in(iter(partial(file.read, READ_AGAIN), b""))
