"""A healthy partner's answer times alone, and while others attack: from another address, from its own, as a partner.

The healthy partner sends one 10 kB message after another: all but a few over one connection, the others each over a new
one. The limit on failed messages is lifted, because it would end most attacks after the first hundred.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from http.client import HTTPSConnection

from mtlsd.as2.outbound.compose import BuiltMessage
from scripts.bench import exchange, rig
from scripts.bench.attacks import SIGNED, Attack, bomb, segments, under
from scripts.bench.figures import Figure, table
from scripts.bench.rig import Pair, Rig

CONFIGURATION = rig.CONFIGURATION.replace("[[virtualhost]]\n", '[[virtualhost]]\nclient_certificate = "optional"\n', 1)
CONFIGURATION += "[limits]\nmax_failures_per_hour = 1000000\n"
TIMES = 8  # of the 90th percentile alone
SECONDS = 0.25
NEW_CONNECTIONS = 0.2  # of all messages
CMS = "application/pkcs7-mime; smime-type=compressed-data; name=smime.p7z"


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench/fairness", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few messages: does it work at all")
    parser.add_argument("--count", type=int, help="messages under each attack (default: 200; --quick: 20)")
    parser.add_argument("--only", action="append", metavar="TEXT", help="attacks whose name has this in it")
    options = parser.parse_args()
    figures = list(measured(options.count or (20 if options.quick else 200), options.only))
    print(table(figures))
    sys.exit(any(figure.reached is False for figure in figures))


def measured(count: int, only: list[str] | None) -> Iterator[Figure]:
    with rig.running(configuration=CONFIGURATION) as running:
        message = exchange.build(running)
        exchange.exchange(running, message, range(20))
        alone = measure(running, message, None, count)
        yield Figure("alone", "", str(alone))
        beta = rig.make_partner(running.folder, "BETA")
        for attack in attacks(beta):
            if only is None or any(each in attack.name for each in only):
                print(f"measuring: {attack.name}", file=sys.stderr)
                yield compare(attack, alone, measure(running, message, attack, count))


def attacks(beta: Pair) -> Iterator[Attack]:
    """Each attack by a stranger from another address, by a stranger from the partner's address, and by a partner."""
    steep, flat, signed = bomb(600_000, 178), bomb(400_000, 19), b"--b\r\n\r\n".ljust(500_000, b"a")
    for base in (
        Attack("16 bombs of ratio 178", 16, CMS, steep),
        Attack("190 bombs of ratio 178", 190, CMS, steep),
        Attack("16 bombs of ratio 19", 16, CMS, flat),
        Attack("190 bombs of ratio 19", 190, CMS, flat),
        Attack("16 in CMS segments of one octet", 16, CMS, segments(300_000)),
        Attack("16 in chunks of one octet", 16, SIGNED, signed, "chunks"),
        Attack("16 in records of one octet", 16, SIGNED, signed, "records"),
    ):
        yield replace(base, name=f"{base.name}, another address")
        yield replace(base, name=f"{base.name}, the same address", address="127.0.0.1")
        if base.connections < 100:
            yield replace(base, name=f"{base.name}, another partner", pair=beta, as2_from="BETA")


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds from request to answer: over a kept connection, and with a new one."""

    kept: list[float]
    new: list[float]

    def p90(self) -> tuple[float, float]:
        return _percentile(self.kept, 90), _percentile(self.new, 90)

    def __str__(self) -> str:
        kept, new = ([_percentile(each, 50), _percentile(each, 90)] for each in (self.kept, self.new))
        return "p50 {:.0f} p90 {:.0f} ms, with a new connection {:.0f} and {:.0f}".format(
            *(seconds * 1000 for seconds in (*kept, *new))
        )


def measure(running: Rig, message: BuiltMessage, attack: Attack | None, count: int) -> Times:
    """Send `count` messages, one after another, while the attack goes on."""
    with under(attack, running.port):
        connection = running.connect()
        kept = [timed(connection, message, number) for number in range(count)]
        new = []
        for number in range(int(count * NEW_CONNECTIONS)):
            began = time.perf_counter()
            fresh = running.connect()
            timed(fresh, message, number)
            new.append(time.perf_counter() - began)
            fresh.close()
    return Times(kept, new)


def timed(connection: HTTPSConnection, message: BuiltMessage, number: int) -> float:
    began = time.perf_counter()
    exchange.send(connection, message, number)
    return time.perf_counter() - began


def compare(attack: Attack, alone: Times, attacked: Times) -> Figure:
    limits = [max(TIMES * each, SECONDS) for each in alone.p90()]
    reached = all(each <= limit for each, limit in zip(attacked.p90(), limits, strict=True))
    return Figure(attack.name, f"p90 {limits[0] * 1000:.0f} ms", str(attacked), reached=reached)


def _percentile(values: list[float], percent: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


if __name__ == "__main__":
    main()
