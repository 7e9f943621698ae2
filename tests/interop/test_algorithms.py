"""The sweep over digests and ciphers, from every peer that can build them."""

import pytest

from tests.interop.cells import ALGORITHMS, COMPRESSED, Cell
from tests.interop.gateway import Gateway
from tests.interop.peers import PEERS, Peer

BUILT = [(cell, peer) for cell in (*ALGORITHMS, *COMPRESSED) for peer in PEERS if peer.builds(cell)]


@pytest.mark.parametrize(("cell", "peer"), BUILT, ids=[f"{cell.id} by {peer.name}" for cell, peer in BUILT])
def test_a_digest_with_a_cipher_gets_what_the_table_says(gateway: Gateway, cell: Cell, peer: Peer) -> None:
    assert gateway.exchange(peer.message(cell), cell.receipt) == cell.expected
