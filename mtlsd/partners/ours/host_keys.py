"""The key pairs of a virtual host: for its own clients, and for the servers to which it sends asynchronous MDNs."""

import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from mtlsd.config.fields import table
from mtlsd.config.schema import Schema, read_toml
from mtlsd.errors import Problem
from mtlsd.partners.dates import PairRow
from mtlsd.partners.ours.key_ring import Keyrings, Loaded
from mtlsd.partners.rollover import current
from mtlsd.pki.key_pair import KeyPair

SETTINGS = "host.toml"
CLIENT = "client"
CHAIN = "chain.pem"


@table
@dataclass(frozen=True, slots=True)
class HostSettings:
    """The keys of host.toml."""

    pair: tuple[PairRow, ...] = ()


SCHEMA = Schema(HostSettings)


@dataclass(frozen=True, slots=True)
class HostKeys:
    """The pairs of one virtual host; there is at least one server pair."""

    server: tuple[KeyPair, ...]
    client: tuple[KeyPair, ...] = ()

    @property
    def pairs(self) -> tuple[KeyPair, ...]:
        return (*self.server, *self.client)

    def client_at(self, now: datetime) -> KeyPair:
        """The pair for a server that receives MDNs: a client pair, or else a server pair."""
        return current(self.client or self.server, now)


def load_host(directory: Path, credentials: Path | None = None) -> Loaded[HostKeys]:
    """Read `certs/hosts/<name>/`; raises ConfigurationError with everything that is wrong.

    A chain that does not cover the name is a warning.
    """
    reading = read_toml(directory / SETTINGS, SCHEMA, may_be_missing=True)
    rows = reading.value.pair if reading.value else ()
    prefix = f"host.{directory.name}"
    rings = Keyrings(directory, reading.document, rows, credentials, prefix, CHAIN, problems=[*reading.problems])
    server = rings.read(reserved=(CLIENT,))
    client = rings.read(CLIENT) if os.path.lexists(directory / CLIENT) else ()
    rings.finish()
    uncovered = (_not_covered(directory, each, CHAIN if each is server[0] else ".") for each in server)
    return Loaded(HostKeys(server, client), (*rings.warnings, *filter(None, uncovered)))


def _not_covered(directory: Path, pair: KeyPair, place: str) -> Problem | None:
    """The warning if the certificate does not cover the host (RFC 9525, section 6.3).

    The exact name counts, or a wildcard as the whole first label; the CN never counts.
    """
    host = directory.name.lower()
    wildcard = f"*.{host.partition('.')[2]}"
    if not {f"dns:{host}", f"ip:{host}", f"dns:{wildcard}"}.isdisjoint(pair.certificate.san):
        return None
    names = ", ".join(pair.certificate.san) or f"{pair.certificate.subject}, without an alternative name"
    text = f"the certificate does not cover {directory.name}: it is for {names}"
    return Problem(directory / place if (directory / place).exists() else directory, text)
