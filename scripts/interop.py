"""Exchange every form of message with the products that are here, and render the results into docs/interop.md.

A product that is not here keeps its last results; the last lines say which ones these are, and why.
"""

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

from scripts import interop_doc
from scripts.live import libas2, openas2, pyas2lib, record
from scripts.live.exchange import NotInstalled, Product, exchange
from scripts.live.record import Run

PRODUCTS: dict[str, Callable[[Path], AbstractContextManager[Product]]] = {
    "pyas2lib": pyas2lib.running,
    "libas2": libas2.running,
    "OpenAS2": openas2.running,
}


def main() -> int:
    """Run the exchanges; the exit code is 0, also if some of them fail, because the page shows them."""
    runs = {run.product: run for run in record.read()}
    missing: dict[str, NotInstalled] = {}
    for name, running in PRODUCTS.items():
        try:
            runs[name] = _run(running)
        except NotInstalled as why:
            missing[name] = why
    record.write(runs[name] for name in PRODUCTS if name in runs)
    interop_doc.TARGET.write_text(interop_doc.render(interop_doc.expected()), encoding="utf-8")
    print("docs/interop.md has the results.")
    for name, reason in missing.items():
        print(f"{name} was not run: {reason}")
    return 0


def _run(running: Callable[[Path], AbstractContextManager[Product]]) -> Run:
    with TemporaryDirectory(prefix="mtlsd-interop-") as name, running(Path(name)) as product:
        outcomes = []
        for outcome in exchange(product, Path(name)):
            print(f"{product.name} {outcome.cell}: in {outcome.to_mtlsd or '–'}; out {outcome.from_mtlsd or '–'}")
            outcomes.append(outcome)
        versions = f"{product.name} {product.version}, mtlsd {version('mtlsd')}"
        return Run(product.name, versions, f"{datetime.now(UTC):%Y-%m-%d}", product.remarks, tuple(outcomes))


if __name__ == "__main__":
    sys.exit(main())
