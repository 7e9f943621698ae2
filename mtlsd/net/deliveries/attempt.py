"""One attempt at a delivery: the targets are asked, one after another, until one gives a decisive answer.

No second backend is asked once the first may have taken the message (`relay.upstreams`).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from io import BytesIO
from typing import BinaryIO

import trio

from mtlsd import log
from mtlsd.config.addresses import Backend, Directory, parse_backend, without_query
from mtlsd.config.model import Balance, Route
from mtlsd.errors import UpstreamFailed, UpstreamUnreachable, UpstreamUntrusted
from mtlsd.journal.columns import targets_text
from mtlsd.journal.integrity import check_document, check_mdn
from mtlsd.journal.model import Claimed, Delivery, DeliveryKind, Message, Refusal
from mtlsd.net.client import http
from mtlsd.net.services.state import State
from mtlsd.partners.rollover import Use, Used
from mtlsd.relay import write_file_drop
from mtlsd.relay.file_drop import deposit_of
from mtlsd.relay.request import build_request
from mtlsd.relay.retry import Answered, Outcome
from mtlsd.relay.upstreams import may_have_taken_it, may_try_another
from mtlsd.snapshot.snapshot import Snapshot

OpenDocument = Callable[[str], BinaryIO]
CREATED = 201  # as if a directory had answered over HTTP
_TO_TRUST = {  # advice if a server's certificate is not trusted
    True: "if the partner confirms it, put its root into mdn/ of the partner's directory",
    False: "the backend needs a certificate of a root that the system trusts (docs/operations.md)",
}


@dataclass(frozen=True, slots=True)
class Tried:
    """The result: the outcome of the last target, the errors of earlier targets, and who may have the message."""

    outcome: Outcome
    target: str
    detail: str
    pinned: str | None


async def attempt(state: State, about: Message | Refusal, delivery: Delivery, open_document: OpenDocument) -> Tried:
    """Ask the targets, the best first; raises NotIntact and the errors of `open_document`."""
    if delivery.kind is DeliveryKind.MDN:
        await trio.to_thread.run_sync(check_mdn, state.journal, about)
    outcome: Outcome = UpstreamUnreachable("paused after failures")
    several, failures = len(delivery.targets) > 1, []
    target = targets_text(delivery.targets)
    for target in _order(state, about, delivery):
        outcome = await _watched(state, about, delivery, target, open_document)
        if not may_try_another(outcome):
            break
        failures.append(f"{without_query(target)}: {_said(outcome)}")
    is_pinned = (several or delivery.lane.ordered) and may_have_taken_it(outcome)
    detail = "; ".join(failures) if several and failures else _words(outcome)
    return Tried(outcome, target, detail, target if is_pinned else delivery.pinned)


def at_present(snapshot: Snapshot, claimed: Claimed) -> Claimed:
    """Return the delivery; if it is ordered and no backend can have it yet, with the current backends of its route.

    Otherwise a queue whose first delivery names a removed backend would never move.
    """
    delivery, about = claimed.delivery, claimed.about
    if not delivery.lane.ordered or delivery.pinned or not isinstance(about, Message):
        return claimed
    route = _route(snapshot, about)
    if route is None:
        return claimed
    return replace(claimed, delivery=replace(delivery, targets=tuple(each.url for each in route.backend)))


def circuits_of(delivery: Delivery) -> tuple[str, ...]:
    """The names of the circuits that a delivery uses: its backends, or the partner's MDN receiver."""
    return (delivery.lane.name,) if delivery.kind is DeliveryKind.MDN else delivery.targets


def _order(state: State, about: Message | Refusal, delivery: Delivery) -> Sequence[str]:
    if delivery.pinned:
        return [delivery.pinned]
    if len(delivery.targets) == 1:
        return delivery.targets
    in_turn = isinstance(about, Message) and _balance(state.snapshot, about) is Balance.ROUND_ROBIN
    return state.upstreams.order(delivery.targets, trio.current_time(), in_turn=in_turn)


def _balance(snapshot: Snapshot, message: Message) -> Balance:
    route = _route(snapshot, message)
    return route.balance if route else Balance.PRIORITY


def _route(snapshot: Snapshot, message: Message) -> Route | None:
    """The route on which a message was received, as configured now."""
    host = snapshot.hosts.get(message.host)
    return next((route for route in (host.routes if host else ()) if route.path == message.route), None)


