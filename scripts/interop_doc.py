#!/usr/bin/env python3
"""Run the matrix of tests/interop and render docs/interop.md; with --check, run nothing and say whether it is current.

The page has what the tests expect: a run that finds anything else fails, and writes nothing.
"""

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.interop.cases import CASES, WISHED  # noqa: E402 - the line above makes it run anywhere
from tests.interop.cells import (  # noqa: E402
    CIPHERS,
    COMPRESSED,
    DIGESTS,
    PROCESSED,
    Receipt,
    algorithm_id,
    permutations,
)
from tests.interop.gateway import Gateway  # noqa: E402
from tests.interop.matrix import ENTRIES, FORMS, PERMUTED, SWEPT, WISHES, Entry  # noqa: E402
from tests.interop.peers import PEERS  # noqa: E402

TARGET = ROOT / "docs" / "interop.md"
COMMAND = "scripts/interop_doc.py"

Outcomes = Mapping[tuple[str, str], str]  # the disposition by the cell and the peer

INTRODUCTION = f"""\
# Interoperability

<!-- Rendered from a run of tests/interop by {COMMAND}. Change the tables there, then run that. -->

Every cell is a message that somebody else built, sent through the handler, the journal and the spool. It passes when
the document comes out byte for byte, exactly one delivery is due, the MIC is the sender's own, and the receipt says
`processed`; an asynchronous one is judged in the form in which it is posted. A cell names the peers whose message
passed; a dash stands where no peer can build it. The partner of these tests has the relaxations `sha1` and `3des`, and
requires no layer.
"""

PERMUTATIONS = f"""\
## Permutations

The id of a cell is that of its row and its receipt, as in `P-110-ss`. Layers are named from the inside. {len(PERMUTED)}
messages.

"""
ALGORITHMS = f"""\
## Algorithms

Signed with RSA PKCS #1 v1.5, encrypted with RSA PKCS #1 v1.5 key transport, with a signed receipt. The id of a cell is
that of its algorithms, as in `ALG-sha256-aes256-cbc`. {len(SWEPT)} messages. MD5 is refused.

"""
WISHED_MICS = f"""\
## Wishes for a MIC

The message is signed with SHA-256. Where `signed-receipt-micalg` lists that, it is taken; else the first that we have.
A sender that compares with the digest of its signature whatever it asked for, as pyas2lib does, must ask for that one:
here the MIC that it expects is computed anew over what it signed. {len(WISHES)} messages.

"""
FORMS_OF_CMS = f"""\

## Forms of CMS

{len(FORMS)} messages.

"""

RECEIPTS = {
    Receipt.NONE: "none",
    Receipt.UNSIGNED: "unsigned, in the answer",
    Receipt.SIGNED: "signed, in the answer",
    Receipt.UNSIGNED_LATER: "unsigned, asynchronous",
    Receipt.SIGNED_LATER: "signed, asynchronous",
}
LAYERS = {"c": "compressed", "s": "signed", "E": "encrypted"}


def main() -> int:
    """Write the page, or compare it; the exit code is 1 where something differs."""
    if "--check" in sys.argv[1:]:
        if TARGET.exists() and TARGET.read_text(encoding="utf-8") == render(expected()):
            return 0
        print(f"docs/interop.md is not what tests/interop says: run {COMMAND}")
        return 1
    outcomes = run()
    wrong = [
        f"{each}: {outcomes[each.id, each.peer]}" for each in ENTRIES if outcomes[each.id, each.peer] != each.expected
    ]
    if wrong:
        print("\n".join(wrong))
        return 1
    TARGET.write_text(render(outcomes), encoding="utf-8")
    return 0


def expected() -> Outcomes:
    """What the tests hold every entry to."""
    return {(each.id, each.peer): each.expected for each in ENTRIES}


