"""The TLS contexts for deliveries: one is made once, and a change of anything in it makes a new one at once."""

import ssl
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import trio

from mtlsd.config.model import Configuration, DeliverySettings, Limits, Server
from mtlsd.net.client.tls_context import MAX_CONTEXTS, ClientContexts
from mtlsd.partners.ours.host_keys import HostKeys
from mtlsd.partners.partner import Partner
from mtlsd.partners.trust_store import TrustStore
from mtlsd.pki.dates import Dates
from mtlsd.pki.key_pair import KeyPair
from mtlsd.relay.request import Credentials
from mtlsd.snapshot.snapshot import Snapshot
from tests.support import pki
from tests.support.pki import NOW, Issued

ROOT, OTHER = pki.root("Contexts Root"), pki.root("Other Root")
ACME = Credentials("edi.example", "acme")


def pair(name: str, dates: Dates | None = None) -> KeyPair:
    issued = pki.leaf(ROOT, name)
    made = KeyPair(issued.certificate, issued.chain, issued.key)
    return replace(made, dates=dates) if dates else made


FIRST = pair("first")


def snapshot(*mdn_roots: Issued, pairs: Sequence[KeyPair] = (FIRST,), partners: Sequence[str] = ("acme",)) -> Snapshot:
    configuration = Configuration(Path("virtualhosts.toml"), Server(), Limits(), DeliverySettings(), ())
    roots = tuple(each.certificate for each in mdn_roots)
    store = TrustStore(partners={name: Partner(name, (name.upper(),), mdn_roots=roots) for name in partners})
    return Snapshot(configuration, {}, {}, {}, store, 0.0, keys={"edi.example": HostKeys(tuple(pairs))})


def ders(context: ssl.SSLContext) -> list[bytes]:
    return context.get_ca_certs(binary_form=True)


@pytest.mark.parametrize("credentials", [ACME, None])
async def test_a_context_is_made_once(credentials: Credentials | None) -> None:
    contexts = ClientContexts()
    first = await contexts.get(credentials, snapshot(ROOT), NOW)
    assert await contexts.get(credentials, snapshot(ROOT), NOW + timedelta(hours=1)) is first


async def test_deliveries_that_start_together_make_one_context() -> None:
    contexts, made = ClientContexts(), set()

    async def get() -> None:
        made.add(await contexts.get(ACME, snapshot(ROOT), NOW))

    async with trio.open_nursery() as nursery:
        for _ in range(8):
            nursery.start_soon(get)
    assert len(made) == 1


async def test_a_root_that_a_reload_replaces_counts_no_longer() -> None:
    contexts = ClientContexts()
    before = await contexts.get(ACME, snapshot(ROOT), NOW)
    after = await contexts.get(ACME, snapshot(OTHER), NOW)
    removed = await contexts.get(ACME, snapshot(), NOW)
    assert ROOT.certificate.der in ders(before)
    assert ROOT.certificate.der not in ders(after)
    assert OTHER.certificate.der in ders(after)
    assert OTHER.certificate.der not in ders(removed)
    assert before.verify_flags & ssl.VERIFY_X509_PARTIAL_CHAIN
    assert not removed.verify_flags & ssl.VERIFY_X509_PARTIAL_CHAIN


async def test_another_key_pair_after_a_reload_is_another_context() -> None:
    contexts = ClientContexts()
    first = await contexts.get(ACME, snapshot(ROOT), NOW)
    assert await contexts.get(ACME, snapshot(ROOT, pairs=[pair("second")]), NOW) is not first


async def test_a_roll_over_without_a_reload_is_another_context() -> None:
    """The dates alone decide that the next pair is in use now."""
    later = NOW + timedelta(days=2)
    both = snapshot(ROOT, pairs=[FIRST, pair("next", Dates(active_from=NOW + timedelta(days=1)))])
    contexts = ClientContexts()
    assert await contexts.get(ACME, both, NOW) is not await contexts.get(ACME, both, later)


async def test_two_partners_and_a_backend_share_no_context() -> None:
    contexts, both = ClientContexts(), snapshot(ROOT, partners=("acme", "beta"))
    several = [await contexts.get(each, both, NOW) for each in (ACME, Credentials("edi.example", "beta"), None)]
    assert len(set(several)) == 3
    assert ROOT.certificate.der not in ders(several[2])


async def test_a_partner_that_was_removed_leaves_no_root_behind() -> None:
    contexts = ClientContexts()
    await contexts.get(ACME, snapshot(ROOT), NOW)
    assert ROOT.certificate.der not in ders(await contexts.get(ACME, snapshot(ROOT, partners=()), NOW))


async def test_a_change_of_the_systems_roots_counts_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "roots.pem"
    file.write_bytes(ROOT.certificate.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    contexts, none = ClientContexts(), snapshot()
    assert ders(await contexts.get(None, none, NOW)) == [ROOT.certificate.der]
    (tmp_path / "new.pem").write_bytes(OTHER.certificate.pem)
    (tmp_path / "new.pem").rename(file)
    assert ders(await contexts.get(None, none, NOW)) == [OTHER.certificate.der]


async def test_many_partners_do_not_fill_the_memory() -> None:
    names = [f"p{number}" for number in range(MAX_CONTEXTS + 1)]
    contexts, many = ClientContexts(), snapshot(ROOT, partners=names)
    first = await contexts.get(Credentials("edi.example", names[0]), many, NOW)
    second = await contexts.get(Credentials("edi.example", names[1]), many, NOW)
    for name in names:  # the first is used again, and so the second is the oldest
        await contexts.get(Credentials("edi.example", name), many, NOW)
        await contexts.get(Credentials("edi.example", names[0]), many, NOW)
    assert await contexts.get(Credentials("edi.example", names[0]), many, NOW) is first
    assert await contexts.get(Credentials("edi.example", names[1]), many, NOW) is not second