async def _watched(
    state: State, about: Message | Refusal, delivery: Delivery, target: str, open_document: OpenDocument
) -> Outcome:
    """Ask one target, and remember the outcome."""
    circuit = delivery.lane.name if delivery.kind is DeliveryKind.MDN else target
    outcome: Outcome | None = None
    state.upstreams.begin(circuit)
    try:
        outcome = await _ask(state, about, delivery, target, open_document)
    except UpstreamUntrusted as failure:
        remedy = _TO_TRUST[delivery.kind is DeliveryKind.MDN]
        outcome = UpstreamUntrusted(f"{failure}; {remedy}", body_began=failure.body_began)
    except UpstreamFailed as failure:
        outcome = failure
    finally:
        changed = state.upstreams.report(circuit, outcome, trio.current_time())
        if changed and outcome is not None:
            tell(state, circuit, outcome)
    if delivery.kind is not DeliveryKind.MDN:
        state.note_backend(target, outcome)
    _warn_of_flaw(state, circuit, outcome)
    return outcome


def _warn_of_flaw(state: State, circuit: str, outcome: Outcome) -> None:
    """Log, once for each server, that only the status of its answers can be read."""
    if isinstance(outcome, Answered) and outcome.flaw and state.upstreams.is_first_flaw(circuit):
        facts = {"backend": without_query(circuit), "status": outcome.status, "detail": outcome.flaw}
        state.log.warning(log.ANSWER_MALFORMED, **facts)


def tell(state: State, circuit: str, outcome: Outcome) -> None:
    """Log that a backend is paused from now on, or is healthy again."""
    backend = without_query(circuit)
    if circuit in state.upstreams.open_circuits():
        state.log.warning(log.BACKEND_PAUSED, backend=backend, detail=_said(outcome))
    else:
        state.log.info(log.BACKEND_RESUMED, backend=backend)


async def _ask(
    state: State, about: Message | Refusal, delivery: Delivery, target: str, open_document: OpenDocument
) -> Answered:
    if delivery.kind is not DeliveryKind.MDN and isinstance(place := parse_backend(target), Directory):
        assert isinstance(about, Message)
        deposit = deposit_of(about, delivery)
        with open_document(deposit.document) as file:
            await _check(about, file, deposit.document, deposit.size)
            await trio.to_thread.run_sync(write_file_drop.put, place.path, deposit, file)
        return Answered(CREATED)
    return await _post(state, about, delivery, Backend.parse(target), open_document)


async def _post(
    state: State, about: Message | Refusal, delivery: Delivery, target: Backend, open_document: OpenDocument
) -> Answered:
    request, snapshot = build_request(about, delivery), state.snapshot
    now, context = datetime.fromtimestamp(state.clock(), UTC), None
    if target.scheme == "https":
        context = await state.contexts.get(request.credentials, snapshot, now)
    body = request.body
    with BytesIO(body) if isinstance(body, bytes) else open_document(body) as file:
        if isinstance(body, str):
            await _check(about, file, body, int(dict(request.headers)["Content-Length"]))
        answer = await http.send(
            target,
            request.method,
            request.headers,
            _Pieces(file),
            timeout=snapshot.configuration.delivery.timeout_seconds,
            context=context,
            status_decides=True,
            connections=state.client_connections,
        )
    if context and request.credentials and 200 <= answer.status < 300:
        _note_use(state, request.credentials.host, now)
    return Answered(answer.status, answer.get("retry-after"), answer.fields, answer.body, answer.flaw)


def _note_use(state: State, host: str, now: datetime) -> None:
    """Note the certificate of ours that the server requested, if any, when it took the MDN over TLS."""
    if keys := state.snapshot.keys.get(host):
        state.note_use(Used(Use.CLIENT, host, keys.client_at(now).certificate.sha256))


def _words(outcome: Outcome) -> str:
    """What is kept with the attempt beside its status: why it failed, in our words or in those of the server."""
    return outcome.explanation or outcome.flaw if isinstance(outcome, Answered) else str(outcome)


def _said(outcome: Outcome) -> str:
    return f"{outcome.status} {outcome.explanation}".strip() if isinstance(outcome, Answered) else str(outcome)


async def _check(about: Message | Refusal, file: BinaryIO, name: str, promised: int) -> None:
    """Send nothing of a document that is truncated, has grown or was altered; raises NotIntact."""
    assert isinstance(about, Message)
    if isinstance(file, BytesIO):
        check_document(file, name, about, promised)  # small, and already in memory
    else:
        await trio.to_thread.run_sync(check_document, file, name, about, promised)


@dataclass(frozen=True, slots=True)
class _Pieces:
    """A document in pieces, from its beginning each time that they are iterated."""

    file: BinaryIO

    def __iter__(self) -> Iterator[bytes]:
        self.file.seek(0)
        return iter(partial(self.file.read, http.CHUNK), b"")
