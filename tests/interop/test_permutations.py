"""The core permutations: compressed, signed, encrypted, and the receipt, from every peer that can build them."""

import pytest

from tests.interop.cells import PERMUTATIONS, Cell
from tests.interop.gateway import Gateway
from tests.interop.peers import PEERS, Peer

BUILT = [(cell, peer) for cell in PERMUTATIONS for peer in PEERS if peer.builds(cell)]


@pytest.mark.parametrize(("cell", "peer"), BUILT, ids=[f"{cell.id} by {peer.name}" for cell, peer in BUILT])
def test_a_permutation_is_processed_once_and_its_receipt_verifies(gateway: Gateway, cell: Cell, peer: Peer) -> None:
    assert gateway.exchange(peer.message(cell), cell.receipt) == cell.expected
