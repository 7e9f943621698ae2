"""The live exchanges of scripts/interop: some of them with pyas2lib, and how the results are recorded and shown."""

from pathlib import Path

import pytest

from scripts.live import libas2, openas2, pyas2lib, record
from scripts.live.exchange import NotInstalled, Outcome, exchange
from scripts.live.record import Run
from tests.interop.cells import PERMUTATIONS, PROCESSED, Receipt

CHOSEN = ("P-000-us", "P-111-ss", "P-011-sa", "P-CS1-none")


def test_pyas2lib_and_mtlsd_exchange_messages_in_both_directions(tmp_path: Path) -> None:
    cells = [cell for cell in PERMUTATIONS if cell.id in CHOSEN]
    with pyas2lib.running(tmp_path) as product:
        outcomes = list(exchange(product, tmp_path, cells))
    expected = [Outcome(cell.id, PROCESSED if product.can_send(cell) else None, PROCESSED) for cell in cells]
    assert outcomes == expected
    assert [each.to_mtlsd for each in outcomes].count(None) == 1  # it cannot compress what is signed


def test_an_exchange_that_fails_says_why(tmp_path: Path) -> None:
    (cell,) = (cell for cell in PERMUTATIONS if cell.id == "P-000-ss")
    with pyas2lib.running(tmp_path) as product:
        (outcome,) = exchange(product, tmp_path, [cell])
    assert outcome == Outcome(cell.id, PROCESSED, "the MDN is signed, and has no MIC")


def test_without_node_libas2_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NotInstalled, match="node or npm"), libas2.running(tmp_path):
        pass


@pytest.mark.parametrize("installed", ["", "/nowhere"])
def test_without_a_built_openas2_it_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installed: str) -> None:
    monkeypatch.setenv(openas2.VARIABLE, installed)
    with pytest.raises(NotInstalled, match="directory of a built OpenAS2"), openas2.running(tmp_path):
        pass


RUN = Run(
    "Product",
    "Product 1, mtlsd 0",
    "2026-12-01",
    "Remarks.",
    tuple(
        Outcome(cell.id, PROCESSED if cell.receipt is Receipt.NONE else None, "no MIC" if "s" in cell.layers else None)
        for cell in PERMUTATIONS
    ),
)


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    record.write([RUN], tmp_path / "live.json")
    assert record.read(tmp_path / "live.json") == [RUN]


def test_the_section_has_each_exchange_and_each_reason_once() -> None:
    section = record.render([RUN])
    assert "| Product | Product 1, mtlsd 0 | 2026-12-01 | 40 | 10 |" in section
    assert "| nothing | in | – | – | – | – |" in section
    assert "| signed | in (1) | (1) | (1) | (1) | (1) |" in section
    assert section.count("1. out: no MIC") == 1


def test_each_recorded_run_has_every_cell() -> None:
    runs = record.read()
    assert {"pyas2lib", "libas2"} <= {run.product for run in runs}
    for run in runs:
        assert [each.cell for each in run.outcomes] == [cell.id for cell in PERMUTATIONS]
