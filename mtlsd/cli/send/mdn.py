"""The receipts of `mtlsd send`: the request, and reading an MDN that arrived, verified or not."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from mtlsd.as2.mdn.pyas2 import ReceivedMDN, read_mdn
from mtlsd.as2.mdn.verify import read_unverified
from mtlsd.as2.mic import DIGESTS
from mtlsd.as2.mime.multipart_signed import open_detached
from mtlsd.as2.mime.parser import ContentType
from mtlsd.as2.outbound.compose import mic_of
from mtlsd.errors import AS2SecurityTooLow, AS2SignerUnknown, PeerError
from mtlsd.net.client.http import Answer
from mtlsd.net.server.mdn_receiver import PostedMDN, Reception
from mtlsd.pki.certificate import Certificate
from mtlsd.pki.relaxations import Relax

RECEIPTS = ("multipart/report", "multipart/signed")
MAX_TEXT = 2000  # characters of the text of an MDN that is not accepted


@dataclass(frozen=True, slots=True)
class Asked:
    """What our message requested.

    `mics` are the correct MICs, by algorithm, and `hashable` is what another product could hash instead, by name.
    `waits` is the number of seconds to wait for an asynchronous MDN; None if the MDN is expected in the answer.
    """

    message_id: str
    mdn: Literal["none", "unsigned", "signed"]
    mics: Mapping[str, str]
    signers: tuple[Certificate, ...]
    relax: frozenset[str] = frozenset()  # relaxations of our policy for the signature of the MDN
    waits: float | None = None
    hashable: tuple[tuple[str, bytes], ...] = ()

    def hashed_by(self, mic: str) -> list[str]:
        """What a receiver hashed that reports this MIC, such as `the sha1 of: the document`."""
        return [
            f"the {algorithm} of: {name}"
            for name, octets in self.hashable
            for algorithm in DIGESTS
            if mic == mic_of(octets, algorithm)
        ]


def is_mdn(answer: Answer) -> bool:
    """Whether an answer looks like an MDN."""
    return ContentType.parse(answer.get("content-type") or "").value in RECEIPTS


def receive(asked: Asked, now: datetime, posted: PostedMDN) -> Reception:
    """The answer to a posted MDN: whether it belongs to our message.

    An MDN with the right Message-ID, but without the requested signature, may be from anybody, so the wait continues.
    Among such MDNs, a known signer ranks above an unknown signer, and an unknown signer above no signature.
    """
    try:
        found = read_unverified(posted.fields, posted.body)
    except PeerError as error:
        return Reception(400, f"not an MDN: {error}")
    if found.original_message_id.strip("<> ") != asked.message_id.strip("<> "):
        return Reception(200, f"an MDN for another message, {found.original_message_id}")
    try:
        mdn, _ = read_verified(asked, now, posted)
    except PeerError as error:
        return Reception(200, f"an MDN that is not accepted: {why_refused(error)}", 2 if _is_strange(error) else 3)
    if asked.mdn == "signed" and not mdn.signed:
        return Reception(200, "an MDN that is not signed, although a signature was requested", 1)
    return Reception(200)


def _is_strange(error: PeerError) -> bool:
    """Whether the signer is unknown; an error with facts has a known signer outside the dates."""
    return isinstance(error, AS2SignerUnknown) and not error.facts


def read_verified(asked: Asked, now: datetime, carrier: Answer | PostedMDN) -> tuple[ReceivedMDN, Certificate | None]:
    """Read an MDN and verify the requested signature; returns also the signer."""
    signers: list[Certificate] = []

    def verify(headers: Sequence[tuple[str, str]], body: bytes) -> bytes:
        opened = open_detached(headers, body, asked.signers, now, asked.relax)
        signers.append(opened.signer)
        return opened.octets

    mdn = read_mdn(carrier.fields, carrier.body, verify=verify, message_id=asked.message_id, mic=None)
    return mdn, next(iter(signers), None)


def why_refused(error: PeerError) -> str:
    """A refusal in words for users of `mtlsd send`; the error's own text is for operators of mtlsd."""
    if isinstance(error, AS2SecurityTooLow) and error.relaxation == Relax.SHA1:
        return "it is signed with SHA-1, which only --micalg sha1 or --sign sha1 allows"
    if _is_strange(error):
        return f"it is not signed by a certificate of --mdn-cert (default: --encrypt-to); {error}"
    return str(error)


def unverified_text(carrier: Answer | PostedMDN) -> str:
    """The text of an MDN whose signature is not accepted; empty if it cannot be read."""
    with suppress(PeerError):
        return read_unverified(carrier.fields, carrier.body).text[:MAX_TEXT]
    return ""
