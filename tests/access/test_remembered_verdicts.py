"""An acceptance is remembered for later connections, and ends in each way in which it must end."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import permutations
from pathlib import Path

import pytest

from mtlsd.access.authenticate import Judgement
from mtlsd.access.known_certificates import KnownCertificates
from mtlsd.config.model import Configuration, DeliverySettings, Limits, Server
from mtlsd.errors import (
    CAExpired,
    CertExpired,
    CertificateRefused,
    CertKnownButRetired,
    CertKnownOtherHost,
    CertRevoked,
    CertUntrustedIssuer,
    PartnerDisabled,
)
from mtlsd.partners.matching import Claim, Peer
from mtlsd.partners.registry import load_partners
from mtlsd.partners.shared_cache import MAX_ENTRIES_OF_ONE
from mtlsd.pki.certificate import Certificate, Presented
from mtlsd.pki.crl import RevocationList
from mtlsd.pki.ocsp import OCSPStatus
from mtlsd.pki.revocation import Revocation, RevocationCheck, RevocationEvidence
from mtlsd.snapshot.snapshot import Snapshot
from tests.support import pki
from tests.support.pki import DAY, NOW, Issued

HOST = "as2.example.com"
ROOT = pki.root("Remembered Root", end=NOW + 30 * DAY)
CA = pki.intermediate(ROOT, "Remembered CA", end=NOW + 20 * DAY)
LEAF = pki.leaf(CA, "edi.acme.example", end=NOW + 10 * DAY)
SETTINGS = 'as2_id = "ACME"\n[match]\nsubject = "CN=edi.acme.example"\n'


@dataclass
class Known:
    """What is known of revocations; counts how often somebody judges with it."""

    found: RevocationEvidence = field(default_factory=RevocationEvidence)
    version: int = 0
    judged: int = 0

    def evidence(self, claim: Claim) -> RevocationEvidence:
        self.judged += 1
        return self.found


@dataclass
class Daemon:
    """The partners' files, and what connections share."""

    folder: Path
    known: Known
    certificates: KnownCertificates
    snapshot: Snapshot

    def reload(self, settings: str | None = None, *certificates: Issued) -> None:
        self.snapshot = _snapshot(self.folder, settings, *certificates)

    def connect(
        self, issued: Issued = LEAF, now: datetime = NOW, host: str = HOST, *, in_handshake: bool = False
    ) -> Peer:
        """Judge the request of a new connection, with its certificates parsed afresh."""
        chain = tuple(Certificate.from_der(each.der) for each in issued.chain)
        presented = Presented(Certificate.from_der(issued.certificate.der), chain)
        judgement = Judgement(self.known, self.certificates, may_ask_later=in_handshake)
        return judgement.peer(presented, self.snapshot, host, now)


def _snapshot(folder: Path, settings: str | None, *certificates: Issued) -> Snapshot:
    place = folder / "acme"
    place.mkdir(exist_ok=True)
    for each in place.iterdir():
        each.unlink()
    if settings is not None:
        (place / "partner.toml").write_text(settings)
        for at, issued in enumerate(certificates):
            (place / f"{at}.pem").write_bytes(issued.pem)
    configuration = Configuration(folder / "virtualhosts.toml", Server(), Limits(), DeliverySettings(), ())
    return Snapshot(configuration, {}, {}, {}, load_partners(folder, NOW)[0], 0.0)


@pytest.fixture
def daemon(tmp_path: Path) -> Daemon:
    return Daemon(tmp_path, Known(), KnownCertificates(), _snapshot(tmp_path, SETTINGS, ROOT))


def test_a_known_client_is_judged_once(daemon: Daemon) -> None:
    peers = [daemon.connect(now=NOW + timedelta(hours=hours)) for hours in range(5)]
    assert {each.partner.name for each in peers} == {"acme"}
    assert daemon.known.judged == 1


# --- Every end ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("issued", "roots", "end", "error"),
    [
        (LEAF, (ROOT,), NOW + 10 * DAY, CertExpired),
        (
            pki.leaf(pki.intermediate(ROOT, "Short CA", end=NOW + DAY), "edi.acme.example", end=NOW + 5 * DAY),
            (ROOT,),
            NOW + DAY,
            CAExpired,
        ),
    ],
    ids=["the client's", "its CA's"],
)
def test_it_ends_with_the_first_certificate(
    daemon: Daemon, issued: Issued, roots: tuple[Issued, ...], end: datetime, error: type[CertificateRefused]
) -> None:
    daemon.reload(SETTINGS, *roots)
    daemon.connect(issued)
    daemon.connect(issued, now=end - timedelta(seconds=1))
    assert daemon.known.judged == 1
    with pytest.raises(error):
        daemon.connect(issued, now=end + timedelta(seconds=1))


