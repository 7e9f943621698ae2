"""The receipts of `mtlsd send`: what was asked for, and reading what came, verified or not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from mtlsd.as2.mdn.pyas2 import ReceivedMDN, read_mdn
from mtlsd.as2.mdn.verify import read_unverified
from mtlsd.as2.mime.multipart_signed import open_detached
from mtlsd.as2.mime.parser import ContentType
from mtlsd.errors import AS2SecurityTooLow, AS2SignerUnknown, PeerError
from mtlsd.net.client.http import Answer
from mtlsd.net.server.mdn_receiver import PostedMDN, Reception
from mtlsd.pki.certificate import Certificate
from mtlsd.pki.relaxations import Relax

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
    return ContentType.parse(answer.get("content-type") or "").value in RECEIPTS


def receive(asked: Asked, now: datetime, posted: PostedMDN) -> Reception:
    """What to answer to an MDN that was posted: whether it is that of our message.

    One that bears the right Message-ID and not the signature that was asked for may be anybody's, so the waiting goes
    on; of such, one whose signer is known ranks above a stranger's, and that above one without a signature.
    """
    try:
        found = read_unverified(posted.fields, posted.body)
    except PeerError as error:
        return Reception(400, f"no MDN: {error}")
    if found.original_message_id.strip("<> ") != asked.message_id.strip("<> "):
        return Reception(200, f"an MDN for another message, {found.original_message_id}")
    try:
        mdn = MDNReader(asked, now).read(posted)
    except PeerError as error:
        return Reception(200, f"an MDN that is not accepted: {why_refused(error)}", 2 if _is_strange(error) else 3)
    if asked.mdn == "signed" and not mdn.signed:
        return Reception(200, "an MDN that is not signed, though that was asked for", 1)
    return Reception(200)


def _is_strange(error: PeerError) -> bool:
    """Whether the signer is unknown; with facts it is known, and out of its dates."""
    return isinstance(error, AS2SignerUnknown) and not error.facts


class MDNReader:
    """Reads an MDN whose signature is one of those asked for, and remembers whose it was."""

    def __init__(self, asked: Asked, now: datetime) -> None:
        self._asked = asked
        self._now = now
        self.signer: Certificate | None = None

    def read(self, carrier: Answer | PostedMDN) -> ReceivedMDN:
        message_id = self._asked.message_id
        return read_mdn(carrier.fields, carrier.body, verify=self._verify, message_id=message_id, mic=None)

    def _verify(self, headers: Sequence[tuple[str, str]], body: bytes) -> bytes:
        opened = open_detached(headers, body, self._asked.signers, self._now, self._asked.relax)
        self.signer = opened.signer
        return opened.octets


def why_refused(error: PeerError) -> str:
    """What a refusal means to who uses `mtlsd send`: its words are made for those who look after partners."""
    if isinstance(error, AS2SecurityTooLow) and error.relaxation == Relax.SHA1:
        return "it is signed with SHA-1, which only --micalg sha1 or --sign sha1 asks for"
    if _is_strange(error):
        return f"signed by none of --mdn-cert (default: --encrypt-to); {error}"
    return str(error)


def unverified_text(carrier: Answer | PostedMDN) -> str:
    """The text of an MDN whose signature is of no worth; empty where it cannot be read."""
    try:
        found = read_unverified(carrier.fields, carrier.body)
    except PeerError:
        return ""
    return found.text[:MAX_TEXT]
