"""The verdict on the answer to a test message: `judge` decides, `say_verdict` writes the verdict for people."""

import json
from dataclasses import dataclass
from datetime import datetime
from http.client import responses

from mtlsd.as2.headers import algorithm_of
from mtlsd.as2.mdn.pyas2 import ReceivedMDN
from mtlsd.as2.mime.parser import ContentType
from mtlsd.cli.output import say, say_fields, say_text, values_of
from mtlsd.cli.send import hints
from mtlsd.cli.send.mdn import Asked, is_mdn, read_verified, unverified_text, why_refused
from mtlsd.errors import PeerError
from mtlsd.net.client.http import Answer
from mtlsd.net.server.mdn_receiver import PostedMDN
from mtlsd.pki.certificate import Certificate, CertificateUnreadable

MAX_PAGE = 2000  # characters of an answer that is neither an MDN nor problem+json


@dataclass(frozen=True, slots=True)
class Verdict:
    """The verdict, and its grounds."""

    ok: bool
    failures: tuple[str, ...]  # why the verdict is not OK, one sentence each
    message_id: str
    status: int
    reason: str | None
    request_id: str | None
    advice: str | None
    mdn: ReceivedMDN | None
    signer: Certificate | None
    mic: str  # the result of the comparison
    page: str  # the body of an answer that is not an MDN
    unverified: str = ""  # the text of an MDN that is not accepted, and may be from anybody
    posted: PostedMDN | None = None  # the asynchronous MDN, as received
    notes: tuple[str, ...] = ()  # other requests that arrived while we listened

    def as_json(self) -> dict[str, object]:
        mdn, posted = self.mdn, self.posted
        return {
            **values_of(self, "ok", "failures", "message_id", "status", "reason", "request_id", "advice", "mic"),
            "mdn": mdn
            and {
                **values_of(mdn, "disposition", "original_message_id", "mic", "mic_algorithm", "signed"),
                "signer": _named(self.signer),
                "text": mdn.text,
            },
            "unverified_text": self.unverified,
            "posted_by": posted and {"address": posted.client, "certificate": _named(_client(posted))},
            "notes": list(self.notes),
        }


def judge(
    asked: Asked, answer: Answer, now: datetime, posted: PostedMDN | None = None, notes: tuple[str, ...] = ()
) -> Verdict:
    """The verdict; `now` is the time for the signature of the MDN, `posted` the asynchronous MDN."""
    content_type = ContentType.parse(answer.get("content-type") or "").value
    problem = _problem(answer) if content_type == "application/problem+json" else {}
    failures = [] if 200 <= answer.status < 300 else [f"HTTP {_status(answer.status)}"]
    plain_http = hints.plain_http(answer)
    mdn, signer, unverified = None, None, ""
    if carrier := posted or (answer if is_mdn(answer) else None):
        try:
            mdn, signer = read_verified(asked, now, carrier)
            failures += _failures(asked, mdn)
        except PeerError as error:
            failures.append(f"the MDN is not accepted: {why_refused(error)} ({error.reason})")
            unverified = unverified_text(carrier)
    if (carrier or not failures) and (misplaced := _misplaced(asked, answer, posted)):
        failures.append(misplaced)
    return Verdict(
        ok=not failures,
        failures=tuple(failures),
        message_id=asked.message_id,
        status=answer.status,
        reason=answer.get("mtlsd-reason") or problem.get("reason"),
        request_id=answer.get("mtlsd-request-id") or problem.get("request_id"),
        advice=problem.get("detail") or plain_http,
        mdn=mdn,
        signer=signer,
        mic=_compared(asked, mdn),
        page="" if problem or plain_http or is_mdn(answer) else answer.body.decode("utf-8", "replace")[:MAX_PAGE],
        unverified=unverified,
        posted=posted,
        notes=notes,
    )