def test_it_ends_with_the_root(daemon: Daemon) -> None:
    root = pki.root("Short Root", end=NOW + DAY)
    issued = pki.leaf(root, "edi.acme.example", end=NOW + 9 * DAY)
    daemon.reload(SETTINGS, root)
    daemon.connect(issued)
    with pytest.raises(CertificateRefused):
        daemon.connect(issued, now=NOW + DAY + timedelta(seconds=1))


def test_it_ends_when_the_certificate_is_retired(daemon: Daemon) -> None:
    retire = NOW + 2 * DAY
    dates = f'[[certificate]]\nfile = "1.pem"\nretire_after = {retire.isoformat()}\n'
    daemon.reload(f'as2_id = "ACME"\n{dates}', ROOT, LEAF)
    daemon.connect()
    with pytest.raises(CertKnownButRetired):
        daemon.connect(now=retire + timedelta(seconds=1))


def test_it_ends_when_the_clock_goes_back(daemon: Daemon) -> None:
    daemon.connect()
    daemon.connect(now=NOW - timedelta(seconds=1))
    assert daemon.known.judged == 2
    with pytest.raises(CertificateRefused):
        daemon.connect(now=LEAF.certificate.not_before - timedelta(seconds=1))


def test_it_ends_with_a_reload(daemon: Daemon) -> None:
    daemon.connect()
    daemon.reload(SETTINGS, ROOT)
    daemon.connect()
    assert daemon.known.judged == 2


def test_a_copy_of_a_snapshot_remembers_nothing(daemon: Daemon) -> None:
    daemon.connect()
    daemon.snapshot = replace(daemon.snapshot, version="another")
    assert not len(daemon.snapshot.verdicts)


@pytest.mark.parametrize(
    ("settings", "certificates", "error"),
    [
        (f"disabled = true\n{SETTINGS}", (ROOT,), PartnerDisabled),
        (SETTINGS, (pki.root("Another Root"),), CertificateRefused),
        (SETTINGS.replace("edi.acme", "another.acme"), (ROOT,), CertificateRefused),
        (f'hosts = ["other.example"]\n{SETTINGS}', (ROOT,), CertKnownOtherHost),
        (None, (), CertUntrustedIssuer),
    ],
    ids=["disabled", "root removed", "subject changed", "host closed", "partner removed"],
)
def test_it_ends_when_the_partner_changes(
    daemon: Daemon, settings: str | None, certificates: tuple[Issued, ...], error: type[Exception]
) -> None:
    daemon.connect()
    daemon.reload(settings, *certificates)
    with pytest.raises(error):
        daemon.connect()


def test_it_ends_when_its_pinned_certificate_is_removed(daemon: Daemon) -> None:
    own, other = pki.self_signed("own"), pki.self_signed("other")
    daemon.reload('as2_id = "ACME"\n', own, other)
    daemon.connect(own)
    daemon.reload('as2_id = "ACME"\n', other)
    with pytest.raises(CertificateRefused):
        daemon.connect(own)


def lists(*of: bytes) -> RevocationEvidence:
    return RevocationEvidence(Revocation(RevocationCheck.SOFT), tuple(map(RevocationList.from_der, of)))


def test_it_ends_with_a_new_revocation_list(daemon: Daemon) -> None:
    daemon.known.found = lists(pki.crl(CA))
    daemon.connect()
    daemon.known.found, daemon.known.version = lists(pki.crl(CA, LEAF)), 1
    with pytest.raises(CertRevoked):
        daemon.connect()


def test_it_ends_when_the_revocation_list_is_to_be_renewed(daemon: Daemon) -> None:
    daemon.known.found = lists(pki.crl(CA, end=NOW + DAY))
    daemon.connect()
    daemon.connect(now=NOW + DAY + timedelta(seconds=1))
    assert daemon.known.judged == 2


def ocsp(*, revoked: bool = False, until: datetime = NOW + DAY) -> RevocationEvidence:
    return RevocationEvidence(Revocation(ocsp=RevocationCheck.HARD), (), OCSPStatus(revoked, "", until))


def test_it_ends_with_a_new_ocsp_answer(daemon: Daemon) -> None:
    daemon.known.found = ocsp()
    daemon.connect()
    daemon.connect()
    assert daemon.known.judged == 1
    daemon.known.found, daemon.known.version = ocsp(revoked=True), 1
    with pytest.raises(CertRevoked):
        daemon.connect()


