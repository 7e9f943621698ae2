"""The receipts of `mtlsd send`: what was asked for, and reading what came, verified or not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from mtlsd import as2
from mtlsd.as2 import ReceivedMDN
from mtlsd.errors import AS2SecurityTooLow, AS2SignerUnknown, PeerError
from mtlsd.identity import Certificate
from mtlsd.net import Answer, PostedMDN, Reception

RECEIPTS = ("multipart/report", "multipart/signed")
MAX_TEXT = 2000  # characters of what an MDN says that is not accepted


@dataclass(frozen=True, slots=True)
class Asked:
    """What our message asked for.

    `mics` are the MICs that are right, by their algorithms. `waits` are the seconds that an asynchronous MDN was
    waited for; None where the answer was to bring it.
    """

    message_id: str
    mdn: Literal["none", "unsigned", "signed"]
    mics: Mapping[str, str]
    signed: bool
    signers: tuple[Certificate, ...]
    relax: frozenset[str] = frozenset()  # what the MDN's signature may be in spite of our policy
    waits: float | None = None


def is_mdn(answer: Answer) -> bool:
    """Whether an answer looks like an MDN."""
    return as2.ContentType.parse(answer.get("content-type") or "").value in RECEIPTS


def receive(asked: Asked, posted: PostedMDN) -> Reception:
    """What to answer to an MDN that was posted: whether it is that of our message, whoever signed it."""
    try:
        found = as2.read_unverified(posted.fields, posted.body)
    except PeerError as error:
        return Reception(400, f"no MDN: {error}")
    if found.original_message_id.strip("<> ") != asked.message_id.strip("<> "):
        return Reception(200, f"an MDN for another message, {found.original_message_id}")
    return Reception(200)


class MDNReader:
    """Reads an MDN whose signature is one of those asked for, and remembers whose it was."""

    def __init__(self, asked: Asked, now: datetime) -> None:
        self._asked = asked
        self._now = now
        self.signer: Certificate | None = None

    def read(self, carrier: Answer | PostedMDN) -> ReceivedMDN:
        message_id = self._asked.message_id
        return as2.read_mdn(carrier.fields, carrier.body, verify=self._verify, message_id=message_id, mic=None)

    def _verify(self, headers: Sequence[tuple[str, str]], body: bytes) -> bytes:
        opened = as2.open_detached(headers, body, self._asked.signers, self._now, self._asked.relax)
        self.signer = opened.signer
        return opened.octets


def why_refused(error: PeerError) -> str:
    """What a refusal means to who uses `mtlsd send`: its words are made for those who look after partners."""
    if isinstance(error, AS2SecurityTooLow) and "SHA-1" in error.detail:
        return "it is signed with SHA-1, which only --micalg sha1 or --sign sha1 asks for"
    if isinstance(error, AS2SignerUnknown) and not error.facts:  # with facts it is known, and out of its dates
        return f"signed by none of --mdn-cert (default: --encrypt-to); {error}"
    return str(error)


def unverified_text(carrier: Answer | PostedMDN) -> str:
    """The text of an MDN whose signature is of no worth; empty where it cannot be read."""
    try:
        found = as2.read_unverified(carrier.fields, carrier.body)
    except PeerError:
        return ""
    return found.text[:MAX_TEXT]
