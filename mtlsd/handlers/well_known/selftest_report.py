"""The report of a self-test: the findings about a message, for people in the MDN's text, and for programs as JSON.

The report describes the content of an envelope only if a signature has verified.
"""

from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mtlsd.as2.explain import Candidate
from mtlsd.as2.layers import Layer
from mtlsd.as2.receiver import VerifiedMessage
from mtlsd.errors import AS2Refused
from mtlsd.journal.model import StoredMDN
from mtlsd.text import printable

NOTHING_KEPT = "This was a self-test: nothing was stored, and nothing is delivered."
UNSIGNED = "The message is encrypted and not signed, so its content is not reported."
TOO_LARGE = "The message is too large for the list of every possible MIC."
LINE = 200  # characters of one line of the text


@dataclass(frozen=True, slots=True)
class SelfTestReport:
    """The findings; `verified` is None if the message was refused."""

    request_id: str
    as2_from: str
    as2_to: str
    message_id: str
    oddities: tuple[str, ...]
    target: str | None = None  # the URL for an asynchronous MDN, if one was requested
    verified: VerifiedMessage | None = None
    candidates: tuple[Candidate, ...] = ()
    too_large: bool = False
    refusal: AS2Refused | None = None
    status: int = 200  # of the answer without a report

    @property
    def inside(self) -> VerifiedMessage | None:
        """The message, if its content may be reported."""
        return self.verified if self.verified and may_be_reported(self.verified) else None


def may_be_reported(verified: VerifiedMessage) -> bool:
    """Whether the sender certainly knows the content: it signed the content, or sent it in the clear."""
    return verified.signer is not None or Layer.ENCRYPTED not in verified.layers


def as_json(report: SelfTestReport, mdn: StoredMDN | None) -> dict[str, Any]:
    """All of it, as values of JSON."""
    inside = report.inside
    return {
        "request_id": report.request_id,
        "verdict": "refused" if report.refusal else "accepted",
        "reason": report.refusal.reason if report.refusal else None,
        "advice": report.refusal.said if report.refusal else None,
        "status": report.status,
        "as2_from": report.as2_from,
        "as2_to": report.as2_to,
        "message_id": report.message_id,
        "oddities": list(report.oddities),
        "remarks": list(_remarks(report)),
        "layers": list(_layers(inside)) if inside else None,
        "payload": {"content_type": inside.content_type, "size": inside.size} if inside else None,
        "mic": str(inside.mic) if inside else None,
        "mics": [_candidate(each, inside) for each in report.candidates] if inside else None,
        "mdn": {"headers": mdn.headers, "body": b64encode(mdn.body).decode("ascii")} if mdn else None,
    }


def as_text(report: SelfTestReport) -> str:
    """The same for the text of an MDN, in ASCII and lines of CRLF; of the MICs, those with the message's algorithm."""
    return "\r\n".join(map(_line, _lines(report)))


def _lines(report: SelfTestReport) -> Iterator[str]:
    assert report.verified is not None
    yield from ("The message meets the agreement.", *_remarks(report))
    inside = report.inside
    if inside:
        for number, each in enumerate(_layers(inside), 1):
            yield f"Layer {number}: {_described(each)}"
        yield f"Document: {inside.content_type}, {inside.size} bytes"
        yield f"MIC: {inside.mic}"
        usual = inside.mic.algorithm
        yield from (_mic(each, inside) for each in report.candidates if each.mic.algorithm == usual or each.profiles)
    yield from (f"Odd: {each}" for each in report.oddities)


def _remarks(report: SelfTestReport) -> Iterator[str]:
    yield NOTHING_KEPT
    if report.target is not None:
        yield f"A route would send the MDN to {report.target}; a self-test returns it in the answer."
    if report.verified and not report.inside:
        yield UNSIGNED
    if report.inside and report.too_large:
        yield TOO_LARGE


def _layers(inside: VerifiedMessage) -> Iterator[dict[str, object]]:
    for letter in inside.layers:
        match Layer(letter):
            case Layer.ENCRYPTED:
                yield {"layer": "encrypted", "algorithm": inside.cipher}
            case Layer.COMPRESSED:
                yield {"layer": "compressed", "algorithm": "zlib"}
            case Layer.SIGNED:
                signer = inside.signer
                assert signer is not None
                yield {
                    "layer": "signed",
                    "algorithm": inside.digest,
                    "form": inside.form,
                    "signer": signer.sha256,
                    "subject": signer.subject,
                    "until": f"{signer.not_after:%Y-%m-%dT%H:%M:%SZ}",
                }


def _described(layer: dict[str, object]) -> str:
    said = f"{layer['layer']}, {layer['algorithm']}"
    if "signer" not in layer:
        return said
    return f"{said} ({layer['form']}), by {layer['subject']}, valid until {layer['until']}, sha256 {layer['signer']}"


def _mic(candidate: Candidate, inside: VerifiedMessage) -> str:
    ours = " (ours)" if candidate.mic.digest == inside.mic.digest else ""
    profiles = f" (mic_profile {', '.join(candidate.profiles)})" if candidate.profiles else ""
    return f"  {candidate.mic.value} {candidate.what}, {candidate.form}, {candidate.mic.algorithm}{profiles}{ours}"


def _candidate(candidate: Candidate, inside: VerifiedMessage) -> dict[str, object]:
    return {
        "what": candidate.what,
        "form": candidate.form,
        "algorithm": candidate.mic.algorithm,
        "value": candidate.mic.value,
        "profiles": list(candidate.profiles),
        "ours": candidate.mic.digest == inside.mic.digest,
    }


def _line(text: str) -> str:
    """One line in printable ASCII; text of a partner may contain line ends and be of any length."""
    return printable(text).encode("ascii", "backslashreplace").decode("ascii")[:LINE]
