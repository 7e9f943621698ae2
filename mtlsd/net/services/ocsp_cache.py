"""A cache of OCSP answers: one query per certificate at a time, with a short deadline, renewed before it expires."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import trio

from mtlsd import log
from mtlsd.log import Logger
from mtlsd.net.client.fetch import FetchFailed, fetch
from mtlsd.pki.certificate import Certificate
from mtlsd.pki.ocsp import (
    MAX_RESPONSE,
    NONCE,
    OCSPFailure,
    OCSPInvalid,
    OCSPStatus,
    build_question,
    read_answer,
    responder,
)
from mtlsd.pki.revocation import Revocation

ASK_SECONDS = 3  # the longest that a request waits
ASK_AGAIN = 3600  # seconds, although an answer may be valid for days
AFTER_A_FAILURE = 30  # seconds; the failure itself is kept twice as long, so that asking ahead leaves no gap
MAX_KNOWN = 20_000  # certificates; the oldest is removed
CONTENT_TYPE = "application/ocsp-request"  # RFC 6960, appendix A.1

NO_RESPONDER = "the certificate names no OCSP responder: set ocsp_url"
NO_ISSUER = "no certificate of the issuer is known: put the root into the partner's directory"

Found = OCSPStatus | OCSPFailure


@dataclass(frozen=True, slots=True)
class _Known:
    found: Found
    again: float  # seconds of the epoch: the time from which the responder is asked again


class Responders:
    """The answers of the responders. `changed` is called when an answer is new."""

    def __init__(self, clock: Callable[[], float], logger: Logger, changed: Callable[[], None]) -> None:
        self._clock = clock
        self._log = logger
        self._changed = changed
        self._known: dict[tuple[str, str], _Known] = {}
        self._asking: dict[tuple[str, str], trio.Event] = {}

    def known(self, certificate: Certificate, settings: Revocation) -> Found | None:
        """Return the answer about the certificate that is still valid; None if the responder must be asked."""
        known = self._known.get(_key(certificate, settings))
        return known.found if known and known.found.until.timestamp() > self._clock() else None

    def is_due(self, certificate: Certificate, settings: Revocation) -> bool:
        """Whether it is time to ask the responder."""
        known = self._known.get(_key(certificate, settings))
        return known is None or known.again <= self._clock() or self.known(certificate, settings) is None

    async def ask(self, certificate: Certificate, issuer: Certificate | None, settings: Revocation) -> None:
        """Ask the responder, unless a query is in progress; returns within ASK_SECONDS, whatever the result."""
        key = _key(certificate, settings)
        while (asking := self._asking.get(key)) is not None:
            await asking.wait()
            if not self.is_due(certificate, settings):
                return
        event = self._asking[key] = trio.Event()
        try:
            self._note(key, await self._ask(key[1], certificate, issuer, settings))
        finally:
            del self._asking[key]
            event.set()

    async def _ask(self, url: str, certificate: Certificate, issuer: Certificate | None, settings: Revocation) -> Found:
        try:
            if issuer is None or not url:
                raise FetchFailed(NO_RESPONDER if issuer else NO_ISSUER)
            nonce = os.urandom(NONCE)
            data = await fetch(
                url,
                listed=url == settings.ocsp_url,
                limit=MAX_RESPONSE,
                seconds=ASK_SECONDS,
                question=build_question(certificate, issuer, nonce),
                content_type=CONTENT_TYPE,
            )
            return read_answer(data, certificate, issuer, datetime.fromtimestamp(self._clock(), UTC), nonce)
        except (FetchFailed, OCSPInvalid) as error:
            until = datetime.fromtimestamp(self._clock() + 2 * AFTER_A_FAILURE, UTC)
            self._log.warning(log.OCSP_FAILED, **certificate.facts(), url=url, detail=str(error))
            return OCSPFailure(str(error), until)

    def _note(self, key: tuple[str, str], found: Found) -> None:
        """Remember the result; a failure does not replace an answer that is still valid."""
        before, now = self._known.pop(key, None), self._clock()
        if isinstance(found, OCSPFailure):
            again = now + AFTER_A_FAILURE
            if before and isinstance(before.found, OCSPStatus) and before.found.until.timestamp() > now:
                found = before.found
        else:
            again = min(now + ASK_AGAIN, found.until.timestamp())
        self._known[key] = _Known(found, again)
        if before is None or before.found != found:
            self._changed()
        if len(self._known) > MAX_KNOWN:
            del self._known[next(iter(self._known))]


def _key(certificate: Certificate, settings: Revocation) -> tuple[str, str]:
    return certificate.sha256, settings.ocsp_url or responder(certificate) or ""
