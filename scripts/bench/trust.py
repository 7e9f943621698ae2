"""The figures of the trust store: many partners read, matched, and one of them changed. CPU time, without the daemon.

Each partner has a directory with partner.toml, a root of its own and a certificate below it.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from mtlsd.partners.matching import claim
from mtlsd.partners.registry import Registry, read_registry, reread, stale
from mtlsd.pki.certificate import Certificate, Presented
from mtlsd.snapshot.digest import PartnersDigest
from scripts.bench.figures import Figure, table
from tests.support import pki
from tests.support.daemon import LONG

FEW = 100
LOAD_SECONDS = 3.0  # for 10,000
RELOAD_SECONDS = 0.1  # the indexes are built anew
MATCH_RATIO = 2.0  # of many to few: the caches of the processor are allowed for
TIMES = 20
T = TypeVar("T")
LOOKUPS = 2000


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench/trust", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes: does it work at all")
    parser.add_argument("--partners", type=int, help="how many (default: 10000; --quick: 500)")
    options = parser.parse_args()
    figures = list(measured(options.partners or (500 if options.quick else 10_000)))
    print(table(figures))
    sys.exit(any(figure.reached is False for figure in figures))


def measured(count: int) -> Iterator[Figure]:
    """All figures, with so many partners beside a few."""
    with TemporaryDirectory() as folder:
        many, few = Path(folder, "many"), Path(folder, "few")
        shown = make(many, count)
        shown_few = make(few, FEW)
        list(map(Path.read_bytes, many.glob("*/*")))  # the disk is not what is measured
        before = resident()
        seconds, registry = cpu(lambda: read_registry(many, now()))
        grown = resident() - before
        limit = LOAD_SECONDS * count / 10_000
        yield Figure(f"{count} partners read", f"{limit:.2f} s", f"{seconds:.2f} s", reached=seconds < limit)
        yield Figure("memory of a partner", "", f"{grown / count / 1024:.1f} KiB")
        seconds, digests = cpu(lambda: PartnersDigest().changed(registry.store, registry.concerned))
        yield Figure("their digests", "", f"{seconds:.2f} s")
        seconds, _ = cpu(lambda: stale(registry))
        yield Figure("a look at the stamps of all", "", f"{seconds:.2f} s")
        small = read_registry(few, now())
        yield matching(registry, shown, small, shown_few)
        yield reloading(registry, digests, small)


def matching(many: Registry, shown: Certificate, few: Registry, shown_few: Certificate) -> Figure:
    """A certificate to its partner, among many and among a few."""

    def seconds_of(registry: Registry, certificate: Certificate) -> float:
        presented = Presented(certificate)
        runs = [cpu(lambda: [claim(presented, registry.store) for _ in range(LOOKUPS)])[0] for _ in range(5)]
        return min(runs) / LOOKUPS

    of_many, of_few = seconds_of(many, shown), seconds_of(few, shown_few)
    times = f"{MATCH_RATIO:g} times its peer"
    reached = of_many < of_few * MATCH_RATIO
    return Figure("a certificate matched", times, f"{of_many * 1e6:.1f} µs", f"{of_few * 1e6:.1f} µs of {FEW}", reached)


def reloading(many: Registry, digests: PartnersDigest, few: Registry) -> Figure:
    """One partner's change: its files, the store and the digests."""

    def reload(registry: Registry, digests: PartnersDigest) -> None:
        made = reread(registry, ["p00007"], now())
        digests.changed(made.store, made.concerned)

    def median(registry: Registry, digests: PartnersDigest) -> float:
        return sorted(cpu(lambda: reload(registry, digests))[0] for _ in range(TIMES))[TIMES // 2]

    of_many, of_few = median(many, digests), median(few, PartnersDigest())
    limit = f"{RELOAD_SECONDS * 1e3:g} ms"
    measured_ms, peer = f"{of_many * 1e3:.2f} ms", f"{of_few * 1e3:.2f} ms of {FEW}"
    return Figure("one partner read again", limit, measured_ms, peer, of_many < RELOAD_SECONDS)


def make(folder: Path, count: int) -> Certificate:
    """So many partners; one of the certificates."""
    key = pki.ec_key("bench")
    for number in range(count):
        root = pki.root(f"Root {number}", key=key, **LONG)
        issued = pki.leaf(root, f"p{number}.example", key=key, **LONG)
        partner = folder / f"p{number:05}"
        partner.mkdir(parents=True)
        (partner / "partner.toml").write_text(f'as2_id = "P{number}"\n')
        (partner / "root.pem").write_bytes(root.pem)
        (partner / "client.pem").write_bytes(issued.pem)
    return issued.certificate


def cpu(act: Callable[[], T]) -> tuple[float, T]:
    """Seconds of CPU that it took, and what it returned."""
    began = time.process_time()
    made = act()
    return time.process_time() - began, made


def now() -> datetime:
    return datetime.now(UTC)


def resident() -> int:
    """Octets of memory that this process uses."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main()