def run() -> Outcomes:
    """What every entry gets now."""
    with TemporaryDirectory() as name:
        gateway = Gateway(Path(name))
        try:
            return {(each.id, each.peer): each.run(gateway) for each in ENTRIES}
        finally:
            gateway.close()


def render(outcomes: Outcomes) -> str:
    """The whole page."""
    sections = (INTRODUCTION, _peers(), _receipts(), _permutations(outcomes), _algorithms(outcomes), _cases(outcomes))
    return "\n".join(sections)


def _peers() -> str:
    rows = [(peer.letter, peer.name, str(_count(ENTRIES, peer.name)), peer.lacks) for peer in PEERS]
    return "## Peers\n\n" + _table(("", "peer", "messages", "what it lacks"), rows)


def _receipts() -> str:
    rows = [(f"`{receipt}`", RECEIPTS[receipt], _judges(receipt)) for receipt in Receipt]
    return "## Receipts\n\n" + _table(("", "receipt", "verified by"), rows)


def _judges(receipt: Receipt) -> str:
    """Who looks at a receipt of this kind."""
    if receipt is Receipt.NONE:
        return "nothing to verify; the MIC in the journal is compared"
    reads = "pyas2lib reads it, and compares the MIC"
    return f"openssl cms and pyas2lib each verify the signature; {reads}" if receipt.is_signed else reads


def _permutations(outcomes: Outcomes) -> str:
    rows = [
        (f"`{row}`", _layers(layers), *(_passed(f"{row}-{receipt}", outcomes) for receipt in Receipt))
        for row, layers in permutations()
    ]
    receipts = [f"`{each}`" for each in Receipt]
    return PERMUTATIONS + _table(("row", "layers", *receipts), rows)


def _layers(letters: str) -> str:
    return ", ".join(LAYERS[each] for each in letters) or "nothing"


def _algorithms(outcomes: Outcomes) -> str:
    rows = [
        (digest or "not signed", *(_passed(algorithm_id(digest, cipher), outcomes) for cipher in CIPHERS))
        for digest in DIGESTS
    ]
    table = _table(("digest", *(cipher or "not encrypted" for cipher in CIPHERS)), rows)
    compressed = [(f"`{cell.id}`", _passed(cell.id, outcomes)) for cell in COMPRESSED]
    return f"{ALGORITHMS}{table}\nCompressed first:\n\n{_table(('cell', 'peers'), compressed)}"


def _cases(outcomes: Outcomes) -> str:
    wishes = [
        (
            f"`{wish.id}-{wish.importance}`",
            f"`{wish.labels}`",
            f"`{wish.label}`" if wish.label else "–",
            _passed(f"{wish.id}-{wish.importance}", outcomes, wish.expected),
            f"`{wish.expected}`",
        )
        for wish in WISHED
    ]
    forms = [
        (f"`{case.id}`", case.what, case.peer, f"`{outcomes[f'{case.id} {case.what}', case.peer]}`") for case in CASES
    ]
    return (
        WISHED_MICS
        + _table(("case", "asked for", "label of the MIC", "peers", "disposition"), wishes)
        + FORMS_OF_CMS
        + _table(("case", "form", "peer", "disposition"), forms)
    )


def _passed(cell: str, outcomes: Outcomes, wanted: str = PROCESSED) -> str:
    """The letters of the peers whose message got what is wanted, then whatever else was said."""
    found = {peer.letter: outcomes[cell, peer.name] for peer in PEERS if (cell, peer.name) in outcomes}
    passed = " ".join(letter for letter, said in found.items() if said == wanted)
    refused = [f"{letter}: `{said}`" for letter, said in found.items() if said != wanted]
    return ", ".join([*filter(None, [passed]), *refused]) or "–"


def _count(entries: Iterable[Entry], peer: str) -> int:
    return sum(each.peer == peer or each.peer.startswith(f"{peer},") for each in entries)


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = tuple(head)
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines).replace("| --- ", "|---").replace("---|", "---|")


if __name__ == "__main__":
    sys.exit(main())
