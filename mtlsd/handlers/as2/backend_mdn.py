"""The MDN of a backend that is an AS2 server itself: passed on as it is, and compared with what we know.

The backend has the message, and the MDN is its statement. If the MDN has oddities, the operators are alerted, but the
partner still gets the MDN, and verifies it anyway.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from mtlsd.as2.explain import Candidate
from mtlsd.as2.headers import AS2Name, algorithm_of
from mtlsd.as2.mdn.pyas2 import ReceivedMDN
from mtlsd.as2.mdn.verify import JudgedMDN, judge_mdn
from mtlsd.as2.mime.parser import ContentType
from mtlsd.as2.receiver import SealedMessage, VerifiedMessage
from mtlsd.errors import AS2HeaderMissing, AS2SignerUnknown, BackendUnavailable
from mtlsd.handlers.context import Inbound
from mtlsd.journal.model import StoredMDN
from mtlsd.pki.relaxations import Relax
from mtlsd.relay.retry import Answered
from mtlsd.text import cut

RECEIPTS = ("multipart/report", "multipart/signed")
_PASSED_ON = ("content-type", "content-transfer-encoding", "content-disposition", "content-description")
_PASSED_ON_TOO = ("message-id", "subject", "mime-version", "ediint-features", "as2-version", "as2-product")


@dataclass(frozen=True, slots=True)
class BackendReceipt:
    """The backend's MDN, its disposition, and its errors; `alert` is empty if there are none."""

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
    """Read and compare the MDN; raises BackendUnavailable if the answer is not an MDN, or is for another message.

    `explain` gives the candidates for the MIC; it reads the message once more, so it is called only on a mismatch.
    """
    if answer.flaw:
        raise BackendUnavailable(f"{answer.status} with an MDN that is not whole: {answer.flaw}")
    headers = _passed_on(inbound, answer)
    content_type = ContentType.parse(dict(headers).get("content-type", "")).value
    if content_type not in RECEIPTS or dict(answer.headers).get("content-encoding", "identity") != "identity":
        found = content_type or "no Content-Type"
        raise BackendUnavailable(f"{answer.status} without an MDN, though one was asked for: {cut(found)}")
    judged = judge_mdn(
        headers,
        answer.body,
        certificates=inbound.call.organization.receipt_certificates,
        relax=_relaxed(inbound),
        now=now,
        message_id=inbound.headers.message_id,
    )
    said = judged.said
    if said is None:
        raise BackendUnavailable(f"{answer.status} with an MDN that cannot be read: {judged.refusal}")
    if said.original_message_id.strip("<> ") != inbound.headers.message_id.strip("<> "):
        raise BackendUnavailable(f"{answer.status} with an MDN for another message, {cut(said.original_message_id)}")
    return BackendReceipt(
        mdn=StoredMDN(headers=headers, body=answer.body),
        disposition=said.disposition,
        is_negative=not said.is_positive,
        alert=" ".join(_complaints(inbound, message, judged, said, explain)),
    )


def _relaxed(inbound: Inbound) -> frozenset[str]:
    """Allow SHA-1 if the partner requests it."""
    receipt = inbound.headers.receipt
    asks = receipt is not None and any(name == "sha1" for name, _ in receipt.algorithms)
    return frozenset({Relax.SHA1} if asks else ())


def _passed_on(inbound: Inbound, answer: Answered) -> tuple[tuple[str, str], ...]:
    """The header fields of the MDN, each once, after AS2-From and AS2-To, which must match the message."""
    found = dict(reversed([field for field in answer.headers if field[0] in (*_PASSED_ON, *_PASSED_ON_TOO)]))
    ours, theirs = inbound.headers.as2_to, inbound.headers.as2_from
    names = {"as2-from": ours, "as2-to": theirs}
    for name, value in answer.headers:
        if name in names and _name(value) != names[name].value:
            raise BackendUnavailable(f"{answer.status} with an MDN between others: {name} {cut(value)!r}")
    return (("AS2-From", ours.spelled), ("AS2-To", theirs.spelled), *found.items())


def _name(spelled: str) -> str | None:
    try:
        return AS2Name.parse(spelled).value
    except AS2HeaderMissing:
        return None


def _complaints(
    inbound: Inbound,
    message: VerifiedMessage | SealedMessage,
    judged: JudgedMDN,
    said: ReceivedMDN,
    explain: Callable[[], list[Candidate]],
) -> Iterator[str]:
    if isinstance(judged.refusal, AS2SignerUnknown):
        place = f"organizations/{inbound.call.organization.name}/backend.pem"
        yield f"The backend's MDN is signed with another key than ours: put its certificate into {place}."
    elif judged.refusal is not None:
        yield f"The backend's MDN proves nothing: {judged.refusal} ({judged.refusal.reason})."
    receipt = inbound.headers.receipt
    if receipt and receipt.signed and not said.signed:
        yield "The backend's MDN is not signed, though a signed one was asked for."
    if isinstance(message, VerifiedMessage) and said.is_positive:
        yield from _mic_complaints(message, said, explain)


def _mic_complaints(
    message: VerifiedMessage,
    said: ReceivedMDN,
    explain: Callable[[], list[Candidate]],
) -> Iterator[str]:
    """The differences of the MIC; an MDN that is not signed needs none (RFC 4130, section 7.4.3)."""
    ours, value, label = message.mic, said.mic, said.mic_algorithm
    if value is None:
        if said.signed:
            yield "The backend's MDN is signed, and has no MIC."
        return
    if (value, algorithm_of(label or "")) == (ours.value, ours.algorithm):
        return
    candidates = explain()
    places = {(each.what, each.form) for each in candidates if each.mic.value == ours.value}
    matching = [each for each in candidates if each.mic.value == value]
    if not any((each.what, each.form) in places for each in matching):
        named = "; ".join(f"the {each.mic.algorithm} of: {each.what}, {each.form}" for each in matching)
        yield f"The backend's MIC is {value}, {label}, and ours {ours}; theirs is {named or 'of other octets'}."
