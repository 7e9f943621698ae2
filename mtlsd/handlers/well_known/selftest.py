"""`POST /.well-known/mtlsd/as2-selftest`: reads an AS2 message as a route does, returns its real MDN, and deletes it.

An AS2 product gets the MDN that it expects, and shows the report to its user, because the report is the MDN's text. A
person with curl requests JSON and gets the same report with the MDN inside. No second request needs stored state.

The report describes the content of the envelope only after a signature of the partner has verified. Until then the
answer is the one of the route; otherwise anybody could have messages decrypted here. Nothing is delivered or stored,
and no message becomes a duplicate. The chain gets an entry for each receipt that is signed.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256

from mtlsd.as2 import header_lint
from mtlsd.as2.explain import Candidate
from mtlsd.as2.headers import AS2Headers, AS2Name
from mtlsd.as2.receiver import VerifiedMessage
from mtlsd.config.model import ClientCert, MDNMode, Route, VirtualHost
from mtlsd.errors import AS2HeaderMissing, AS2Refused, MethodNotAllowed, NoRoute
from mtlsd.handlers.as2 import answer, receipts
from mtlsd.handlers.as2.begin import check, read_header
from mtlsd.handlers.as2.receiving import Pause, Receiving
from mtlsd.handlers.context import Call, Inbound, Services
from mtlsd.handlers.well_known.selftest_report import SelfTestReport, as_json, as_text, may_be_reported
from mtlsd.http.messages import Request, Response
from mtlsd.journal.model import StoredMDN
from mtlsd.journal.proof.chain import EntryKind, Note
from mtlsd.journal.proof.digests import mdn_octets
from mtlsd.partners.ours.organization import Organization
from mtlsd.text import cut

PATH = "/.well-known/mtlsd/as2-selftest"
METHODS = ("POST", "HEAD")
MAX_EXPLAINED = 64 * 1024 * 1024  # octets of a body whose every possible MIC is computed
_OURS = ("mtlsd-reason", "mtlsd-request-id")


def route_for(host: VirtualHost, organizations: Mapping[str, Organization], request: Request) -> Route:
    """The route that would serve this message, by AS2-To, made harmless; raises NoRoute or MethodNotAllowed."""
    if request.method not in METHODS:
        raise MethodNotAllowed(f"{cut(request.method)} on {PATH}")
    if not host.routes:
        raise NoRoute(f"{host.name} has no AS2 route to test")
    as2_to = _as2_to(request)
    meant = (each for each in host.routes if organizations[each.organization].as2_id == as2_to)
    route = next(meant, host.routes[0])
    return replace(route, path=PATH, mdn=MDNMode.ACCEPTED, client_cert=ClientCert.OFF)


def _as2_to(request: Request) -> str | None:
    try:
        return AS2Name.parse(request.get("as2-to") or "").value
    except AS2HeaderMissing:
        return None


def _wants_report(request: Request) -> bool:
    """Whether the request accepts exactly this type; with `application/problem+json` it wants an MDN or a problem."""
    asked = (each.partition(";")[0].strip().lower() for each in (request.get("accept") or "").split(","))
    return "application/json" in asked


def begin(call: Call, services: Services) -> "SelfTest | Response":
    """Decide by the header alone, as for a message; raises PeerError if no MDN can carry the answer."""
    if call.request.method == "HEAD":
        return Response(200)
    test = SelfTest(read_header(call), services)
    return test.check() or test


class SelfTest:
    """A message that is read and deleted. The object owns the files of the message until `finish` or `abort`."""

    is_small = False  # several digests of every layer are computed

    def __init__(self, inbound: Inbound, services: Services) -> None:
        self._call = inbound.call
        self._target = inbound.target
        self._inbound = replace(inbound, headers=_answered_at_once(inbound.headers))
        self._services = services
        self._receiving = Receiving(self._inbound, replace(services, keeps_evidence=False))
        self._size = 0

    def check(self) -> Response | None:
        """The answer, if the header alone shows an error."""
        try:
            check(self._inbound, self._services)
        except AS2Refused as refusal:
            return self._refuse(refusal)
        return None

    def begin(self, pause: Pause) -> None:
        """Begin to receive the body; raises TooManyFailures."""
        self._receiving.begin(pause)

    def excuse(self) -> None:
        """Note that the failure is ours, and not the sender's."""
        self._receiving.excuse()

    def receive_data(self, data: bytes) -> None:
        """Take some octets of the body; raises SpoolFull or JournalUnavailable."""
        self._size += len(data)
        self._receiving.receive_data(data)

    def finish(self) -> Response:
        """The whole body is here: the MDN and the report; raises JournalUnavailable, SpoolFull or TooManyFailures."""
        try:
            read = self._receiving.finish()
            assert isinstance(read, VerifiedMessage), "its route passes nothing on"
            return self._pass(read)
        except AS2Refused as refusal:
            return self._refuse(refusal)
        finally:
            self._receiving.abort()

    def abort(self) -> None:
        """Delete the files of the message."""
        self._receiving.abort()

    # --- The answer -------------------------------------------------------------------------------------------------

    def _pass(self, verified: VerifiedMessage) -> Response:
        candidates: list[Candidate] = []
        if may_be_reported(verified) and not self._is_too_large(verified):
            candidates = self._receiving.candidates()
        report = self._report(verified, candidates)
        mdn = self._receipt(verified, as_text(report))
        assert self._inbound.partner is not None
        partner, facts = self._inbound.partner.name, {"selftest": True, "mic": str(verified.mic)}
        if _wants_report(self._call.request):
            return self._json(report, Response(200, facts=facts, partner=partner), mdn)
        headers, body = (mdn.headers, mdn.body) if mdn else (_TEXT, as_text(report).encode("ascii"))
        return Response(200, headers, body, facts=facts, partner=partner)

    def _refuse(self, refusal: AS2Refused) -> Response:
        """The answer of a route; in JSON with the oddities of the header, which the client sent unencrypted."""
        refused = answer.refuse(self._inbound, self._services, refusal)
        refused.facts["selftest"] = True
        if not _wants_report(self._call.request):
            return refused
        report = replace(self._report(None, []), refusal=refusal, status=refused.status)
        mdn = None
        if self._inbound.headers.receipt is not None:
            fields = tuple(field for field in refused.fields if field[0].lower() not in _OURS)
            mdn = StoredMDN(headers=fields, body=refused.body)
        return self._json(report, refused, mdn)

    def _receipt(self, verified: VerifiedMessage, explanation: str) -> StoredMDN | None:
        """Our MDN with the report in it, if the message requested one; raises JournalUnavailable."""
        if self._inbound.headers.receipt is None:
            return None
        sender = answer.sender_of(self._inbound)
        mdn = receipts.accepted(self._inbound.headers, verified, sender, explanation)
        self._enter(mdn)
        return mdn

    def _json(self, report: SelfTestReport, response: Response, mdn: StoredMDN | None) -> Response:
        body = json.dumps(as_json(report, mdn), indent=2).encode("ascii") + b"\n"
        fields = [("Content-Type", "application/json"), ("Cache-Control", "no-store")]
        if response.error is not None:
            fields.append(("Mtlsd-Reason", response.error.reason))
        return replace(response, status=200, fields=tuple(fields), body=body)

    def _report(self, verified: VerifiedMessage | None, candidates: list[Candidate]) -> SelfTestReport:
        headers = self._inbound.headers
        return SelfTestReport(
            request_id=self._call.request_id,
            as2_from=headers.as2_from.value,
            as2_to=headers.as2_to.value,
            message_id=headers.message_id,
            oddities=header_lint.oddities(self._call.request.fields),
            target=self._target,
            verified=verified,
            candidates=tuple(candidates),
            too_large=self._is_too_large(verified),
        )

    def _is_too_large(self, verified: VerifiedMessage | None) -> bool:
        """Whether the message, as received or expanded, is larger than what is explained."""
        return max(self._size, verified.size if verified else 0) > MAX_EXPLAINED

    def _enter(self, mdn: StoredMDN) -> None:
        """Enter the receipt into the chain as one of a self-test; raises JournalUnavailable."""
        facts = {"configuration": self._call.configuration, "mdn": sha256(mdn_octets(mdn)).hexdigest()}
        self._services.journal.proof.enter([Note(EntryKind.SELFTESTED, self._call.request_id, self._call.now, facts)])


_TEXT = (("Content-Type", "text/plain; charset=us-ascii"),)


def _answered_at_once(headers: AS2Headers) -> AS2Headers:
    """The header, changed to have the MDN in the answer even if the message requests it elsewhere."""
    if headers.receipt is None:
        return headers
    return replace(headers, receipt=replace(headers.receipt, target=None))
