"""One connection: a handshake, then exchanges, one after another, each judged by the snapshot in force.

Every wait has a deadline, and every exchange ends in one line of the log.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import h11
import trio

from mtlsd import log
from mtlsd.access.authenticate import Judgement
from mtlsd.config.model import ClientCertificate, Route, VirtualHost
from mtlsd.errors import (
    BadRequest,
    BodyTooLarge,
    CertificateRefused,
    CertKnownOtherHost,
    CertUntrustedIssuer,
    ClientCertMissing,
    HeadersTooLarge,
    InternalError,
    PeerError,
    PlainHTTPOnTLSPort,
    RequestTimeout,
    ShuttingDown,
    SNIHostMismatch,
    SNIUnknown,
    TLSHandshakeTimeout,
)
from mtlsd.handlers.as2 import begin as as2
from mtlsd.handlers.as2.exchange import Exchange
from mtlsd.handlers.context import Call
from mtlsd.handlers.well_known import selftest, whoami
from mtlsd.handlers.well_known.selftest import SelfTest
from mtlsd.http import problems, routing
from mtlsd.http.messages import Request, Response, read_request
from mtlsd.ids import new_id
from mtlsd.net.server import promises
from mtlsd.net.server.backend_first import forward
from mtlsd.net.server.well_known import admit, who_is_it
from mtlsd.net.server.wire import Wire
from mtlsd.net.services.state import State
from mtlsd.partners.matching import Peer
from mtlsd.partners.rollover import Use
from mtlsd.pki.certificate import Presented
from mtlsd.pki.relaxations import Relax
from mtlsd.tls.contexts import ListenerContexts
from mtlsd.tls.engine import HandshakeCompleted

AS2_FIELDS = ("as2-from", "as2-to", "message-id")  # as received; the log escapes them
GOODBYE_SECONDS = 1
TURN_SECONDS = 0.01  # how long one body may keep the loop to itself while its octets are here already


@dataclass(slots=True)
class Record:
    """What the log will say of one exchange."""

    request_id: str
    started: float
    request: Request | None = None
    peer: Peer | None = None
    organization: str = ""


class Connection:
    """Serves one client until it leaves, misbehaves, or waits too long."""

    def __init__(self, state: State, listener: ListenerContexts, stream: trio.SocketStream, client: str) -> None:
        self._state = state
        self._client = client
        self._limits = state.snapshot.configuration.limits
        self._listener = listener
        self._wire = Wire(stream, listener, self._limits.max_header_bytes, self._examine)
        self._judgement = Judgement(state.revocations)
        self._handshake: HandshakeCompleted | None = None

    async def serve(self) -> None:
        """Everything, from the first octet to the last; raises nothing."""
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError):
            if await self._shake_hands():
                while await self._wait_for_request() and await self._exchange():
                    self._wire.next_cycle()
            with trio.fail_after(self._limits.write_seconds):
                await self._wire.close()

    async def _shake_hands(self) -> bool:
        started = trio.current_time()
        try:
            with _deadline(self._limits.handshake_seconds, TLSHandshakeTimeout):
                self._handshake = await self._wire.handshake()
        except PeerError as refusal:
            request_id = new_id(self._state.clock())
            facts = {"request_id": request_id, "sni": self._wire.server_name}
            duration = _milliseconds(trio.current_time() - started)
            self._log_refusal(log.HANDSHAKE_FAILED, refusal, **facts, duration_ms=duration)
            self._state.metrics.handshake(refusal.reason)
            if isinstance(refusal, PlainHTTPOnTLSPort):
                await self._answer_in_the_clear(refusal, request_id)
            return False
        self._state.metrics.handshake()
        host = self._listener.hosts[self._handshake.host]
        self._state.note_use(Use.SERVER, host.name, host.certificate.sha256)
        return True

    def _examine(self, host: str, presented: Presented) -> PeerError | None:
        """Why the client is refused inside of the handshake; what must be waited for is left to its requests."""
        now = datetime.fromtimestamp(self._state.clock(), UTC)
        judgement = Judgement(self._state.revocations, may_ask_later=True)
        try:
            judgement.peer(presented, self._state.snapshot, host, now)
        except (CertificateRefused, CertKnownOtherHost) as refusal:
            refusal.facts |= {"chain": [each.subject for each in presented.chain], "host": host}
            return refusal
        return None

    async def _answer_in_the_clear(self, refusal: PlainHTTPOnTLSPort, request_id: str) -> None:
        response = problems.respond(refusal, request_id=request_id, as_json=False)
        with trio.fail_after(self._limits.write_seconds):
            await self._wire.send_in_the_clear(response, now=self._state.clock())

    async def _wait_for_request(self) -> bool:
        """Whether a request begins before the connection has idled too long, or the daemon stops."""
        if not self._wire.waits_for_request:
            return True
        if self._state.stopping:
            return False
        with trio.move_on_after(self._limits.idle_seconds) as scope:
            self._state.idle.add(scope)
            try:
                await self._wire.pull()
            finally:
                self._state.idle.discard(scope)
        return not scope.cancelled_caught

    async def _exchange(self) -> bool:
        """Serve one request; whether the connection can serve another."""
        now = self._state.clock()
        record = Record(new_id(now), trio.current_time())
        try:
            event = await self._receive_head()
            if isinstance(event, h11.ConnectionClosed):
                return False
            response = await self._respond(event, record)
            await promises.keep(self._state, response.promise)
        except PeerError as refusal:
            response = self._refuse(refusal, record)
        except trio.Cancelled:
            await self._say_goodbye(record)
            raise
        except trio.BrokenResourceError:
            response = self._refuse(BadRequest("the client broke the connection"), record)
        except Exception:
            self._state.log.exception(log.INTERNAL_ERROR, request_id=record.request_id)
            response = self._refuse(InternalError(), record)
        return await self._send(response, record)

    async def _say_goodbye(self, record: Record) -> None:
        """The daemon stops and waits no longer: nothing of this request was taken."""
        with trio.CancelScope(shield=True), trio.move_on_after(GOODBYE_SECONDS), suppress(trio.BrokenResourceError):
            await self._send(self._refuse(ShuttingDown("not complete within shutdown_seconds"), record), record)

    async def _receive_head(self) -> h11.Request | h11.ConnectionClosed:
        with _deadline(self._limits.header_seconds, RequestTimeout):
            event = await self._wire.next_event()
        assert isinstance(event, h11.Request | h11.ConnectionClosed)
        return event

    # --- One request ----------------------------------------------------------------------------------------------

    async def _respond(self, event: h11.Request, record: Record) -> Response:
        """From the header to the answer; raises PeerError."""
        if len(event.headers) > self._limits.max_header_fields:
            raise HeadersTooLarge(f"{len(event.headers)} header fields")
        request = record.request = read_request(event)
        host = self._host(request)
        if request.path == whoami.PATH and host.whoami:
            return await self._say_who_it_is(request, host, record)
        await self._learn_of_revocations(host)
        peer = record.peer = self._identify(host)
        _check_framing(request, peer)
        route = self._route(host, request)
        if self._state.stopping:
            raise ShuttingDown()
        snapshot, record.organization = self._state.snapshot, route.organization
        call = Call(
            request=request,
            request_id=record.request_id,
            host=host.name,
            route=route,
            organization=snapshot.organizations[route.organization],
            truststore=snapshot.truststore,
            peer=peer,
            address=self._client,
            now=self._state.clock(),
            configuration=snapshot.version,
            presented=self._handshake.presented if self._handshake else None,
        )
        if request.content_length is not None and request.content_length > self._limits.max_body_bytes:
            raise BodyTooLarge(f"Content-Length {request.content_length}")
        if request.has_body:
            self._state.require_room(request.content_length)
        if route.path == selftest.PATH:
            return await self._test(call)
        exchange = as2.begin(call, self._state.services)
        if isinstance(exchange, Response):
            return await self._without_body(request, exchange)
        return await self._accept(exchange, await self._receive_body(exchange))

    async def _test(self, call: Call) -> Response:
        test = selftest.begin(call, self._state.services)
        if isinstance(test, Response):
            return await self._without_body(call.request, test)
        return await self._receive_body(test)

    def _route(self, host: VirtualHost, request: Request) -> Route:
        """What serves this path; raises NoRoute or MethodNotAllowed."""
        if request.path == selftest.PATH and host.selftest:
            return selftest.route_for(host, self._state.snapshot.organizations, request)
        return routing.match(host, request)

    async def _say_who_it_is(self, request: Request, host: VirtualHost, record: Record) -> Response:
        """The one answer that needs no certificate on a host that requires one."""
        assert self._handshake is not None
        _check_framing(request, None)
        admit(self._state, request, self._client)  # before a responder is asked
        await self._learn_of_revocations(host)
        answer = who_is_it(self._state, self._handshake, host, request, record.request_id, self._client)
        return await self._without_body(request, answer)

    async def _without_body(self, request: Request, response: Response) -> Response:
        if request.is_empty:
            await self._wire.next_event()  # the end of the request: the connection can go on
        return response

    def _host(self, request: Request) -> VirtualHost:
        """The virtual host of the handshake, as it is configured now; raises SNIHostMismatch or SNIUnknown."""
        assert self._handshake is not None
        host = self._state.snapshot.hosts.get(self._handshake.host)
        if host is None:
            raise SNIHostMismatch(f"{self._handshake.host} is not served any longer")
        try:
            routing.check_host(host, request)
        except SNIHostMismatch as error:
            if self._handshake.server_name not in (None, host.name):
                raise SNIUnknown(f"no host here is {self._handshake.server_name!r}; {error.detail}") from error
            raise
        return host

    async def _learn_of_revocations(self, host: VirtualHost) -> None:
        assert self._handshake is not None
        if self._handshake.presented and host.client_certificate is not ClientCertificate.NONE:
            await self._state.revocations.prepare(self._handshake.presented, self._state.snapshot)

    def _identify(self, host: VirtualHost) -> Peer | None:
        """Who the client is, judged now; None where TLS proves nobody and the host allows that."""
        assert self._handshake is not None
        if host.client_certificate is ClientCertificate.NONE:
            return None
        if self._handshake.unreadable:
            raise CertUntrustedIssuer(f"the certificate cannot be read: {self._handshake.unreadable}")
        if self._handshake.presented is None:
            if host.client_certificate is ClientCertificate.REQUIRED:
                raise ClientCertMissing()
            return None
        now = datetime.fromtimestamp(self._state.clock(), UTC)
        return self._judgement.peer(self._handshake.presented, self._state.snapshot, host.name, now)

    async def _receive_body(self, exchange: Exchange | SelfTest) -> Response:
        try:
            if self._wire.waits_for_continue:
                await self._wire.send_continue()
            await self._feed(exchange)
            return exchange.finish() if exchange.is_small else await trio.to_thread.run_sync(exchange.finish)
        except BaseException:
            exchange.abort()
            raise

    async def _accept(self, exchange: Exchange, response: Response) -> Response:
        """The answer to a message that was read, once it is accepted, if that is what came of it."""
        acceptance = response.promise.acceptance
        if acceptance is None:
            return response
        if exchange.asks_backend_first:
            response = await forward(self._state, exchange, response)
            self._state.due.set()  # there may be an asynchronous MDN
            return response
        holder = await self._state.accept(exchange, acceptance)
        self._state.due.set()
        return await promises.conclude(exchange, response, holder)

    async def _feed(self, exchange: Exchange | SelfTest) -> None:
        """Hand the body over as it comes; raises BodyTooLarge, SpoolFull, or RequestTimeout where it is slow."""
        limits, size, started = self._limits, 0, trio.current_time()
        turn_ends = started + TURN_SECONDS
        pace = f"slower than {limits.min_body_bytes_per_second} octets a second"
        with _deadline(limits.body_grace_seconds, RequestTimeout, pace) as scope:
            while isinstance(event := await self._wire.next_event(), h11.Data):
                size += len(event.data)
                if size > limits.max_body_bytes:
                    raise BodyTooLarge(f"more than {limits.max_body_bytes} octets")
                exchange.receive_data(bytes(event.data))
                scope.deadline = started + limits.body_grace_seconds + size / limits.min_body_bytes_per_second
                if trio.current_time() > turn_ends:
                    await trio.lowlevel.checkpoint()
                    self._state.require_room(None)  # others write, too
                    turn_ends = trio.current_time() + TURN_SECONDS

    # --- The answer -------------------------------------------------------------------------------------------------

    def _refuse(self, refusal: PeerError, record: Record) -> Response:
        as_json = record.request is not None and record.request.wants_json
        return problems.respond(refusal, request_id=record.request_id, as_json=as_json)

    async def _send(self, response: Response, record: Record) -> bool:
        """Answer, log, and say whether the connection goes on."""
        request = record.request
        close = response.close or self._state.stopping or not self._wire.body_is_read or _must_close(request)
        if not any(name == "Mtlsd-Request-Id" for name, _ in response.fields):
            response = replace(response, fields=(*response.fields, ("Mtlsd-Request-Id", record.request_id)))
        try:
            with trio.fail_after(self._limits.write_seconds):
                await self._wire.send(response, now=self._state.clock(), close=close)
        finally:
            self._log_exchange(response, record)
        if response.error is None:
            self._note_uses(response, record)
        return not close and self._wire.can_go_on

    def _note_uses(self, response: Response, record: Record) -> None:
        """What went well was done with these certificates."""
        peer, facts = record.peer, response.facts
        partner = peer.partner.name if peer else facts.get("partner")
        uses = (
            (Use.CONNECTION, partner, peer.certificate.sha256 if peer else None),
            (Use.MESSAGE, partner, facts.get("signer")),
            (Use.DECRYPTION, record.organization, facts.get("recipient")),
            (Use.SIGNING, record.organization, facts.get("receipt_signer")),
        )
        for use, owner, sha256 in uses:
            if owner and sha256:
                self._state.note_use(use, owner, sha256)

    # --- The log ----------------------------------------------------------------------------------------------------

    def _log_exchange(self, response: Response, record: Record) -> None:
        assert self._handshake is not None
        request, peer = record.request, record.peer
        bytes_in, bytes_out = self._wire.take_counts()
        seconds = trio.current_time() - record.started
        facts = {
            "request_id": record.request_id,
            "client": self._client,
            "host": self._handshake.host,
            "sni": self._handshake.server_name,
            "tls": self._handshake.version,
            "partner": peer.partner.name if peer else None,
            "revocation": list(self._judgement.warnings),
            "method": request.method if request else None,
            "path": request.path if request else None,
            **({name.replace("-", "_"): request.get(name) for name in AS2_FIELDS} if request else {}),
            "status": response.status,
            "bytes_in": bytes_in,
            "bytes_out": bytes_out,
            "duration_ms": _milliseconds(seconds),
            "alert": response.alert,
            **response.facts,
        }
        if response.error is None:
            write = self._state.log.error if response.alert else self._state.log.info
            write(log.EXCHANGE_FINISHED, reason=None, **_known(facts))
        else:
            self._log_refusal(log.EXCHANGE_FINISHED, response.error, **facts)
        self._state.metrics.exchange(
            self._handshake.host,
            facts["partner"] or "",
            response.status,
            response.error.reason if response.error else "",
            seconds=seconds,
            received=bytes_in,
            sent=bytes_out,
        )

    def _log_refusal(self, event: str, refusal: PeerError, **facts: Any) -> None:
        facts = {"client": self._client, **facts, "reason": refusal.reason, "detail": refusal.detail}
        presented = self._handshake.presented if self._handshake else None
        if presented and isinstance(refusal, CertificateRefused | CertKnownOtherHost):
            facts |= presented.certificate.facts() | {"chain": [each.subject for each in presented.chain]}
        write = getattr(self._state.log, "error" if facts.get("alert") else refusal.log_level)
        write(event, **(refusal.facts | _known(facts)))


def _known(facts: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if value not in (None, "", [])}


@contextmanager
def _deadline(seconds: float, late: type[PeerError], detail: str = "") -> Iterator[trio.CancelScope]:
    """Raises `late` where the block takes longer; the scope's deadline may be moved."""
    with trio.move_on_after(seconds) as scope:
        yield scope
    if scope.cancelled_caught:
        raise late(detail or f"not complete within {seconds} s")


def _check_framing(request: Request, peer: Peer | None) -> None:
    """Two framings are how requests are smuggled; some AS2 products send them all the same (`relax`)."""
    if request.has_two_framings and not (peer and Relax.TE_AND_CL in peer.partner.relax):
        raise BadRequest("Content-Length and Transfer-Encoding in one request")


def _must_close(request: Request | None) -> bool:
    return request is None or request.http_version == "1.0" or request.has_two_framings


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 1)
