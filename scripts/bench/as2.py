"""The figures of AS2, each beside its peer in the same run: a large message, the receiver alone, a small exchange."""

import argparse
import sys
from collections.abc import Callable, Iterator

from scripts.bench import exchange, large, profile, receiver
from scripts.bench.figures import Figure, table

PARTS = ("large", "receiver", "exchange", "profile")


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench/as2", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes and few rounds: does it work at all")
    parser.add_argument("--size", type=int, metavar="MIB", help="the large message (default: 4096; --quick: 64)")
    parser.add_argument("--ber", action="store_true", help="send the large message in indefinite lengths")
    parser.add_argument("--count", type=int, help="exchanges of each client (default: 1000; --quick: 100)")
    parser.add_argument("--clients", type=int, default=8, help="clients at the same time (default: 8)")
    parser.add_argument("--profile", action="store_true", help="the profile of the exchange, also where it is in time")
    parser.add_argument("--only", choices=PARTS, action="append", help="this part; may be there more than once")
    options = parser.parse_args()
    figures = list(measured(options))
    print(table(figures))
    sys.exit(any(figure.reached is False for figure in figures))


def measured(options: argparse.Namespace) -> Iterator[Figure]:
    """All that was asked for; the profile, where the exchange misses its figure."""
    quick, count = options.quick, options.count or (100 if options.quick else 1000)
    parts: dict[str, Callable[[], Iterator[Figure]]] = {
        "large": lambda: large.figures(options.size or (64 if quick else 4096), ber=options.ber),
        "receiver": lambda: receiver.figures(32 if quick else 256),
        "exchange": lambda: exchange.figures(count, options.clients),
    }
    missed = False
    for name, figures in parts.items():
        if options.only is None or name in options.only:
            print(f"measuring: {name}", file=sys.stderr)
            for figure in figures():
                missed = missed or (name == "exchange" and figure.reached is False)
                yield figure
    if missed or options.profile or "profile" in (options.only or ()):
        yield from profile.figures(count // 2, options.clients)


if __name__ == "__main__":
    main()
