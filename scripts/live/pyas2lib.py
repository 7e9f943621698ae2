"""pyas2lib, which the tests also use: it builds and reads the messages, and the standard library has the sockets."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection
from importlib.metadata import version
from pathlib import Path
from queue import Queue
from urllib.parse import urlsplit

from scripts.live.exchange import SECONDS, ExchangeFailed
from tests.interop.cells import PROCESSED, Cell
from tests.interop.gateway import Answer
from tests.interop.peers import DOCUMENT, PEERS, TARGET, identity
from tests.support import backend as backends
from tests.support import pyas2_oracle
from tests.support.backend import Answered, Backend, Delivered
from tests.support.client import opened, request
from tests.support.daemon import acme

(PEER,) = (each for each in PEERS if each.name == "pyas2lib")
NOTHING: Answered = ((), b"")


class PyAS2Lib:
    """A sender and a receiver of messages made with pyas2lib; see `scripts.live.exchange.Product`."""

    name = "pyas2lib"
    version = version("pyas2lib")
    remarks = (
        "It cannot compress what is signed. Its MDNs have a MIC only if the message was signed; `mtlsd send` requires "
        "a MIC in a signed MDN."
    )
    document = DOCUMENT
    send_options: Mapping[str, str] = {}

    def __init__(self, listening: Backend) -> None:
        listening.respond = self._respond
        self._taken: Queue[pyas2_oracle.Received] = Queue()
        self._mdns: Queue[Delivered] = Queue()
        self.url = f"{listening.origin}/as2"
        self.mdns = f"{listening.origin}/mdn"

    def can_send(self, cell: Cell) -> bool:
        return PEER.builds(cell)

    def can_take(self, cell: Cell) -> bool:  # noqa: ARG002 - it opens every message
        return True

    def send(self, cell: Cell, address: tuple[str, int]) -> str:
        built = PEER.message(cell)
        fields = [(name, value.replace(TARGET, self.mdns)) for name, value in built.sent.fields]
        with opened(address, acme()) as client:
            answered = client.request(request(fields=fields, body=built.sent.body))
        answer = Answer(answered.status, answered.fields, answered.body)
        if cell.receipt.is_asynchronous:
            posted = self._mdns.get(timeout=SECONDS)
            answer = Answer(200, posted.fields, posted.body)
        if answer.status != 200:
            raise ExchangeFailed(f"the answer has the status {answer.status}")
        read = answer.judged(built, cell.receipt)
        if read and not (read.confirmed and read.disposition_type == PROCESSED):
            raise ExchangeFailed(f"the MDN says {read.disposition}, and the MIC {read.mic}")
        return built.message_id

    def expect(self, cell: Cell) -> None:  # noqa: ARG002 - the same
        self._taken.queue.clear()

    def taken(self) -> bytes:
        received = self._taken.get(timeout=SECONDS)
        if received.error:
            raise ExchangeFailed(f"pyas2lib refused the message: {received.status}, {received.error}")
        return received.payload

    def _respond(self, arrived: Delivered) -> Answered:
        if "/mdn" in arrived.line:
            self._mdns.put(arrived)
            return NOTHING
        ours, theirs = pyas2_oracle.organization(identity("ACME")), pyas2_oracle.partner(identity("EXAMPLE"))
        received = pyas2_oracle.pyas2_parse(arrived.fields, arrived.body, ours, theirs)
        self._taken.put(received)
        mdn: Answered = (received.mdn_headers, received.mdn_body)
        if target := arrived.get("Receipt-Delivery-Option"):
            threading.Thread(target=_post, args=(target, mdn), daemon=True).start()
            return NOTHING
        return mdn


def _post(target: str, mdn: Answered) -> None:
    url, (fields, body) = urlsplit(target), mdn
    connection = HTTPConnection(url.netloc, timeout=SECONDS)
    connection.request("POST", url.path or "/", body, dict(fields))
    connection.getresponse().read()
    connection.close()


@contextmanager
def running(_: Path) -> Iterator[PyAS2Lib]:
    """pyas2lib, listening."""
    with backends.running() as listening:
        yield PyAS2Lib(listening)
