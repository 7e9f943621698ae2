"""Journals that were written by earlier code, brought back to life: see tests/fixtures/journal/README.md.

Keys are needed to read them. Ours are made of numbers that everybody can find: the one that opens messages of the
primes next below two powers of two, the one that signs MDNs of a small number. So no private key is in the repository.
Those of the hosts protect nothing in the journal, and are made anew.
"""

import json
import shutil
import sqlite3
from base64 import b64decode
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
from click.testing import Result
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from mtlsd.config.load import read_configuration as load_configuration
from mtlsd.journal.location import Place, open_journal
from mtlsd.journal.model import Delivery, Message
from mtlsd.journal.proof.checkpoints import node_name
from mtlsd.journal.sql.journal import Journal
from tests.support import pki
from tests.support.daemon import LONG
from tests.support.pki import SERVER, Issued
from tests.support.site import mtlsd

FIXTURES = Path(__file__).parent.parent / "fixtures" / "journal"
SCHEMAS = {"sqlite": "sqlite.sql", "postgres": "postgres.sql"}
ROWS = "rows.sql"  # of both: only their schemas differ
SHOWN = "shown.jsonl"
CONFIGURATION = "virtualhosts.toml"
MANY = 1000
HOSTS = ("as2.example.com", "maybe.example.com")


@cache
def our_keys() -> Mapping[str, pki.Key]:
    """The keys of the organization EXAMPLE, by the directory that each stands in."""
    decryption = pki.rsa_key_of(2**1024 - 105, 2**1056 - 725)
    return {"decrypt": decryption, "sign": ec.derive_private_key(2**17 - 1, ec.SECP256R1())}


def server(host: str) -> Issued:
    """A certificate of ours for a host."""
    return pki.issue(host, key=pki.ec_key(host), eku=(SERVER,), san=(f"dns:{host}",), **LONG)


def write_our_keys(certs: Path) -> None:
    """The private keys, beside the certificates that are there, and what the hosts need."""
    for name, key in our_keys().items():
        path = certs / "organizations" / "EXAMPLE" / name / "key.pem"
        path.touch(mode=0o600)
        path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    for host in HOSTS:
        server(host).write(certs / "hosts" / host)


@dataclass(frozen=True)
class Stored:
    """A fixture that was restored into a folder of its own, with its database, as an operator has it."""

    root: Path

    @classmethod
    def in_sqlite(cls, fixture: Path, root: Path) -> "Stored":
        """Restore it with the file of SQLite."""
        stored = cls._copied(fixture, root)
        file = root / "state" / "journal.sqlite"
        file.touch(mode=0o600)
        with closing(sqlite3.connect(file)) as db:
            db.create_function("decode", 2, lambda text, _: b64decode(text))  # as PostgreSQL has it
            db.executescript(_script(fixture, "sqlite"))
        return stored.migrated()

    @classmethod
    def in_postgres(cls, fixture: Path, root: Path, url: str) -> "Stored":
        """Restore it with a database of PostgreSQL, which is empty so far."""
        stored = cls._copied(fixture, root)
        stored.configure('journal = "sqlite"', f'journal = "{url}"')
        with psycopg.connect(url, autocommit=True) as db:
            db.execute(_script(fixture, "postgres").encode())
        return stored.migrated()

    @classmethod
    def _copied(cls, fixture: Path, root: Path) -> "Stored":
        shutil.copytree(fixture, root, ignore=shutil.ignore_patterns("*.sql", "*.json"))
        write_our_keys(root / "certs")
        return cls(root)

    def migrated(self) -> "Stored":
        """The journal, once it has the version of the code that reads it."""
        self.done("journal", "migrate")
        return self

    @property
    def configuration(self) -> Path:
        return self.root / CONFIGURATION

    def configure(self, old: str, new: str) -> None:
        """Replace a line of the configuration."""
        text = self.configuration.read_text()
        assert old in text
        self.configuration.write_text(text.replace(old, new))

    def run(self, *command: object) -> Result:
        """Run a command of ours on it."""
        return mtlsd(*command, "--config", self.configuration)

    def done(self, *command: object) -> str:
        """What a command writes that must succeed."""
        result = self.run(*command)
        assert result.exit_code == 0, result.output
        return result.stdout

    @contextmanager
    def journal(self) -> Iterator[Journal]:
        """The journal itself, for what no command shows."""
        place = Place(load_configuration(self.configuration).server.journal, self.root / "state")
        with closing(open_journal(place, chain=node_name(place.state))) as opened:
            yield opened

    def json(self, *command: object) -> Any:
        """What a command writes as JSON."""
        return json.loads(self.done(*command, "--json"))

    def ids(self, *options: object) -> list[str]:
        """The ids of messages, or with `--state refused` of refusals, the newest first."""
        return [each["id"] for each in self.json("journal", "list", "--limit", MANY, *options)]

    def messages(self) -> list[Message]:
        """All messages, the oldest first."""
        with self.journal() as journal:
            return [each.message for each in reversed(journal.messages(limit=MANY))]

    def deliveries(self) -> list[Delivery]:
        """All deliveries, the oldest first."""
        about = self.everything
        with self.journal() as journal:
            return sorted((each for id_ in about for each in journal.deliveries(id_)), key=lambda each: each.id)

    @property
    def everything(self) -> list[str]:
        """The ids of all messages and refusals."""
        return sorted((*self.ids(), *self.ids("--state", "refused")))

    def shown(self) -> list[Any]:
        """What is known of the deliveries of each message and refusal, in the order of their ids.

        The chain vouches for the records themselves, and not for all of a delivery.
        """
        return [[each, *self.json("journal", "show", each)["deliveries"]] for each in self.everything]


def _script(fixture: Path, database: str) -> str:
    parts = (SCHEMAS[database], ROWS)
    return "BEGIN;\n" + "".join((fixture / each).read_text(encoding="utf-8") for each in parts) + "COMMIT;\n"


def still_says(now: Any, then: Any) -> bool:
    """Whether all that was shown then is shown now; a newer version may show more."""
    if isinstance(then, Mapping):
        return isinstance(now, Mapping) and all(key in now and still_says(now[key], each) for key, each in then.items())
    if isinstance(then, list):
        return len(now) == len(then) and all(map(still_says, now, then))
    return bool(now == then)
