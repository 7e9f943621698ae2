"""Judges an MDN that somebody else made: its signature and its content.

Only content that a signature vouches for is `proven`. If the signature fails, the content is kept for people to read,
and proves nothing.
"""

import base64
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from mtlsd.as2.mdn.pyas2 import Headers, ReceivedMDN, read_mdn
from mtlsd.as2.mime.multipart_signed import encoding_of_multipart, open_detached
from mtlsd.as2.mime.parser import ContentType, HeaderBlock
from mtlsd.errors import MDNUnreadable, PeerError
from mtlsd.pki.certificate import Certificate


@dataclass(frozen=True, slots=True)
class JudgedMDN:
    """A judged MDN: `refusal` is the reason if it proves nothing, `said` its content, or None if it is unreadable."""

    said: ReceivedMDN | None
    signer: Certificate | None = None
    refusal: PeerError | None = None

    @property
    def proven(self) -> ReceivedMDN | None:
        return None if self.refusal else self.said


def judge_mdn(
    headers: Headers,
    body: bytes,
    *,
    certificates: Sequence[Certificate],
    relax: Collection[str],
    now: datetime,
    message_id: str | None,
    mic: str | None = None,
) -> JudgedMDN:
    """Verify and read an MDN; `message_id` and `mic` as in `read_mdn`. Never raises, whatever the MDN holds.

    `relax` lists the exceptions from our policy that the signature may use.
    """
    signer: Certificate | None = None

    def verify(fields: Headers, data: bytes) -> bytes:
        nonlocal signer
        opened = open_detached(fields, data, certificates, now, relax)
        signer = opened.signer
        return opened.octets

    try:
        return JudgedMDN(read_mdn(headers, body, verify=verify, message_id=message_id, mic=mic), signer)
    except PeerError as refusal:
        with suppress(PeerError):
            return JudgedMDN(read_unverified(headers, body), None, refusal)
        return JudgedMDN(None, None, refusal)


def read_unverified(headers: Headers, body: bytes) -> ReceivedMDN:
    """The content of an MDN, with its signature ignored; raises MDNUnreadable."""
    return read_mdn(headers, body, verify=_first_part, message_id=None, mic=None)


def _first_part(headers: Headers, body: bytes) -> bytes:
    fields = HeaderBlock(b"", {name.lower(): value for name, value in headers})
    if encoding_of_multipart(fields) == "base64":
        body = _decoded(body)
    content_type = fields.content_type() or ContentType("")
    delimiter = b"--" + content_type.parameters.get("boundary", "").encode("latin-1", "replace")
    _, _, rest = body.partition(delimiter)
    return rest.partition(b"\n" + delimiter)[0].partition(b"\n")[2]


def _decoded(body: bytes) -> bytes:
    try:
        return base64.b64decode(body)
    except ValueError as error:
        raise MDNUnreadable("not base64") from error
