"""One connection: a handshake, then exchanges, one after another, each judged by the snapshot in force.

Every wait has a deadline, and every exchange ends in one line of the log.
"""

from contextlib import suppress
from dataclasses import replace

import h11
import trio

from mtlsd import log
from mtlsd.config.model import Route, VirtualHost
from mtlsd.errors import (
    BadRequest,
    BodyTooLarge,
    HeadersTooLarge,
    InternalError,
    PeerError,
    PlainHTTPOnTLSPort,
    RequestTimeout,
    ShuttingDown,
    TLSHandshakeTimeout,
)
from mtlsd.handlers.as2 import begin as as2
from mtlsd.handlers.as2.exchange import Exchange
from mtlsd.handlers.context import Call
from mtlsd.handlers.well_known import selftest, whoami
from mtlsd.http import problems, routing
from mtlsd.http.messages import Request, Response, read_request
from mtlsd.ids import new_id
from mtlsd.net.server import promises
from mtlsd.net.server.backend_first import forward
from mtlsd.net.server.body import deadline, receive_body
from mtlsd.net.server.caller import Caller
from mtlsd.net.server.exchange_log import Record, log_exchange, log_failed_handshake
from mtlsd.net.server.well_known import admit, who_is_it
from mtlsd.net.server.wire import Wire
from mtlsd.net.services.cpu_shares import Share
from mtlsd.net.services.state import State
from mtlsd.partners.matching import Peer
from mtlsd.partners.rollover import Use, Used
from mtlsd.pki.relaxations import Relax
from mtlsd.tls.contexts import ListenerContexts

GOODBYE_SECONDS = 1


