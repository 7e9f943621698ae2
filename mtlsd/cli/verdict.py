"""What an answer to a test message is worth: `judge` decides, `say_verdict` says it to people."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Literal

from mtlsd import as2
from mtlsd.as2 import ReceivedMDN
from mtlsd.cli.output import say, say_fields, say_text
from mtlsd.errors import AS2SecurityTooLow, AS2SignerUnknown, PeerError
from mtlsd.identity import Certificate
from mtlsd.net import Answer

RECEIPTS = ("multipart/report", "multipart/signed")
MAX_PAGE = 2000  # characters of an answer that is no MDN and no problem+json


@dataclass(frozen=True, slots=True)
class Asked:
    """What our message asked for; `mic` is None where there is none to compare."""

    message_id: str
    mdn: Literal["none", "unsigned", "signed"]
    mic: str | None
    signed: bool
    signers: tuple[Certificate, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The judgement, and what it rests on."""

    ok: bool
    failures: tuple[str, ...]  # why it is not, one sentence each
    message_id: str
    status: int
    reason: str | None
    request_id: str | None
    advice: str | None
    mdn: ReceivedMDN | None
    signer: Certificate | None
    mic: str  # what came of the comparison
    page: str  # of an answer that is no MDN
    unverified: str = ""  # the text of an MDN that is not accepted: anybody could have written it

    @property
    def disposition(self) -> str | None:
        if self.mdn is None:
            return None
        modifier = f"/{self.mdn.modifier}" if self.mdn.modifier else ""
        return f"{self.mdn.disposition_mode}; {self.mdn.disposition_type}{modifier}"

    def as_json(self) -> dict[str, object]:
        mdn = self.mdn and {
            "disposition": self.disposition,
            "original_message_id": self.mdn.original_message_id,
            "mic": self.mdn.mic,
            "mic_algorithm": self.mdn.mic_algorithm,
            "signed": self.mdn.signed,
            "signer": self.signer and {"subject": self.signer.subject, "sha256": self.signer.sha256},
            "text": self.mdn.text,
        }
        return {
            "ok": self.ok,
            "failures": list(self.failures),
            "message_id": self.message_id,
            "status": self.status,
            "reason": self.reason,
            "request_id": self.request_id,
            "advice": self.advice,
            "mic": self.mic,
            "mdn": mdn,
            "unverified_text": self.unverified,
        }


def judge(asked: Asked, answer: Answer, now: datetime) -> Verdict:
    """The verdict; `now` is when the MDN's signature is judged."""
    content_type = as2.ContentType.parse(answer.get("content-type") or "").value
    problem = _problem(answer) if content_type == "application/problem+json" else {}
    failures = [] if 200 <= answer.status < 300 else [f"HTTP {answer.status} {_phrase(answer.status)}".rstrip()]
    mdn, signer, unverified = None, None, ""
    if content_type in RECEIPTS:
        reader = _MDNReader(asked, now)
        try:
            mdn = reader.read(answer)
            signer = reader.signer
            failures += _failures(asked, mdn)
        except PeerError as error:
            failures.append(f"the MDN is not accepted: {_why(error)} ({error.reason})")
            unverified = _unverified(answer)
    elif asked.mdn != "none" and not failures:
        failures.append("no MDN came, though one was asked for")
    return Verdict(
        ok=not failures,
        failures=tuple(failures),
        message_id=asked.message_id,
        status=answer.status,
        reason=answer.get("mtlsd-reason") or problem.get("reason"),
        request_id=answer.get("mtlsd-request-id") or problem.get("request_id"),
        advice=problem.get("detail"),
        mdn=mdn,
        signer=signer,
        mic=_compared(asked, mdn),
        page="" if problem or content_type in RECEIPTS else answer.body.decode("utf-8", "replace")[:MAX_PAGE],
        unverified=unverified,
    )


