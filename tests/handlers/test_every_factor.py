"""Nothing is accepted for a backend unless every factor that is required has passed.

Certificates, names, layers and requirements in every mixture go the whole way in one process: claim, judgement,
match, the handler, a real journal. What must happen is computed beside it, from a few lines.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mtlsd.access.rate_limits import FailureLimit
from mtlsd.as2.agreement import MessageLimits
from mtlsd.config.load import read_configuration
from mtlsd.errors import PeerError
from mtlsd.handlers.as2.begin import begin
from mtlsd.handlers.context import Call, Services
from mtlsd.http.messages import Request, Response
from mtlsd.journal.spool import Spool
from mtlsd.journal.sql.sqlite import SQLiteJournal
from mtlsd.partners import matching
from mtlsd.partners.matching import Peer
from mtlsd.partners.registry import load_partners
from mtlsd.partners.trust_store import TrustStore
from mtlsd.pki.certificate import Presented
from mtlsd.tls import verify
from tests.support import messages
from tests.support.daemon import Tree, acme, authority, certificate, globex, keys
from tests.support.partner import layered, message
from tests.support.pki import Issued

NOW = 1_800_000_000.0
HOST = "as2.example.com"
CERTIFICATES = ("acme", "globex", "stranger", "sister", "none")
LAYERS = ("", "c", "s", "E", "sE", "csE", "scE")
REQUIRES = ("[]", '["sign"]', '["encrypt"]', '["sign", "encrypt"]')


class World:
    """Two partners, one organization, one journal."""

    def __init__(self, root: Path) -> None:
        self.tree = Tree(root)
        self.journal = SQLiteJournal(root / "journal.sqlite")
        limits = MessageLimits(1 << 20, 100)
        self.services = Services(self.journal, Spool(root / "spool"), limits, FailureLimit(1_000_000))
        pair = keys("EXAMPLE")
        self.organization = replace(messages.organization(), signing=pair, decryption=(pair,))
        self.route = read_configuration(self.tree.configuration).virtualhosts[0].routes[0]
        self.stores = {require: self._store(require) for require in REQUIRES}
        self.count = 0

    def _store(self, require: str) -> TrustStore:
        for name in ("acme", "globex"):
            path = self.tree.certs / "partners" / name / "partner.toml"
            path.write_text(f'as2_id = "{name.upper()}"\nrequire = {require}\n')
        return load_partners(self.tree.certs / "partners")[0]

    def peer(self, kind: str, store: TrustStore) -> Peer | None:
        """Who TLS proves, as `net` finds it out; raises PeerError."""
        if kind == "none":
            return None
        issued = _certificate(kind)
        presented = Presented(issued.certificate, issued.chain)
        claim = matching.claim(presented, store)
        verdict = verify.judge(presented, claim.anchors, datetime.fromtimestamp(NOW, UTC), claim.relax)
        return matching.match(verdict, claim, store, HOST)

    def send(self, kind: str, as2_from: str, as2_to: str, entity: bytes, require: str) -> bool:
        """Send a message; whether the journal has it then, with a delivery."""
        self.count += 1
        message_id = f"<{self.count}@acme.example>"
        sent = message(message_id, entity, as2_from=as2_from, as2_to=as2_to)
        fields = tuple((name.lower(), value) for name, value in sent.fields)
        fields = (*fields, ("content-length", str(len(sent.body))))
        store = self.stores[require]
        try:
            call = Call(
                request=Request("POST", "/as2", fields, "1.1", HOST),
                request_id=f"request-{self.count}",
                host=HOST,
                route=self.route,
                organization=self.organization,
                truststore=store,
                peer=self.peer(kind, store),
                address="192.0.2.1",
                now=NOW,
            )
            exchange = begin(call, self.services)
            if not isinstance(exchange, Response):
                exchange.receive_data(sent.body)
                acceptance = exchange.finish().promise.acceptance
                if acceptance is not None:
                    self.journal.accept([acceptance])
        except PeerError:
            pass
        found = self.journal.message(message_id)
        return found is not None and len(self.journal.deliveries(found.id)) == 1


def _certificate(kind: str) -> Issued:
    match kind:
        case "acme":
            return acme()
        case "globex":
            return globex()
        case "sister":
            return certificate(acme().issuers[0], "sister.acme.example")
        case _:
            return certificate(authority("Nobody"), "stranger.example")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("factors"))
    yield made
    made.journal.close()


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from(CERTIFICATES),
    as2_from=st.sampled_from(["ACME", "GLOBEX", "NOBODY", "acme", "EXAMPLE"]),
    as2_to=st.sampled_from(["EXAMPLE", "EXAMPLE", "EXAMPLE", "OTHER"]),
    signer=st.sampled_from(["ACME", "GLOBEX", "STRANGER"]),
    recipient=st.sampled_from(["EXAMPLE", "EXAMPLE", "ANOTHER"]),
    layers=st.sampled_from(LAYERS),
    require=st.sampled_from(REQUIRES),
)
def test_nothing_is_accepted_unless_every_factor_passes(
    world: World, kind: str, as2_from: str, as2_to: str, signer: str, recipient: str, layers: str, require: str
) -> None:
    entity = layered(layers, sender=keys(signer), recipient=keys(recipient))
    accepted = world.send(kind, as2_from, as2_to, entity, require)
    known = as2_from in ("ACME", "GLOBEX") and as2_to == "EXAMPLE"
    proven = kind == "none" or kind.upper() == as2_from
    must_sign = "sign" in require or kind == "none"
    signed = "s" in layers and signer == as2_from
    encrypted = "E" in layers and recipient == "EXAMPLE"
    factors = (
        known,
        proven,
        signed or ("s" not in layers and not must_sign),
        encrypted or ("E" not in layers and "encrypt" not in require),
    )
    assert accepted == all(factors)


def test_everything_that_is_right_is_accepted(world: World) -> None:
    for kind in ("acme", "none"):
        assert world.send(kind, "ACME", "EXAMPLE", layered(), '["sign", "encrypt"]')
    assert world.send("globex", "GLOBEX", "EXAMPLE", layered(sender=keys("GLOBEX")), '["sign", "encrypt"]')
    assert world.send("acme", "ACME", "EXAMPLE", layered(""), "[]")
