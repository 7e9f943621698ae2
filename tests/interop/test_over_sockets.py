"""A few cells the whole way: TLS with a client certificate, HTTP, the daemon, the backend."""

from collections.abc import Iterator

import pytest

from tests.interop.cells import ALGORITHMS, PERMUTATIONS, PROCESSED, Cell, Receipt
from tests.interop.gateway import Answer, site
from tests.interop.peers import DOCUMENT, PEERS, TARGET, Peer
from tests.support import backend as backends
from tests.support.backend import Backend
from tests.support.client import TLS_1_2, TLS_1_3, opened, request
from tests.support.daemon import Daemon, acme, running

CHOSEN = ("P-000-us", "P-010-ss", "P-111-none", "P-111-ss", "P-111-ua", "P-111-sa", "P-CS1-ss", "ALG-sha512-aes256-gcm")
BUILT = [
    (cell, peer) for cell in (*PERMUTATIONS, *ALGORITHMS) for peer in PEERS if cell.id in CHOSEN and peer.builds(cell)
]


@pytest.fixture(scope="module")
def backend() -> Iterator[Backend]:
    with backends.running() as listening:
        yield listening


@pytest.fixture(scope="module")
def partner() -> Iterator[Backend]:
    """Where ACME takes its asynchronous MDNs."""
    with backends.running() as listening:
        yield listening


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory, backend: Backend, partner: Backend) -> Iterator[Daemon]:
    with running(site(tmp_path_factory.mktemp("sockets"), backend.url, partner.origin)) as running_daemon:
        yield running_daemon


@pytest.mark.parametrize(("cell", "peer"), BUILT, ids=[f"{cell.id} by {peer.name}" for cell, peer in BUILT])
def test_a_cell_goes_the_whole_way_to_the_backend(
    daemon: Daemon, backend: Backend, partner: Backend, cell: Cell, peer: Peer
) -> None:
    built = peer.message(cell)
    version = TLS_1_2 if cell.receipt is Receipt.SIGNED else TLS_1_3
    fields = [(name, value.replace(TARGET, f"{partner.origin}/mdn")) for name, value in built.sent.fields]
    with opened(daemon.address, acme(), version=version) as client:
        answered = client.request(request(fields=fields, body=built.sent.body))
    assert answered.status == 200
    answer = Answer(answered.status, answered.fields, answered.body)
    if cell.receipt.is_asynchronous:
        posted = partner.wait()
        answer = Answer(200, posted.fields, posted.body)
    said = answer.judged(built, cell.receipt)
    assert said is None or (said.confirmed and said.disposition_type == PROCESSED)
    assert backend.wait_for(built.message_id).body == DOCUMENT
