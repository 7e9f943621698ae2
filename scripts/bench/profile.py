"""Where the CPU time of a 10 kB exchange goes, by layer.

The daemon runs under cProfile, which sees its main thread only. It makes Python's calls dearer and leaves C as it is,
so the shares lean towards whatever calls much Python; and its clock goes on while the thread has to wait for a
processor or for the interpreter. For the other threads, which commit, the kernel counts.
"""

import pstats
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from scripts.bench.exchange import WARM_UP, apart, build, exchange, measure
from scripts.bench.figures import Figure
from scripts.bench.rig import Rig, running

STOP_SECONDS = 60
WAITING = "waiting for events"
COMMIT = "journal: commit (its thread, not profiled)"
# A layer, and what stands in the path of a file, or in the name of a function in C; the first that fits.
LAYERS = (
    ("RSA", ("openssl.rsa",)),
    (WAITING, ("select.epoll",)),
    ("TLS", ("/mtlsd/tls/", "/OpenSSL/", "_cffi_backend")),
    ("HTTP", ("/mtlsd/http/", "/mtlsd/net/server/wire.py", "/h11/")),
    ("CMS and MIME", ("/mtlsd/as2/", "_hashlib", "openssl.ciphers", "openssl.hashes", "zlib", "binascii")),
    ("journal: the main thread's part", ("/mtlsd/journal/", "sqlite3")),
    ("log", ("/structlog/", "/logging/", "/json/", "/mtlsd/log.py")),
    ("event loop", ("/trio/", "/outcome/", "_socket.socket")),
    ("handler and connection", ("/mtlsd/handlers/", "/mtlsd/net/", "/mtlsd/access/", "/mtlsd/identity/")),
)
REST = "rest"

Function = tuple[str, int, str]  # of pstats: file ("~" for C), line, name


def figures(count: int, clients: int) -> Iterator[Figure]:
    """The milliseconds of each layer, the largest first; what a daemon takes to start and stop is not in them."""
    idle, _, _ = _profiled(0, clients)
    layers, cpu, commits = _profiled(count, clients)
    layers.subtract(idle)
    costs = {layer: seconds * 1000 / count / clients for layer, seconds in layers.items()} | {COMMIT: commits}
    whole = sum(costs.values())
    yield Figure("profiled: CPU of one exchange", "", f"{cpu:.2f} ms", "inflated by the profiler: read shares only")
    for layer, milliseconds in sorted(costs.items(), key=lambda cost: -cost[1]):
        yield Figure(f"  {layer}", "", f"{milliseconds:.2f} ms, {milliseconds / whole:.0%}")


def _profiled(count: int, clients: int) -> tuple[Counter[str], float, float]:
    """Seconds by layer; and CPU milliseconds of one exchange, in all and in other threads than the main one."""
    with TemporaryDirectory(prefix="mtlsd-bench-") as name:
        stats_file = Path(name) / "profile"
        with running("-m", "cProfile", "-o", str(stats_file)) as rig:
            cpu, commits = _run(rig, count, clients)
            rig.process.send_signal(signal.SIGTERM)
            rig.process.wait(STOP_SECONDS)
        return by_layer(pstats.Stats(str(stats_file))), cpu, commits


def _run(rig: Rig, count: int, clients: int) -> tuple[float, float]:
    apart(rig)
    message = build(rig)
    exchange(rig, message, range(WARM_UP))
    if not count:
        return 0.0, 0.0
    before = rig.thread_seconds()
    cost = measure(rig, message, clients, count)
    after = rig.thread_seconds()
    others = sum(after[task] - before.get(task, 0) for task in after if task != rig.process.pid)
    return cost.cpu, others * 1000 / count / clients


def by_layer(stats: pstats.Stats) -> Counter[str]:
    """Seconds by layer, without waiting. What is in C and has no layer of its own is its callers'."""
    seconds: Counter[str] = Counter()
    for function, (_, _, own, _, callers) in stats.stats.items():  # type: ignore[attr-defined]
        layer = _layer(function)
        if layer == REST and function[0] == "~" and callers:
            for caller, (_, _, own_for_caller, _) in callers.items():
                seconds[_layer(caller)] += own_for_caller
        else:
            seconds[layer] += own
    del seconds[WAITING]
    return seconds


def _layer(function: Function) -> str:
    text = f"{function[0]} {function[2]}"
    return next((layer for layer, words in LAYERS if any(word in text for word in words)), REST)