class Connection:
    """Serves one client until it leaves, misbehaves, or waits too long."""

    def __init__(self, state: State, listener: ListenerContexts, stream: trio.SocketStream, client: str) -> None:
        self._state = state
        self._caller = Caller(state, client)
        self._limits = state.snapshot.configuration.limits
        self._listener = listener
        self._share = Share(state.cpu_shares, client)
        header, read = self._limits.max_header_bytes, state.certificates.read
        self._wire = Wire(stream, listener, header, self._caller.examine, read, self._share)

    async def serve(self) -> None:
        """Serve the connection from the first octet to the last; raises nothing."""
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError):
            if await self._shake_hands():
                while await self._wait_for_request() and await self._exchange():
                    self._wire.next_cycle()
            with trio.fail_after(self._limits.write_seconds):
                await self._wire.close()

    async def _shake_hands(self) -> bool:
        started = trio.current_time()
        try:
            with deadline(self._limits.handshake_seconds, TLSHandshakeTimeout):
                handshake = await self._wire.handshake()
        except PeerError as refusal:
            record = Record(new_id(self._state.clock()), started)
            log_failed_handshake(self._state, self._caller, refusal, record, self._wire.server_name)
            if isinstance(refusal, PlainHTTPOnTLSPort):
                await self._answer_in_the_clear(refusal, record.request_id)
            return False
        self._caller.shook_hands(handshake)
        self._state.metrics.handshake()
        host = self._listener.hosts[handshake.host]
        self._state.note_use(Used(Use.SERVER, host.name, host.certificate.sha256))
        return True

    async def _answer_in_the_clear(self, refusal: PlainHTTPOnTLSPort, request_id: str) -> None:
        response = problems.respond(refusal, request_id=request_id, as_json=False)
        with trio.fail_after(self._limits.write_seconds):
            await self._wire.send_in_the_clear(response, now=self._state.clock())

    async def _wait_for_request(self) -> bool:
        """Whether a request begins before the connection has been idle too long or the daemon stops."""
        if not self._wire.waits_for_request:
            return True
        if self._state.stopping:
            return False
        with trio.move_on_after(self._limits.idle_seconds) as scope:
            self._state.idle.add(scope)
            try:
                await self._wire.wait_for_request()
            finally:
                self._state.idle.discard(scope)
        return not scope.cancelled_caught

    async def _exchange(self) -> bool:
        """Serve one request; return whether the connection can serve another."""
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
        """Answer that the daemon is stopping and no longer waits: nothing of this request was accepted."""
        with trio.CancelScope(shield=True), trio.move_on_after(GOODBYE_SECONDS), suppress(trio.BrokenResourceError):
            await self._send(self._refuse(ShuttingDown("not complete within shutdown_seconds"), record), record)

    async def _receive_head(self) -> h11.Request | h11.ConnectionClosed:
        with deadline(self._limits.header_seconds, RequestTimeout):
            event = await self._wire.next_event()
        assert isinstance(event, h11.Request | h11.ConnectionClosed)
        return event

    # --- One request ----------------------------------------------------------------------------------------------

    async def _respond(self, event: h11.Request, record: Record) -> Response:
        """Serve the request from its header to the answer; raises PeerError."""
        if len(event.headers) > self._limits.max_header_fields:
            raise HeadersTooLarge(f"{len(event.headers)} header fields")
        request = record.request = read_request(event)
        host = self._caller.host(request)
        if request.path == whoami.PATH and host.whoami:
            return await self._say_who_it_is(request, host, record)
        await self._caller.learn_of_revocations(host)
        record.peer = self._caller.identify(host)
        self._share.belongs_to(record.peer.partner.name if record.peer else None)
        _check_framing(request, record.peer)
        route = self._route(host, request)
        if self._state.stopping:
            raise ShuttingDown()
        call = self._call(request, host, route, record)
        self._require_room(request)
        return await (self._test(call) if route.path == selftest.PATH else self._take(call, record))

    def _call(self, request: Request, host: VirtualHost, route: Route, record: Record) -> Call:
        snapshot = self._state.snapshot
        return Call(
            request=request,
            request_id=record.request_id,
            host=host.name,
            route=route,
            organization=snapshot.organizations[route.organization],
            truststore=snapshot.truststore,
            peer=record.peer,
            address=self._caller.address,
            now=self._state.clock(),
            configuration=snapshot.version,
            presented=self._caller.presented,
        )

    def _require_room(self, request: Request) -> None:
        """Raises BodyTooLarge or SpoolFull if the header announces a body that is too large."""
        if request.content_length is not None and request.content_length > self._limits.max_body_bytes:
            raise BodyTooLarge(f"Content-Length {request.content_length}")
        if request.has_body:
            self._state.require_room(request.content_length)

    async def _take(self, call: Call, record: Record) -> Response:
        """Serve an AS2 message."""
        exchange = as2.begin(call, self._state.services)
        if isinstance(exchange, Response):
            return await self._without_body(call.request, exchange)
        response = await receive_body(self._state, self._wire, self._limits, exchange, self._share)
        record.partner = response.partner
        return await self._accept(exchange, response)

    async def _test(self, call: Call) -> Response:
        test = selftest.begin(call, self._state.services)
        if isinstance(test, Response):
            return await self._without_body(call.request, test)
        return await receive_body(self._state, self._wire, self._limits, test, self._share)

    def _route(self, host: VirtualHost, request: Request) -> Route:
        """Return the route for this path; raises NoRoute or MethodNotAllowed."""
        if request.path == selftest.PATH and host.selftest:
            return selftest.route_for(host, self._state.snapshot.organizations, request)
        return routing.match(host, request)

    async def _say_who_it_is(self, request: Request, host: VirtualHost, record: Record) -> Response:
        """Answer whoami: the only answer that needs no certificate on a host that requires one."""
        _check_framing(request, None)
        admit(self._state, request, self._caller.address)  # before an OCSP responder is asked
        await self._caller.learn_of_revocations(host)
        handshake, address = self._caller.handshake, self._caller.address
        answer = who_is_it(self._state, handshake, host, request, record.request_id, address)
        return await self._without_body(request, answer)

    async def _without_body(self, request: Request, response: Response) -> Response:
        if request.is_empty:
            await self._wire.next_event()  # the end of the request: the connection can serve another
        return response

    async def _accept(self, exchange: Exchange, response: Response) -> Response:
        """Return the answer to a message that was read; if the answer promises acceptance, accept the message first."""
        acceptance = response.promise.acceptance
        if acceptance is None:
            return response
        if exchange.asks_backend_first:
            response = await forward(self._state, exchange, response, self._share)
            self._state.due.set()  # an asynchronous MDN may be due
            return response
        holder = await self._state.accept(exchange, acceptance)
        self._state.due.set()
        return await promises.conclude(exchange, response, holder, self._share)

    # --- The answer -------------------------------------------------------------------------------------------------

    def _refuse(self, refusal: PeerError, record: Record) -> Response:
        as_json = record.request is not None and record.request.wants_json
        page = whoami.PATH if self._caller.has_whoami else None
        return problems.respond(refusal, request_id=record.request_id, as_json=as_json, whoami=page)

    async def _send(self, response: Response, record: Record) -> bool:
        """Answer, log, and return whether the connection stays open."""
        request = record.request
        close = response.close or self._state.stopping or not self._wire.body_is_read or _must_close(request)
        if not any(name == "Mtlsd-Request-Id" for name, _ in response.fields):
            response = replace(response, fields=(*response.fields, ("Mtlsd-Request-Id", record.request_id)))
        try:
            with trio.fail_after(self._limits.write_seconds):
                await self._wire.send(response, now=self._state.clock(), close=close)
        finally:
            log_exchange(self._state, self._caller, record, response, self._wire.take_counts())
        if response.error is None:
            self._note_uses(response, record)
        return not close and self._wire.can_go_on

    def _note_uses(self, response: Response, record: Record) -> None:
        """Note the certificates that were used successfully."""
        if peer := record.peer:
            self._state.note_use(Used(Use.CONNECTION, peer.partner.name, peer.certificate.sha256))
        for each in response.used:
            self._state.note_use(each)


def _check_framing(request: Request, peer: Peer | None) -> None:
    """Refuse two framings, which allow request smuggling. Some AS2 products send both nevertheless (`relax`)."""
    if request.has_two_framings and not (peer and Relax.TE_AND_CL in peer.partner.relax):
        raise BadRequest("Content-Length and Transfer-Encoding in one request")


def _must_close(request: Request | None) -> bool:
    return request is None or request.http_version == "1.0" or request.has_two_framings