def test_it_ends_with_the_ocsp_answer(daemon: Daemon) -> None:
    daemon.known.found = ocsp(until=NOW + timedelta(hours=1))
    daemon.connect()
    daemon.known.found = ocsp(revoked=True)  # the version alone would not tell
    with pytest.raises(CertRevoked):
        daemon.connect(now=NOW + timedelta(hours=1))


# --- What is never remembered ---------------------------------------------------------------------------------


def test_an_acceptance_of_the_handshake_is_not_remembered(daemon: Daemon) -> None:
    """There, a responder that nobody asked yet does not count against the client."""
    daemon.known.found = RevocationEvidence(Revocation(ocsp=RevocationCheck.HARD))
    daemon.connect(in_handshake=True)
    assert not len(daemon.snapshot.verdicts)
    assert not len(daemon.certificates)
    with pytest.raises(CertificateRefused):
        daemon.connect()


def test_an_acceptance_before_the_responder_was_asked_is_not_remembered(daemon: Daemon) -> None:
    daemon.known.found = RevocationEvidence(Revocation(ocsp=RevocationCheck.SOFT))
    daemon.connect()
    assert not len(daemon.snapshot.verdicts)


def test_a_refusal_is_not_remembered(daemon: Daemon) -> None:
    stranger = pki.leaf(pki.root("Stranger"), "edi.acme.example")
    for count in (1, 2):
        with pytest.raises(CertificateRefused):
            daemon.connect(stranger)
        assert daemon.known.judged == count
    assert not len(daemon.snapshot.verdicts)
    assert not len(daemon.certificates)


def test_another_host_is_judged_on_its_own(daemon: Daemon) -> None:
    daemon.reload(f'hosts = ["{HOST}"]\n{SETTINGS}', ROOT)
    daemon.connect()
    with pytest.raises(CertKnownOtherHost):
        daemon.connect(host="other.example")


def test_another_chain_is_judged_on_its_own(daemon: Daemon) -> None:
    """The same certificate alone proves nothing."""
    daemon.connect()
    with pytest.raises(CertificateRefused):
        daemon.connect(replace(LEAF, issuers=()))


# --- Attacks --------------------------------------------------------------------------------------------------


def test_certificates_that_prove_nothing_are_not_kept(daemon: Daemon) -> None:
    """A client may send along whatever it likes."""
    junk = pki.root("Junk").certificate
    presented = Presented(LEAF.certificate, (*LEAF.chain, junk))
    Judgement(daemon.known, daemon.certificates).peer(presented, daemon.snapshot, HOST, NOW)
    assert daemon.certificates.read(LEAF.certificate.der) is LEAF.certificate
    assert daemon.certificates.read(junk.der) is not junk
    assert len(daemon.certificates) == len({LEAF.certificate, *LEAF.chain})


def test_ten_thousand_connections_of_strangers_keep_nothing(daemon: Daemon) -> None:
    daemon.connect()
    before = len(daemon.certificates), len(daemon.snapshot.verdicts)
    stranger = pki.self_signed("stranger").certificate
    for number in range(10_000):
        presented = Presented(replace(stranger, der=stranger.der + number.to_bytes(4), sha256=f"{number:064x}"))
        with pytest.raises(CertificateRefused):
            Judgement(daemon.known, daemon.certificates).peer(presented, daemon.snapshot, HOST, NOW)
    assert (len(daemon.certificates), len(daemon.snapshot.verdicts)) == before
    judged = daemon.known.judged
    daemon.connect()
    assert daemon.known.judged == judged


def test_a_partner_that_varies_its_chain_evicts_only_its_own(daemon: Daemon) -> None:
    other = pki.self_signed("other")
    (daemon.folder / "other").mkdir()
    (daemon.folder / "other" / "partner.toml").write_text('as2_id = "OTHER"\n')
    (daemon.folder / "other" / "own.pem").write_bytes(other.pem)
    daemon.reload(SETTINGS, ROOT)
    daemon.connect(other)
    junk = [pki.root(f"Junk {number}").certificate for number in range(9)]
    for several in permutations(junk, 3):
        presented = Presented(LEAF.certificate, (*LEAF.chain, *several))
        Judgement(daemon.known, daemon.certificates).peer(presented, daemon.snapshot, HOST, NOW)
    judged = daemon.known.judged
    daemon.connect(other)
    assert daemon.known.judged == judged
    assert len(daemon.snapshot.verdicts) == MAX_ENTRIES_OF_ONE + 1