def say_verdict(verdict: Verdict) -> None:
    """Write the verdict for people; the last line is OK or the failures."""
    mdn = verdict.mdn
    say_fields(
        [
            ("message id", verdict.message_id),
            ("HTTP status", f"{verdict.status} {_phrase(verdict.status)}".rstrip()),
            ("reason", verdict.reason),
            ("advice", verdict.advice),
            ("request id", verdict.request_id),
            ("disposition", verdict.disposition),
            ("MIC", verdict.mic if mdn else None),
            ("signature", _signature(verdict)),
        ]
    )
    if text := mdn.text if mdn else verdict.page:
        say()
        say_text(text, indent="  ")
    if verdict.unverified:
        say()
        say("text of the MDN, not verified:")
        say_text(verdict.unverified, indent="  ")
    say()
    for failure in verdict.failures:
        say(f"FAILED: {failure}")
    if verdict.ok:
        say("OK")


class _MDNReader:
    """Reads an MDN whose signature is one of those asked for, and remembers whose it was."""

    def __init__(self, asked: Asked, now: datetime) -> None:
        self._asked = asked
        self._now = now
        self.signer: Certificate | None = None

    def read(self, answer: Answer) -> ReceivedMDN:
        asked = self._asked
        return as2.read_mdn(answer.fields, answer.body, verify=self._verify, message_id=asked.message_id, mic=asked.mic)

    def _verify(self, headers: Sequence[tuple[str, str]], body: bytes) -> bytes:
        opened = as2.open_detached(headers, body, self._asked.signers, self._now)
        self.signer = opened.signer
        return opened.octets


def _why(error: PeerError) -> str:
    """What a refusal means to who uses `mtlsd send`: its words are made for those who look after partners."""
    if isinstance(error, AS2SecurityTooLow) and "SHA-1" in error.detail:
        return "mtlsd send does not accept MDNs signed with SHA-1"
    if isinstance(error, AS2SignerUnknown) and not error.facts:  # with facts it is known, and out of its dates
        return f"signed by none of --mdn-cert (default: --encrypt-to); {error}"
    return str(error)


def _unverified(answer: Answer) -> str:
    """The text of an MDN whose signature is of no worth; empty where it cannot be read."""
    try:
        found = as2.read_mdn(answer.fields, answer.body, verify=_first_part, message_id=None, mic=None)
    except PeerError:
        return ""
    return found.text[:MAX_PAGE]


def _first_part(headers: Sequence[tuple[str, str]], body: bytes) -> bytes:
    content_type = as2.ContentType.parse(dict(headers).get("content-type", ""))
    delimiter = b"--" + content_type.parameters.get("boundary", "").encode("latin-1", "replace")
    _, _, behind = body.partition(delimiter)
    return behind.partition(b"\n" + delimiter)[0].partition(b"\n")[2]


def _failures(asked: Asked, mdn: ReceivedMDN) -> list[str]:
    failures = []
    if mdn.disposition_type != "processed" or (mdn.modifier and not mdn.modifier.startswith("warning")):
        failures.append("the receiver did not process the message")
    elif not mdn.confirmed:
        failures.append("the MIC is not that of the message")
    if asked.mdn == "signed" and not mdn.signed:
        failures.append("the MDN is not signed, though that was asked for")
    return failures


def _compared(asked: Asked, mdn: ReceivedMDN | None) -> str:
    if mdn is None:
        return "not compared: there is no MDN"
    if asked.mic is None:
        why = "--micalg is another digest than --sign" if asked.signed else "the message is not signed"
        return f"not compared: {why}"
    if mdn.mic is None:
        return "missing"
    return f"equal ({mdn.mic}, {mdn.mic_algorithm})" if mdn.mic == asked.mic else f"differs: {mdn.mic} came"


def _signature(verdict: Verdict) -> str | None:
    if verdict.signer:
        return f"verified with {verdict.signer.subject} (sha256 {verdict.signer.sha256[:16]})"
    return "none" if verdict.mdn else None


def _problem(answer: Answer) -> dict[str, str]:
    """The members of a problem+json (RFC 9457) that are text; nothing where it is no JSON object."""
    try:
        found = json.loads(answer.body)
    except (ValueError, RecursionError):
        return {}
    return {name: value for name, value in found.items() if isinstance(value, str)} if isinstance(found, dict) else {}


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
