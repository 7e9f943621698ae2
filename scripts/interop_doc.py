#!/usr/bin/env python3
"""Run the matrix of tests/interop and render docs/interop.md; with --check, only compare the page with the tests.

The page shows the expected results of the tests: if a run has any other result, it fails and writes nothing.
"""

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from scripts.live import record  # noqa: E402 - the line above makes it run anywhere
from tests.interop.cases import CASES, WISHED  # noqa: E402
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

<!-- Rendered by {COMMAND} from a run of tests/interop, and from the last run of scripts/interop. Run these. -->

Every cell is a message that another implementation (a peer) built. The test sends the message through the handler, the
journal and the spool. The message passes if the document is unchanged, byte for byte, exactly one delivery is due, the
MIC equals the sender's, and the receipt says `processed`. An asynchronous receipt is checked in the form in which it is
posted. A cell lists the peers whose message passed; a dash means that no peer can build such a message. The partner in
these tests has the relaxations `sha1` and `3des`, and requires no layer. [Live exchanges](#live-exchanges) are of whole
products over sockets.
"""

PERMUTATIONS = f"""\
## Permutations

The id of a cell consists of its row and its receipt, such as `P-110-ss`. Layers are listed from the inside out.
{len(PERMUTED)} messages.

"""
ALGORITHMS = f"""\
## Algorithms

Messages are signed with RSA PKCS #1 v1.5, encrypted with RSA PKCS #1 v1.5 key transport, and answered with a signed
receipt. The id of a cell consists of its algorithms, such as `ALG-sha256-aes256-cbc`. {len(SWEPT)} messages. MD5 is
refused.

"""
REQUESTED_MICS = f"""\
## Requested MIC algorithms

The message is signed with SHA-256. If `signed-receipt-micalg` lists SHA-256, mtlsd uses SHA-256; otherwise it uses the
first algorithm in the list that it supports. Some senders, such as pyas2lib, always compare the MIC with the digest of
their signature, so they must request that algorithm. In these tests, the MIC that the sender expects is computed
again, over the content that the sender signed. {len(WISHES)} messages.

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


def main() -> int:
    """Write the page, or compare it; the exit code is 1 if anything differs."""
    if "--check" in sys.argv[1:]:
        if TARGET.exists() and TARGET.read_text(encoding="utf-8") == render(expected()):
            return 0
        print(f"docs/interop.md differs from the results that tests/interop expects: run {COMMAND}")
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
    """The result that the tests expect of every entry."""
    return {(each.id, each.peer): each.expected for each in ENTRIES}


def run() -> Outcomes:
    """Run every entry and return its result."""
    with TemporaryDirectory() as name:
        gateway = Gateway(Path(name))
        try:
            return {(each.id, each.peer): each.run(gateway) for each in ENTRIES}
        finally:
            gateway.close()


def render(outcomes: Outcomes) -> str:
    """The whole page."""
    sections = (INTRODUCTION, _peers(), _receipts(), _permutations(outcomes), _algorithms(outcomes), _cases(outcomes))
    return "\n".join((*sections, record.render(record.read())))


def _peers() -> str:
    rows = [(peer.letter, peer.name, str(_count(ENTRIES, peer.name)), peer.lacks) for peer in PEERS]
    return "## Peers\n\n" + _table(("", "peer", "messages", "limitations"), rows)


def _receipts() -> str:
    rows = [(f"`{receipt}`", RECEIPTS[receipt], _judges(receipt)) for receipt in Receipt]
    return "## Receipts\n\n" + _table(("", "receipt", "verified by"), rows)


def _judges(receipt: Receipt) -> str:
    """The programs that check a receipt of this kind."""
    if receipt is Receipt.NONE:
        return "no receipt; the MIC in the journal is compared"
    reads = "pyas2lib reads the receipt, and compares the MIC"
    return f"openssl cms and pyas2lib each verify the signature; {reads}" if receipt.is_signed else reads


def _permutations(outcomes: Outcomes) -> str:
    rows = [
        (f"`{row}`", record.named(layers), *(_passed(f"{row}-{receipt}", outcomes) for receipt in Receipt))
        for row, layers in permutations()
    ]
    receipts = [f"`{each}`" for each in Receipt]
    return PERMUTATIONS + _table(("row", "layers", *receipts), rows)


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
        REQUESTED_MICS
        + _table(("case", "requested", "label of the MIC", "peers", "disposition"), wishes)
        + FORMS_OF_CMS
        + _table(("case", "form", "peer", "disposition"), forms)
    )


def _passed(cell: str, outcomes: Outcomes, wanted: str = PROCESSED) -> str:
    """The letters of the peers whose message got the wanted disposition, then every other disposition."""
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
