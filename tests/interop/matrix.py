"""The whole matrix as entries that can be run: the tests run them, and so does the script that writes the page."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from tests.interop.cases import CASES, WISHED, Case, Wish
from tests.interop.cells import ALGORITHMS, COMPRESSED, PERMUTATIONS, Cell, Receipt
from tests.interop.gateway import Gateway
from tests.interop.peers import PEERS, Peer


@dataclass(frozen=True, slots=True)
class Entry:
    """One cell by one peer. `run` checks the exchange and returns the disposition."""

    id: str
    peer: str
    expected: str
    run: Callable[[Gateway], str]

    def __str__(self) -> str:
        return f"{self.id} by {self.peer}"


def _cells(cells: Iterable[Cell]) -> list[Entry]:
    return [
        Entry(cell.id, peer.name, cell.expected, partial(_run_cell, cell, peer))
        for cell in cells
        for peer in PEERS
        if peer.builds(cell)
    ]


def _run_cell(cell: Cell, peer: Peer, gateway: Gateway) -> str:
    return gateway.exchange(peer.message(cell), cell.receipt)


def _run_wish(wish: Wish, peer: Peer, gateway: Gateway) -> str:
    """The MIC has the label that was asked for, spelled as it was."""
    built = wish.built_by(peer.message)
    answer = gateway.send(built.sent)
    said = answer.judged(built, Receipt.SIGNED)
    assert said
    assert said.confirmed == (wish.label is not None)
    assert wish.label is None or f", {wish.label}\r\n".encode() in answer.body
    return f"{said.disposition_type}/{said.modifier}" if said.modifier else said.disposition_type


def _run_case(case: Case, gateway: Gateway) -> str:
    return gateway.exchange(case.built())


PERMUTED = _cells(PERMUTATIONS)
SWEPT = _cells((*ALGORITHMS, *COMPRESSED))
WISHES = [
    Entry(f"{wish.id}-{wish.importance}", peer.name, wish.expected, partial(_run_wish, wish, peer))
    for wish in WISHED
    for peer in PEERS
]
FORMS = [Entry(f"{case.id} {case.what}", case.peer, case.expected, partial(_run_case, case)) for case in CASES]
ENTRIES = (*PERMUTED, *SWEPT, *WISHES, *FORMS)
