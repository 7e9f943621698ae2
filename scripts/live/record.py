"""The record of the last live exchanges with each product, and its section in docs/interop.md."""

import json
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from scripts.live.exchange import Outcome
from tests.interop.cells import PROCESSED, Receipt, permutations

RECORD = Path(__file__).resolve().parents[2] / "tests" / "interop" / "live.json"
WIDTH = 120
LAYERS = {"c": "compressed", "s": "signed", "E": "encrypted"}

INTRODUCTION = """\
## Live exchanges

`scripts/interop` starts a daemon, a backend and another product, and lets them exchange every form of message over
sockets: **in** is a message from the product to mtlsd, over mutual TLS, whose document must arrive at the backend;
**out** is a message from `mtlsd send` to a receiver made with the product, over HTTP. The receiver of each receipt
judges it, and the document must arrive unchanged. A number in parentheses is an exchange that did not end so, with its
reason below; a dash means that the product has no such form. The columns are the [receipts](#receipts).

"""
EARLIER = """\
### Earlier live exchanges

In November 2026, OpenAS2 4.9, a fork of mendelson AS2, as2 for Ruby, phpas2, libas2 and pyas2lib exchanged some 700
messages with the daemon, live and in both directions, and took messages as the backend. About 600 of these exchanges
succeeded at the first attempt. Most of the others failed because of a fault in the other product. These peculiarities
remain:

| product | peculiarity | what to do |
|---|---|---|
"""
PECULIARITIES = (
    (
        "OpenAS2, mendelson",
        "the MIC of a message that is only compressed is over other content than RFC 5402 says",
        "set [`mic_profile`](as2.md#mic)",
    ),
    (
        "mendelson",
        "the header of a message that is only compressed has the Content-Type of the document",
        "nothing: [mtlsd reads it](as2.md#an-smime-entity-in-the-place-of-the-document)",
    ),
    (
        "mendelson, libas2, phase2",
        "AES-GCM ciphertext is in EnvelopedData; RFC 5084 requires AuthEnvelopedData",
        "the relaxation `gcm-in-enveloped-data`",
    ),
    (
        "several products",
        "an MDN that is not signed has no MIC",
        "nothing: `mtlsd send` requires a MIC only in a signed MDN",
    ),
    ("phase2 4.4.2", "the whole Content-Type is in quotes", "nothing: mtlsd removes the quotes"),
    ("phpas2", "it needs an empty line after the last field of an MDN's notification", "nothing: mtlsd writes it"),
)


@dataclass(frozen=True, slots=True)
class Run:
    """The exchanges with one product on one day; `versions` has the product's and mtlsd's."""

    product: str
    versions: str
    date: str
    remarks: str
    outcomes: tuple[Outcome, ...]


def read(path: Path = RECORD) -> list[Run]:
    """The last run with each product."""
    found = json.loads(path.read_text(encoding="utf-8"))
    return [Run(**each | {"outcomes": tuple(Outcome(**outcome) for outcome in each["outcomes"])}) for each in found]


def write(runs: Iterable[Run], path: Path = RECORD) -> None:
    """Replace the record."""
    path.write_text(json.dumps([asdict(run) for run in runs], indent=1) + "\n", encoding="utf-8")


def render(runs: Sequence[Run]) -> str:
    """The section of the page."""
    head = "| product | versions | date | exchanges | succeeded |\n|---|---|---|---|---|\n"
    rows = "".join(f"| {run.product} | {run.versions} | {run.date} | {_counts(run)} |\n" for run in runs)
    peculiarities = "".join(f"| {' | '.join(row)} |\n" for row in PECULIARITIES)
    return "\n".join([INTRODUCTION + head + rows, *map(_table, runs), EARLIER + peculiarities])


def named(layers: str) -> str:
    """The layers of a cell, in words."""
    return ", ".join(LAYERS[each] for each in layers) or "nothing"


def _counts(run: Run) -> str:
    ended = [each for outcome in run.outcomes for each in (outcome.to_mtlsd, outcome.from_mtlsd) if each]
    return f"{len(ended)} | {ended.count(PROCESSED)}"


def _table(run: Run) -> str:
    outcomes = {each.cell: each for each in run.outcomes}
    failures = list(dict.fromkeys(each for outcome in run.outcomes for each in _failures(outcome)))
    remarks = textwrap.fill(run.remarks, WIDTH)
    columns = " | ".join(f"`{each}`" for each in Receipt)
    head = f"### {run.product}\n\n{remarks}\n\n| layers | {columns} |\n|{'---|' * (len(Receipt) + 1)}\n"
    rows = [
        f"| {named(layers)} | {' | '.join(_cell(outcomes[f'{row}-{receipt}'], failures) for receipt in Receipt)} |\n"
        for row, layers in permutations()
    ]
    listed = [f"{number}. {failure}\n" for number, failure in enumerate(failures, 1)]
    return "".join([head, *rows, *(["\n"] if listed else []), *listed])


def _failures(outcome: Outcome) -> Iterator[str]:
    for direction, ended in (("in", outcome.to_mtlsd), ("out", outcome.from_mtlsd)):
        if ended not in (None, PROCESSED):
            yield f"{direction}: {ended}"


def _cell(outcome: Outcome, failures: Sequence[str]) -> str:
    named = [
        direction if ended == PROCESSED else f"({failures.index(f'{direction}: {ended}') + 1})"
        for direction, ended in (("in", outcome.to_mtlsd), ("out", outcome.from_mtlsd))
        if ended
    ]
    return " ".join(named) or "–"
