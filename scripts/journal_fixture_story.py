"""What happens at the site of a fixture: every kind of record, delivery, state and entry that a journal can have."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from mtlsd import log
from mtlsd.cli.journal.replay import anew
from mtlsd.handlers.well_known import selftest
from mtlsd.journal.documents import remove_files
from mtlsd.journal.model import Attempt, Claimed, DeliveryState, Reason
from mtlsd.journal.notices import NoticeStanding
from mtlsd.journal.proof import checkpoints
from mtlsd.journal.proof.chain import EntryKind, Note
from mtlsd.journal.proof.checkpoints import NodeKey
from mtlsd.journal.proof.sign_checkpoint import sign_checkpoint
from mtlsd.journal.retention import RetentionPolicy, prune
from mtlsd.journal.sql.journal import Journal
from mtlsd.net.background.checkpoints import configuration_note
from mtlsd.net.services.promotions import Promoter
from mtlsd.partners.rollover import Use, Used
from scripts.journal_fixture_site import Site, layered, pair, partners, signed
from tests.support import messages
from tests.support.messages import EDI

BEGIN = datetime(2026, 1, 5, 9, tzinfo=UTC).timestamp()
STEP = 60.1  # seconds between two things, with a fraction that is no binary number
LEASE = 60  # seconds
LARGE = b"".join(b"LIN+%d++%032x'\r\n" % (number, number**16) for number in range(1, 121))  # not inline
NO_CR = EDI.replace(b"\r\n", b"\n")
SIGNED = "required,sha-256"
LATER: Any = {"mdn": "", "Receipt_Delivery_Option": "https://mdn.example/acme?key=1"}
NAMED = "attachment; filename*=utf-8''M%C3%A4rz%2007.edi"
DELIVERED, FAILED, PENDING = DeliveryState.DELIVERED, DeliveryState.FAILED, DeliveryState.PENDING
Outcome = tuple[DeliveryState, int | None, str | None, str]  # the state, the status, the reason, the detail
OK: Outcome = (DELIVERED, 200, None, "")
WRITTEN: Outcome = (DELIVERED, None, None, "")
BUSY: Outcome = (PENDING, 503, "upstream_5xx", "")
SILENT: Outcome = (PENDING, None, "upstream_timeout", "no answer within 60 s \N{EM DASH} Zeitüberschreitung")
BAD: Outcome = (FAILED, 422, "upstream_4xx", 'it said "no"\\')


def tell(site: Site, nodes: Mapping[NodeKey, Journal]) -> None:
    """All that happens, in its order."""
    (key, journal), (other_key, other) = nodes.items()
    story = Story(site, journal, BEGIN)
    story.enter_what_is_no_message()
    story.take_and_deliver()
    story.take_again_and_refuse()
    story.sign(key)
    story.let_go()
    second = Story(site, other, story.now)
    second.join(other_key)
    story.now = second.now
    story.leave_open()
    story.sign(key)


@dataclass
class Story:
    """One node: what happens there, `now` being the time of the last thing that did."""

    site: Site
    journal: Journal
    now: float

    # --- The chapters ---------------------------------------------------------------------------------------------

    def enter_what_is_no_message(self) -> None:
        """The configuration, promotions, notices of expiry, and bundles."""
        proof, snapshot = self.journal.proof, self.site.snapshot
        proof.enter([configuration_note(snapshot, self.later())])
        promoter = Promoter(self.journal, log.configure(io.StringIO(), console=False))
        moment = datetime.fromtimestamp(self.later(), UTC)
        for name in ("ACME NEXT", "GLOBEX NEXT"):
            partner = name.partition(" ")[0].lower()
            promoter.note(Used(Use.MESSAGE, partner, pair(name).certificate.sha256), snapshot, moment)
        assert len(promoter.promotions) == 2
        assert promoter.flush()
        for name in ("acme", "globex"):
            sha256 = pair(name.upper()).certificate.sha256
            assert self.journal.claim_notice(sha256, 30, self.later()) is NoticeStanding.OURS
            self.journal.give_notices([(sha256, 30)] if name == "acme" else [], self.later())
        facts = {"by": "root", "uid": 0, "to": "a passphrase", "private_keys": True, "bundle": "ab" * 32}
        for kind in (EntryKind.EXPORTED, EntryKind.IMPORTED):
            proof.enter([Note(kind, "ab" * 16, self.later(), facts)])

    def take_and_deliver(self) -> None:
        """Messages of every form, to every kind of backend."""
        plans = {
            self.take("several", "csE", mdn=SIGNED): [BUSY, SILENT, OK],
            self.take("one", "csE", LARGE): [BUSY, OK],
            self.take("ordered", "sE", partner="globex"): [BUSY, BAD],  # and so its lane stands still
            self.take("ordered-several", "s", partner="globex", mdn=SIGNED): [SILENT, OK],
            self.take("files", "sE"): [WRITTEN],
            self.take("ordered-files", "c"): [WRITTEN],
        }
        self.take("one", "", partner="globex")
        self.take("one", "s", partner="globex", mdn="")
        self.take("several", "E", partner="globex")
        self.take("several", "sc", Subject="Bestellung Nr. 7")
        self.take("message", "sE", partner="globex")
        self.take("ordered", "s")
        self.take("first", "csE", mdn=SIGNED)
        self.take("sealed", "sE", recipient="BACKEND")
        self.take("one", "s", keeps_evidence=False)
        self.take("one", "s", over_tls=False)
        self.take_entity("one", messages.entity(EDI, Content_Disposition=NAMED))
        for encoding, sent in (("7bit", NO_CR), ("binary", EDI)):  # some relays change line ends on the way
            whole = messages.entity(EDI, Content_Transfer_Encoding=encoding)
            changed = whole.replace(b"\r\n", b"\n").replace(NO_CR, sent)
            self.take_entity("one", signed(whole, pair("ACME"), changed))
        self.deliver({f"{id_}-1": plan for id_, plan in plans.items()})

    def take_again_and_refuse(self) -> None:
        """Duplicates, MDNs that are posted, refusals, a self-test; what operators do with a delivery that failed."""
        repeated, again = signed(messages.entity(), pair("ACME")), "<again@acme.example>"
        self.take_entity("one", repeated, message_id=again)
        self.take_entity("one", repeated, message_id=again, mdn="")  # its MDN is made now
        self.take_entity("one", repeated, message_id=again, **LATER)  # and it is posted once more
        self.take(selftest.PATH[1:], "csE", mdn=SIGNED)
        sent = [self.take("one", "c", **{**LATER, "mdn": mdn}) for mdn in ("", SIGNED, "", SIGNED)]
        refused = [self.refuse(**LATER) for _ in range(3)]
        self.refuse(mdn=SIGNED)
        self.refuse()
        dropped = self.take("message", "s")
        self.deliver(
            {f"{sent[0]}-1": [BAD], f"{sent[1]}-mdn": [BUSY, BAD], f"{sent[2]}-mdn": [BAD], f"{sent[3]}-1": [BUSY, BAD]}
            | {f"{refused[0]}-mdn": [BUSY, OK], f"{refused[1]}-mdn": [BAD], f"{dropped}-1": [BAD]}
        )
        self.journal.requeue(f"{sent[0]}-1", self.later())
        self.deliver({})
        self.journal.requeue(f"{sent[3]}-1", self.later(), unpin=True)
        self.deliver({f"{sent[3]}-1": [SILENT, BAD]})
        for each in (f"{dropped}-1", f"{sent[2]}-mdn"):
            self.journal.drop(each, self.later())
        once_more = self.take("one", "s", partner="globex")
        self.deliver({})
        (delivered,) = self.journal.deliveries(once_more)
        self.journal.repeat(anew(delivered, f"{once_more}-2", self.later()))
        self.deliver({})

    def let_go(self) -> None:
        """Contents that are pruned, a partner who is erased, a refusal that is too old."""
        proof, spool = self.journal.proof, self.site.spool
        old = self.take("several", "csE", LARGE, partner="initech")
        self.take("one", "s", partner="initech")
        self.refuse(partner="initech")
        small, large = self.take("one", "s", partner="globex"), self.take("one", "csE", LARGE, partner="globex")
        self.deliver({})
        retention = {"initech": RetentionPolicy(max_bytes=4000)}
        batches = prune(self.journal, spool, lambda name: retention.get(name, RetentionPolicy()), "mtlsd", self.later())
        assert [(each.partner, each.messages) for each in batches] == [("initech", 1)]
        found = self.journal.message(old)
        assert found
        assert not found.contents
        remove_files(spool, proof.prune([small, large], Reason("root", "pruned by hand", self.later())))
        count, names = proof.erase("initech", Reason("root", "contract ended", self.later()), 10)
        assert count == 3
        remove_files(spool, names)
        forgotten = self.refuse(partner="globex")
        assert proof.forget([forgotten], Reason("mtlsd", "retention: 30 days a partner", self.later())) == 1

    def join(self, key: NodeKey) -> None:
        """Another node has a chain of its own, in the same journal."""
        self.journal.proof.enter([configuration_note(self.site.snapshot, self.later())])
        self.deliver({f"{self.take('several', 'csE')}-1": [SILENT, OK]})
        self.refuse(partner="globex")
        self.sign(key)
        self.journal.proof.enter([configuration_note(self.site.snapshot, self.later())])  # nobody signs this one

    def leave_open(self) -> None:
        """What waits, what is under way, and what stands behind another in an ordered lane."""
        self.take("ordered-several", "sE")
        (claimed,) = self.journal.claim("node-1", self.later(), 60 * LEASE, 10)
        lane = claimed.delivery.lane
        assert (lane.ordered, lane.name.partition(" ")[0]) == (True, "acme")
        self.deliver({f"{self.take('several', 's', partner='globex')}-1": [SILENT]}, rounds=1)
        for partner in ("globex", "acme"):
            for path in ("ordered-several", "ordered", "ordered-files"):
                self.take(path, "", partner=partner)
        for path, payload in (("several", EDI), ("one", LARGE), ("files", EDI), ("message", EDI)):
            self.take(path, "sE" if path == "several" else "", payload, partner="globex", **LATER)
        self.refuse(**LATER)

    # --- What happens ---------------------------------------------------------------------------------------------

    def later(self) -> float:
        """Some time passes."""
        self.now = round(self.now + STEP, 1)
        return self.now

    def take(
        self,
        path: str,
        layers: str,
        payload: bytes = EDI,
        *,
        partner: str = "acme",
        recipient: str = "EXAMPLE",
        keeps_evidence: bool = True,
        over_tls: bool = True,
        **more: Any,
    ) -> str:
        """A message of a partner comes; the return value is our id of it."""
        inner = messages.entity(payload, Content_Disposition='attachment; filename="order.edi"')
        entity = layered(layers, inner, sender=partner.upper(), recipient=recipient)
        return self.take_entity(path, entity, partner=partner, keeps_evidence=keeps_evidence, over_tls=over_tls, **more)

    def take_entity(
        self,
        path: str,
        entity: bytes,
        *,
        partner: str = "acme",
        message_id: str | None = None,
        keeps_evidence: bool = True,
        over_tls: bool = True,
        **more: Any,
    ) -> str:
        now, client = self.later(), partners()[partner] if over_tls else None
        named = message_id or f"<{now:.0f}@{partner}.example>"
        options: Any = {"as2_from": partner.upper(), "message_id": named, "mdn": None, **more}
        sent = messages.message(entity, **options)
        return self.site.take(self.journal, sent, now, f"/{path}", client, keeps_evidence=keeps_evidence)

    def refuse(self, *, partner: str = "acme", **more: Any) -> str:
        """A message comes that a stranger signed."""
        return self.take_entity("one", signed(messages.entity(), pair("NOBODY")), partner=partner, **more)

    def deliver(self, plans: Mapping[str, list[Outcome]], rounds: int = 9) -> None:
        """Attempt all that is due, until nothing is; what has no plan is delivered."""
        left = {id_: iter(plan) for id_, plan in plans.items()}
        for _ in range(rounds):
            for claimed in self.journal.claim("worker", self.later(), LEASE, 100):
                self._record(claimed, next(left.get(claimed.delivery.id, iter(())), OK))

    def _record(self, claimed: Claimed, outcome: Outcome) -> None:
        delivery, now = claimed.delivery, self.later()
        state, status, reason, detail = outcome
        targets = (delivery.pinned,) if delivery.pinned else delivery.targets
        target = targets[delivery.attempts % len(targets)]
        attempt = Attempt(
            delivery_id=delivery.id,
            number=delivery.attempts,
            started_at=round(now - 0.7, 1),
            finished_at=now,
            status=status,
            reason=reason,
            detail=detail,
            target=target,
        )
        self.journal.record(
            attempt,
            "worker",
            state=state,
            not_before=round(now + 1, 1) if state is PENDING else None,
            now=now,
            pinned=target if outcome is SILENT else None,
        )

    def sign(self, key: NodeKey) -> None:
        """Sign a checkpoint."""
        directory = self.site.state / "checkpoints"
        assert sign_checkpoint(self.journal, key, directory, checkpoints.last(directory, key.node), self.later())
