"""CPU time in the daemon for one exchange, beside RSA's own cost and pyas2lib in memory, in the same run."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from http.client import HTTPSConnection
from pathlib import Path
from uuid import uuid4

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.serialization import Encoding

from mtlsd.as2.outbound.compose import BuiltMessage, compose
from mtlsd.as2.outbound.draft import Draft, DraftDocument, Encryption, Signing
from mtlsd.pki.certificate import Certificate
from mtlsd.pki.key_pair import KeyPair
from scripts.bench.figures import Figure
from scripts.bench.rig import Rig, running
from tests.support.pyas2_oracle import Identity, organization, partner, pyas2_parse

SIZE = 10_000
WARM_UP = 50
MILLISECONDS = 1.5


def figures(count: int, clients: int) -> Iterator[Figure]:
    """The cost of one exchange, with clients that keep the daemon busy and with one that waits for each MDN."""
    with running() as rig:
        apart(rig)
        message = build(rig)
        exchange(rig, message, range(WARM_UP))
        alone = measure(rig, message, 1, count)
        busy = measure(rig, message, clients, count)
        rsa, library = time_rsa(rig), time_pyas2lib(rig, message)
    beside = f"RSA-2048 in it: {rsa:.2f} ms; pyas2lib in memory: {library:.2f} ms"
    name = f"10 kB exchange, CPU in the daemon, {clients} clients"
    yield Figure(name, f"{MILLISECONDS} ms", str(busy), beside, busy.cpu <= MILLISECONDS)
    yield Figure("10 kB exchange, one client, mostly idle", "", str(alone), "caches go cold between two messages")


@dataclass(frozen=True, slots=True)
class Cost:
    """Milliseconds of one exchange."""

    cpu: float
    wall: float

    def __str__(self) -> str:
        return f"{self.cpu:.2f} ms, {1000 / self.wall:.0f} a second"


def apart(rig: Rig) -> None:
    """Keep the daemon and its clients on processors of their own, where there are two."""
    processors = sorted(os.sched_getaffinity(0))
    if len(processors) > 1:
        for task in Path(f"/proc/{rig.process.pid}/task").iterdir():
            os.sched_setaffinity(int(task.name), processors[:1])
        os.sched_setaffinity(0, processors[1:])


def measure(rig: Rig, message: BuiltMessage, clients: int, count: int) -> Cost:
    """Send `count` messages from each client, all clients at once, each over a kept connection."""
    cpu, began = rig.cpu_seconds(), time.perf_counter()
    children = [fork(rig, message, range(first * count, (first + 1) * count)) for first in range(clients)]
    if any(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children):
        sys.exit("a client failed")
    elapsed, cpu = time.perf_counter() - began, rig.cpu_seconds() - cpu
    return Cost(cpu / clients / count * 1000, elapsed / clients / count * 1000)


def fork(rig: Rig, message: BuiltMessage, numbers: range) -> int:
    child = os.fork()
    if not child:
        exchange(rig, message, numbers)
        os._exit(0)
    return child


def build(rig: Rig) -> BuiltMessage:
    """One message; its copies differ in Message-ID only."""
    partner, organization = (
        KeyPair(Certificate.from_der(each.certificate.public_bytes(Encoding.DER)), (), each.key)
        for each in (rig.partner, rig.organization)
    )
    payload = bytes(range(256)) * (SIZE // 256 + 1)
    draft = Draft(
        as2_from="ACME",
        as2_to="EXAMPLE",
        message_id="bench",
        documents=(DraftDocument(payload[:SIZE], "application/octet-stream", "bench.bin"),),
        signing=Signing(partner),
        encryption=Encryption(organization.certificate),
    )
    return compose(draft, now=time.time())


def exchange(rig: Rig, message: BuiltMessage, numbers: range) -> None:
    """Send copies of the message over one connection, one after another, and read each MDN."""
    connection = rig.connect()
    for number in numbers:
        send(connection, message, number)


def send(connection: HTTPSConnection, message: BuiltMessage, number: int) -> None:
    """Send a copy of the message, and read its MDN."""
    fields = dict(message.headers) | {"Message-ID": f"<{uuid4()}.{number}@bench.example>"}
    connection.request("POST", "/as2", body=message.body, headers=fields)
    response = connection.getresponse()
    body = response.read()
    if response.status != 200 or b"MDN-sent-automatically; processed\r\n" not in body:
        sys.exit(f"not processed: {response.status}\n{body.decode(errors='replace')}")


def time_rsa(rig: Rig, rounds: int = 300) -> float:
    """CPU milliseconds of the RSA operations that one exchange needs."""
    key = rig.organization.key
    wrapped = key.public_key().encrypt(bytes(32), padding.PKCS1v15())

    def once() -> None:
        key.decrypt(wrapped, padding.PKCS1v15())
        signature = key.sign(b"mdn", padding.PKCS1v15(), hashes.SHA256())
        key.public_key().verify(signature, b"mdn", padding.PKCS1v15(), hashes.SHA256())

    return cpu_milliseconds(once, rounds)


def time_pyas2lib(rig: Rig, message: BuiltMessage, rounds: int = 30) -> float:
    """CPU milliseconds that pyas2lib takes to read the message and to make its MDN."""
    us = Identity("EXAMPLE", rig.organization.key, rig.organization.certificate)
    them = Identity("ACME", rig.partner.key, rig.partner.certificate)
    received = partial(pyas2_parse, message.headers, message.body, organization(us), partner(them))
    return cpu_milliseconds(received, rounds)


def cpu_milliseconds(once: Callable[[], object], rounds: int) -> float:
    began = time.process_time()
    for _ in range(rounds):
        once()
    return (time.process_time() - began) / rounds * 1000
