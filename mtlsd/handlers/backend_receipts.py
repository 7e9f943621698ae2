"""The MDN of a backend that is an AS2 server itself: passed on as it is, and compared with what we know.

The backend has the message, and the MDN is its word; so whatever is odd about it is for the operators to hear of, and
no reason to keep it from the partner, who verifies it anyway.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from mtlsd import as2
from mtlsd.as2 import Candidate, ContentType, JudgedMDN, SealedMessage, VerifiedMessage
from mtlsd.errors import BackendUnavailable
from mtlsd.handlers.call import Inbound
from mtlsd.identity import Relax
from mtlsd.journal import StoredMDN
from mtlsd.relay import Answered

RECEIPTS = ("multipart/report", "multipart/signed")
_PASSED_ON = ("as2-", "content-", "mime-", "ediint-", "disposition-")  # prefixes of names; the rest is about the hop
_PASSED_ON_TOO = ("message-id", "subject", "date", "from", "to")
_REBUILT = ("content-length", "content-encoding")


@dataclass(frozen=True, slots=True)
class BackendReceipt:
    """The backend's MDN, what it says, and what is wrong with it; `alert` is empty where nothing is."""

    mdn: StoredMDN
    disposition: str
    is_negative: bool
    alert: str


def judge(
    inbound: Inbound,
    message: VerifiedMessage | SealedMessage,
    answer: Answered,
    now: datetime,
    explain: Callable[[], list[Candidate]],
) -> BackendReceipt:
    """Read and compare it; raises BackendUnavailable where the answer is no MDN.

    `explain` gives the candidates for the MIC; it reads the message once more, so it is called only on a mismatch.
    """
    headers = _passed_on(answer)
    content_type = ContentType.parse(dict(headers).get("content-type", "")).value
    if content_type not in RECEIPTS or dict(answer.headers).get("content-encoding", "identity") != "identity":
        raise BackendUnavailable(f"{answer.status}, but {content_type or 'nothing'} is no MDN, and one was asked for")
    judged = as2.judge_mdn(
        headers,
        answer.body,
        certificates=inbound.call.organization.receipt_certificates,
        relax=_relaxed(inbound),
        now=now,
        message_id=inbound.headers.message_id,
    )
    said = judged.said
    return BackendReceipt(
        mdn=StoredMDN(headers=headers, body=answer.body),
        disposition=str(said and said.disposition),
        is_negative=said is not None and not said.is_positive,
        alert=" ".join(_complaints(inbound, message, judged, explain)),
    )


def _relaxed(inbound: Inbound) -> frozenset[str]:
    """A partner that asks for SHA-1 gets it."""
    receipt = inbound.headers.receipt
    asks = receipt is not None and any(name == "sha1" for name, _ in receipt.algorithms)
    return frozenset({Relax.SHA1} if asks else ())


def _passed_on(answer: Answered) -> tuple[tuple[str, str], ...]:
    return tuple(
        (name, value)
        for name, value in answer.headers
        if name not in _REBUILT and (name.startswith(_PASSED_ON) or name in _PASSED_ON_TOO)
    )


def _complaints(
    inbound: Inbound,
    message: VerifiedMessage | SealedMessage,
    judged: JudgedMDN,
    explain: Callable[[], list[Candidate]],
) -> Iterator[str]:
    if judged.refusal is not None:
        yield f"The backend's MDN proves nothing: {judged.refusal} ({judged.refusal.reason})."
    said = judged.said
    if said is None:
        return
    receipt = inbound.headers.receipt
    if receipt and receipt.signed and not said.signed:
        yield "The backend's MDN is not signed, though a signed one was asked for."
    if isinstance(message, VerifiedMessage) and said.is_positive:
        yield from _mic_complaints(message, said.mic, said.mic_algorithm, explain)


def _mic_complaints(
    message: VerifiedMessage, value: str | None, label: str | None, explain: Callable[[], list[Candidate]]
) -> Iterator[str]:
    ours = message.mic
    if value is None:
        if message.signer is not None:
            yield "The backend's MDN has no MIC."
        return
    if (value, as2.algorithm_of(label or "")) == (ours.value, ours.algorithm):
        return
    candidates = explain()
    places = {(each.what, each.form) for each in candidates if each.mic.value == ours.value}
    matching = [each for each in candidates if each.mic.value == value]
    if not any((each.what, each.form) in places for each in matching):
        named = "; ".join(f"the {each.mic.algorithm} of: {each.what}, {each.form}" for each in matching)
        yield f"The backend's MIC is {value}, {label}, and ours {ours}; theirs is {named or 'of other octets'}."
