"""However partners come, change and go, the store is the one that is built of those that are there."""

from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from mtlsd.partners.partner import LoadedPartner, Partner
from mtlsd.partners.partner_toml import Match
from mtlsd.partners.trust_store import TrustStore, build_trust_store, changed
from tests.support import pki
from tests.support.plain_store import PlainStore, plain_store

PARTNERS = Path("/certs/partners")
CAS = [pki.self_signed(f"ca {number}", ca=True).certificate for number in range(3)]
OTHER_CA = pki.root("ca 0").certificate  # the subject of another
ENDS = [pki.leaf(pki.root("Root"), f"end {number}").certificate for number in range(3)]
RENEWED = pki.leaf(pki.root("Root"), "end 0", serial=77).certificate
MIDDLES = [pki.intermediate(pki.root("Root"), f"middle {number}").certificate for number in range(2)]

KNOWN = [*CAS, OTHER_CA, *ENDS, RENEWED, *MIDDLES]
NAMES = st.sampled_from(["a", "b", "c", "d"])
AS2_IDS = ["X", "Y", "Z"]
IDS = st.lists(st.sampled_from(AS2_IDS), max_size=2, unique=True).map(tuple)
MATCHES = st.builds(
    Match, st.sampled_from(["CN=m", "CN=n"]), st.lists(st.sampled_from(["dns:a", "dns:b"]), unique=True).map(tuple)
)
ROOTS = st.lists(st.sampled_from([*CAS, OTHER_CA]), max_size=2, unique=True).map(tuple)
PUBLIC = st.lists(st.sampled_from([*ENDS, RENEWED]), max_size=2, unique=True).map(tuple)
OTHERS = st.lists(st.sampled_from(MIDDLES), max_size=2, unique=True).map(tuple)


@st.composite
def loaded_partners(draw: st.DrawFn) -> LoadedPartner:
    name, ids, roots, match = draw(NAMES), draw(IDS), draw(ROOTS), draw(st.none() | MATCHES)
    public = draw(PUBLIC) + (() if match else roots)
    partner = Partner(
        name,
        ids,
        match=match,
        public_certificates=public,
        trusted_roots=roots,
        intermediates=draw(OTHERS),
        message_certificates=draw(PUBLIC) + draw(OTHERS),
    )
    return LoadedPartner(name, draw(st.sampled_from([partner, partner, partner, None])), public, roots, ids)


def as_sets(store: TrustStore) -> PlainStore:
    return PlainStore(
        dict(store.partners),
        set(store.disabled),
        {key: set(names) for key, names in store.owners.items()},
        {as2_id: found.name for as2_id in AS2_IDS if (found := store.partner_by_as2_id(as2_id, "any.example"))},
        {key: {partner.name for partner in partners} for key, partners in store.matchers.items()},
        {
            each.sha256: {text.partition(",")[0] for text in texts}
            for each in KNOWN
            if (texts := store.uses_elsewhere(each))
        },
        {key: set(certificates) for key, certificates in store.roots.items()},
        {key: set(certificates) for key, certificates in store.intermediates.items()},
        {each.sha256: set(names) for each in KNOWN if (names := store.holders(each))},
        {key: set(names) for key, names in store.same_key.items()},
        {key: set(names) for key, names in store.same_subject.items()},
        set(store.conflicts),
    )


class Changes(RuleBasedStateMachine):
    """Partners are added, changed and removed, one at a time or many at once."""

    def __init__(self) -> None:
        super().__init__()
        self.store = TrustStore()
        self.here: dict[str, LoadedPartner] = {}

    @rule(loaded=loaded_partners())
    def one_comes_or_changes(self, loaded: LoadedPartner) -> None:
        self.change({loaded.name: loaded})

    @rule(name=NAMES)
    def one_goes(self, name: str) -> None:
        self.change({name: None})

    @rule(several=st.lists(loaded_partners(), unique_by=lambda each: each.name), gone=st.sets(NAMES))
    def many_change(self, several: list[LoadedPartner], gone: set[str]) -> None:
        self.change({each.name: each for each in several} | dict.fromkeys(gone))

    def change(self, changes: dict[str, LoadedPartner | None]) -> None:
        before = self.store
        self.store, concerned = changed(before, PARTNERS, changes)
        self.here = {name: each for name, each in (self.here | changes).items() if each}
        unlike = {name for name in "abcd" if before.partners.get(name) != self.store.partners.get(name)}
        assert unlike <= concerned

    @invariant()
    def it_is_the_store_of_those_that_are_here(self) -> None:
        assert as_sets(self.store) == plain_store(self.here.values())

    @invariant()
    def it_is_the_store_that_is_built_from_scratch(self) -> None:
        assert self.store == build_trust_store(PARTNERS, self.here.values())

    @invariant()
    def what_is_found_is_the_partner_in_use(self) -> None:
        for as2_id in AS2_IDS:
            if partner := self.store.partner_by_as2_id(as2_id, "any.example"):
                assert partner is self.store.partners[partner.name]
                assert as2_id in partner.as2_ids
        for partners in self.store.matchers.values():
            assert all(each is self.store.partners[each.name] for each in partners)


TestChanges = Changes.TestCase
TestChanges.settings = settings(max_examples=60, stateful_step_count=12)


def test_a_store_before_a_change_stays_as_it_was() -> None:
    first = LoadedPartner("a", Partner("a", ("X",), public_certificates=(ENDS[0],)), (ENDS[0],), (), ("X",))
    store, _ = changed(TrustStore(), PARTNERS, {"a": first})
    after, _ = changed(store, PARTNERS, {"a": None})
    assert (set(store.partners), set(after.partners)) == ({"a"}, set())
    assert as_sets(after) == PlainStore()