def say_verdict(verdict: Verdict) -> None:
    """Write the verdict for people; the last line is OK or the failures."""
    mdn = verdict.mdn
    say_fields(
        [
            ("message id", verdict.message_id),
            ("HTTP status", _status(verdict.status)),
            ("reason", verdict.reason),
            ("advice", verdict.advice),
            ("request id", verdict.request_id),
            ("MDN from", _sender(verdict.posted)),
            ("disposition", mdn and mdn.disposition),
            ("MIC", verdict.mic if mdn else None),
            ("signature", _signature(verdict)),
        ]
    )
    for note in verdict.notes:
        say(f"also received: {note}")
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


def _misplaced(asked: Asked, answer: Answer, posted: PostedMDN | None) -> str | None:
    """The failure if the MDN arrived in the wrong place, or not at all."""
    if asked.mdn == "none" or posted:
        return None
    if asked.waits is None:
        return None if is_mdn(answer) else "no MDN arrived, although one was requested"
    if is_mdn(answer):
        return "the MDN arrived in the answer, although an asynchronous MDN was requested"
    return f"no MDN for this message arrived within {asked.waits:g} s"


def _failures(asked: Asked, mdn: ReceivedMDN) -> list[str]:
    failures = []
    if not mdn.confirmed:
        failures.append("the receiver did not process the message")
    elif wrong := _wrong_mic(asked, mdn):
        failures.append(wrong)
    if asked.mdn == "signed" and not mdn.signed:
        failures.append("the MDN is not signed, although a signature was requested")
    return failures


def _wrong_mic(asked: Asked, mdn: ReceivedMDN) -> str | None:
    """The failure of the MIC. An MDN that is not signed needs no MIC (RFC 4130, section 7.4.3)."""
    if mdn.mic is None:
        return "the MDN is signed, and has no MIC" if mdn.signed else None
    expected = _expected_mics(asked, mdn)
    if not expected:
        return f"the MIC uses {mdn.mic_algorithm}, which was not requested"
    return None if mdn.mic in expected else "the MIC does not match the message"


def _expected_mics(asked: Asked, mdn: ReceivedMDN) -> list[str]:
    """The correct MICs with the algorithm that the MDN names; all of them if it names none."""
    if mdn.mic_algorithm is None:
        return list(asked.mics.values())
    name = algorithm_of(mdn.mic_algorithm)
    return [value for algorithm, value in asked.mics.items() if algorithm == name]


def _compared(asked: Asked, mdn: ReceivedMDN | None) -> str:
    if mdn is None:
        return "not compared: there is no MDN"
    if mdn.mic is None:
        return "none"
    said = f"{mdn.mic}, {mdn.mic_algorithm}" if mdn.mic_algorithm else mdn.mic
    expected = _expected_mics(asked, mdn)
    if mdn.mic in expected:
        return f"equal ({said})"
    ours = f"; ours is {', '.join(expected)}" if expected else ""
    theirs = "; ".join(asked.hashed_by(mdn.mic)) or "of other octets than any layer of this message"
    return f"differs: the MDN has {said}{ours}; theirs is {theirs}"


def _sender(posted: PostedMDN | None) -> str | None:
    if posted is None:
        return None
    certificate = _client(posted)
    return f"{posted.client}, with the certificate of {certificate.subject}" if certificate else posted.client


def _client(posted: PostedMDN) -> Certificate | None:
    try:
        return Certificate.from_der(posted.certificate) if posted.certificate else None
    except CertificateUnreadable:
        return None  # OpenSSL reads some certificates that we do not


def _named(certificate: Certificate | None) -> dict[str, str] | None:
    return {"subject": certificate.subject, "sha256": certificate.sha256} if certificate else None


def _signature(verdict: Verdict) -> str | None:
    if verdict.signer:
        return f"verified with {verdict.signer.subject} (sha256 {verdict.signer.sha256[:16]})"
    return "none" if verdict.mdn else None


def _problem(answer: Answer) -> dict[str, str]:
    """The members of a problem+json (RFC 9457) that are text; empty if the body is not a JSON object."""
    try:
        found = json.loads(answer.body)
    except (ValueError, RecursionError):
        return {}
    return {name: value for name, value in found.items() if isinstance(value, str)} if isinstance(found, dict) else {}


def _status(status: int) -> str:
    return f"{status} {responses.get(status, '')}".rstrip()
