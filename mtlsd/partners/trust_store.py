"""The trust store: every partner, found at once by certificate, by AS2 id or by subject. Immutable.

Two partners that claim the same thing both lose it until that is mended: a guess would let one speak for the
other. That they use different hosts makes no AS2 id two: the keys of the journal and of the backend know no host.
A disabled partner keeps its public certificates and its AS2 ids, or a mistake in its file would hand them to another.
A self-signed CA is no such thing: partners may share one, and it is a root for each and the certificate of none then.

`changed` makes the store that holds after some partners changed. It looks at these, and at those with whom they share
something; all else is shared with the store before, so the cost does not grow with the number of partners.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from mtlsd.errors import Problem
from mtlsd.partners.conflicts import certificate_conflict, id_conflict, match_conflicts, together
from mtlsd.partners.partner import LoadedPartner, Partner
from mtlsd.partners.persistent_map import Sharded
from mtlsd.pki.certificate import Certificate

T = TypeVar("T")
Index = Mapping[str, tuple[T, ...]]
Names = Sharded[tuple[str, ...]]
Certificates = Sharded[tuple[Certificate, ...]]
Claims = dict[tuple[str, str, str], None]  # the index, the key and the value: a name, or a text with one

NOBODY = LoadedPartner("", None)


@dataclass(frozen=True, slots=True)
class TrustStore:
    """Who may be whom. An empty one knows nobody. The tuples are in the order of their names or fingerprints."""

    partners: Sharded[Partner] = field(default_factory=Sharded)  # by name
    disabled: frozenset[str] = frozenset()  # names
    owners: Names = field(default_factory=Sharded, repr=False)  # names, by sha256 of a public certificate
    matchers: Sharded[tuple[Partner, ...]] = field(default_factory=Sharded, repr=False)  # by the subject in [match]
    as2_ids: Sharded[Partner] = field(default_factory=Sharded, repr=False)  # without those claimed twice
    elsewhere: Names = field(default_factory=Sharded, repr=False)  # what opens no connection, by sha256: its use
    roots: Certificates = field(default_factory=Sharded, repr=False)  # by subject
    intermediates: Certificates = field(default_factory=Sharded, repr=False)  # by subject
    holders: Names = field(default_factory=Sharded, repr=False)  # names, by sha256 of a trusted root
    same_key: Names = field(default_factory=Sharded, repr=False)  # names, by public key in hex
    same_subject: Names = field(default_factory=Sharded, repr=False)  # names, by subject of a public certificate
    # What only `changed` needs:
    loaded: Sharded[LoadedPartner] = field(default_factory=Sharded, repr=False)  # as they were read, by name
    claimants: Names = field(default_factory=Sharded, repr=False)  # names, of the disabled too, by AS2 id
    sharers: Names = field(default_factory=Sharded, repr=False)  # so, by sha256 of a trusted root
    issuers: Names = field(default_factory=Sharded, repr=False)  # names, by sha256 of an intermediate
    conflicts: Sharded[tuple[Problem, ...]] = field(default_factory=Sharded, repr=False)  # by what is claimed

    def partner_by_as2_id(self, as2_id: str, host: str) -> Partner | None:
        """The partner with this AS2 id, if it may use this virtual host; case matters (RFC 4130, section 6.2)."""
        found = self.as2_ids.get(as2_id)
        return found if found and found.may_use(host) else None

    def dispute(self, as2_id: str) -> str:
        """What the log says of an AS2 id that several partners claim; empty for all others."""
        names = self.claimants.get(as2_id, ())
        if len(names) < 2:
            return ""
        return f": it is claimed by {together(names)}, and nobody's until one of them gives it up"

    def problems(self) -> tuple[Problem, ...]:
        """What several partners claim."""
        return tuple(problem for key in sorted(self.conflicts) for problem in self.conflicts[key])


def build_trust_store(directory: Path, loaded: Iterable[LoadedPartner]) -> tuple[TrustStore, tuple[Problem, ...]]:
    """Index the partners, and name those that claim the same thing."""
    store, _ = changed(TrustStore(), directory, {each.name: each for each in loaded})
    return store, store.problems()


def changed(
    store: TrustStore, directory: Path, changes: Mapping[str, LoadedPartner | None]
) -> tuple[TrustStore, frozenset[str]]:
    """The store after these partners changed (None: gone), and the names of all that are other than before.

    It is the same, whichever changes led to it. `directory` is where the partners are, for the conflicts.
    """
    base = _gather(store, changes)
    names = _concerned(store, base, changes)
    before = {name: _effective(store, name) for name in names}
    after = {name: _effective(base, name) for name in names}
    edits = _Edits(base)
    for name in names:
        edits.replace(_claims(before[name]), _claims(after[name]))
    made = edits.done()
    partners = [(before[name].partner, after[name].partner) for name in names]
    accepting = [(before[name].partner or before[name].held, after[name].partner or after[name].held) for name in names]
    made = replace(
        made,
        partners=made.partners.changed({name: after[name].partner for name in names}),
        disabled=(made.disabled - names) | {name for name in names if after[name].name and not after[name].partner},
        as2_ids=made.as2_ids.changed(_by_as2_id(partners)),
        matchers=made.matchers.changed(_by_subject(made.matchers, accepting)),
        roots=made.roots.changed(_certificates(made.roots, made.holders, _unlike(partners, "trusted_roots"))),
        intermediates=made.intermediates.changed(
            _certificates(made.intermediates, made.issuers, _unlike(partners, "intermediates"))
        ),
    )
    subjects = {each.match.subject for pair in accepting for each in pair if each and each.match}
    conflicts = _conflicts(made, directory, edits.keys("owners"), _ids(store, base, names), subjects)
    return replace(made, conflicts=made.conflicts.changed(conflicts)), names


# --- What is claimed by whom, before anybody loses anything -----------------------------------------------


def _gather(store: TrustStore, changes: Mapping[str, LoadedPartner | None]) -> TrustStore:
    edits = _Edits(store)
    for name, new in changes.items():
        edits.replace(_raw_claims(store.loaded.get(name, NOBODY)), _raw_claims(new or NOBODY))
    return replace(edits.done(), loaded=store.loaded.changed(changes))


def _raw_claims(loaded: LoadedPartner) -> Claims:
    ids = {("claimants", as2_id, loaded.name): None for as2_id in loaded.as2_ids}
    return ids | {("sharers", root.sha256, loaded.name): None for root in loaded.trusted_roots}


def _concerned(store: TrustStore, base: TrustStore, changes: Iterable[str]) -> frozenset[str]:
    """Those that changed, and those that lose or get back what they share with them."""
    names = set(changes)
    changing = [each.get(name, NOBODY) for name in names for each in (store.loaded, base.loaded)]
    ids = frozenset(as2_id for loaded in changing for as2_id in loaded.as2_ids)
    roots = frozenset(root.sha256 for loaded in changing for root in loaded.trusted_roots)
    for as2_id in ids:
        names.update(_turned(store.claimants.get(as2_id, ()), base.claimants.get(as2_id, ())))
    for root in roots:
        names.update(_turned(store.sharers.get(root, ()), base.sharers.get(root, ())))
    return frozenset(names)


def _turned(before: tuple[str, ...], after: tuple[str, ...]) -> frozenset[str]:
    """Those to whom it makes a difference: alone before and not alone now, or the other way round."""
    return frozenset((*before, *after)) if (len(before) > 1) is not (len(after) > 1) else frozenset()


def _effective(store: TrustStore, name: str) -> LoadedPartner:
    """The partner without the AS2 ids that another claims, and without certificates that are another's root, too."""
    loaded = store.loaded.get(name, NOBODY)
    public = _unshared(store, loaded.public_certificates)
    partner = loaded.partner and _undisputed(store, loaded.partner)
    if len(public) == len(loaded.public_certificates) and partner is loaded.partner:
        return loaded
    return replace(loaded, partner=partner, public_certificates=public)


def _undisputed(store: TrustStore, partner: Partner) -> Partner:
    ids = tuple(each for each in partner.as2_ids if len(store.claimants[each]) == 1)
    public = _unshared(store, partner.public_certificates)
    if (len(ids), len(public)) == (len(partner.as2_ids), len(partner.public_certificates)):
        return partner
    return replace(partner, as2_ids=ids, public_certificates=public)


def _unshared(store: TrustStore, certificates: Iterable[Certificate]) -> tuple[Certificate, ...]:
    return tuple(each for each in certificates if len(store.sharers.get(each.sha256, ())) < 2)


# --- Indexes --------------------------------------------------------------------------------------------


class _Edits:
    """Changes of the indexes whose values are names or texts; what stays the same is not touched."""

    def __init__(self, store: TrustStore) -> None:
        self._store = store
        self._values: dict[tuple[str, str], set[str]] = {}

    def replace(self, old: Claims, new: Claims) -> None:
        for index, key, value in old.keys() - new.keys():
            self._at(index, key).discard(value)
        for index, key, value in new.keys() - old.keys():
            self._at(index, key).add(value)

    def keys(self, index: str) -> tuple[str, ...]:
        """Where this index changed."""
        return tuple(key for name, key in self._values if name == index)

    def done(self) -> TrustStore:
        changes: dict[str, dict[str, tuple[str, ...] | None]] = {}
        for (index, key), values in self._values.items():
            changes.setdefault(index, {})[key] = tuple(sorted(values)) or None
        indexes = {index: getattr(self._store, index).changed(each) for index, each in changes.items()}
        return replace(self._store, **indexes)

    def _at(self, index: str, key: str) -> set[str]:
        found = self._values.get((index, key))
        if found is None:
            found = self._values[index, key] = set(getattr(self._store, index).get(key, ()))
        return found


def _claims(loaded: LoadedPartner) -> Claims:
    """Where a partner stands in the indexes of names."""
    claims: Claims = {}
    for each in loaded.public_certificates:
        claims["owners", each.sha256, loaded.name] = None
        claims["same_key", each.public_key_der.hex(), loaded.name] = None
        claims["same_subject", each.subject, loaded.name] = None
    if loaded.partner:
        claims |= {("holders", each.sha256, loaded.name): None for each in loaded.partner.trusted_roots}
        claims |= {("issuers", each.sha256, loaded.name): None for each in loaded.partner.intermediates}
        claims |= {("elsewhere", each.sha256, text): None for text, each in _uses(loaded.partner)}
    return claims


def _uses(partner: Partner) -> Iterator[tuple[str, Certificate]]:
    """What each certificate of the partner that opens no connection is for instead."""
    for each in dict.fromkeys((*partner.trusted_roots, *partner.intermediates, *partner.message_certificates)):
        if each in partner.public_certificates:
            continue
        if each in partner.trusted_roots:
            use = "as a root only"
        else:
            use = "as an intermediate only" if each in partner.intermediates else "for messages only"
        yield f"{partner.name}, but {use}", each


Pairs = list[tuple[Partner | None, Partner | None]]  # before, and after


def _by_as2_id(pairs: Pairs) -> dict[str, Partner | None]:
    found: dict[str, Partner | None] = {as2_id: None for old, _ in pairs if old for as2_id in old.as2_ids}
    return found | {as2_id: new for _, new in pairs if new for as2_id in new.as2_ids}


def _by_subject(matchers: Index[Partner], pairs: Pairs) -> dict[str, tuple[Partner, ...] | None]:
    found: dict[str, dict[str, Partner]] = {}
    for old, new in pairs:
        for each in (old, new):
            if each and each.match and each.match.subject not in found:
                present = matchers.get(each.match.subject, ())
                found[each.match.subject] = {partner.name: partner for partner in present}
        if old and old.match:
            del found[old.match.subject][old.name]
        if new and new.match:
            found[new.match.subject][new.name] = new
    return {subject: tuple(those[name] for name in sorted(those)) or None for subject, those in found.items()}


def _unlike(pairs: Pairs, use: str) -> Iterator[Certificate]:
    """What only one of the two, before and after, has for this use."""
    for old, new in pairs:
        before: frozenset[Certificate] = frozenset(getattr(old, use) if old else ())
        yield from before.symmetric_difference(getattr(new, use) if new else ())


def _certificates(
    index: Index[Certificate], names: Names, touched: Iterable[Certificate]
) -> dict[str, tuple[Certificate, ...] | None]:
    """What an index has for the subjects of these; a certificate that nobody holds any longer drops out."""
    found: dict[str, dict[str, Certificate]] = {}
    for each in touched:
        those = found.setdefault(each.subject, {one.sha256: one for one in index.get(each.subject, ())})
        those[each.sha256] = each
    return {
        subject: tuple(those[sha256] for sha256 in sorted(those) if sha256 in names) or None
        for subject, those in found.items()
    }


# --- Conflicts ------------------------------------------------------------------------------------------


def _ids(store: TrustStore, base: TrustStore, names: Iterable[str]) -> frozenset[str]:
    both = ((store.loaded.get(name, NOBODY), base.loaded.get(name, NOBODY)) for name in names)
    return frozenset(as2_id for pair in both for each in pair for as2_id in each.as2_ids)


def _conflicts(
    store: TrustStore, directory: Path, certificates: Iterable[str], ids: Iterable[str], subjects: Iterable[str]
) -> dict[str, tuple[Problem, ...] | None]:
    """What is claimed twice among these; None where that is over."""
    found: dict[str, tuple[Problem, ...] | None] = {}
    for sha256 in certificates:
        names = store.owners.get(sha256, ())
        public = store.loaded[names[0]].public_certificates if len(names) > 1 else ()
        found[f"certificate {sha256}"] = tuple(certificate_conflict(directory, sha256, public, names)) or None
    for as2_id in ids:
        found[f"id {as2_id}"] = tuple(id_conflict(directory, as2_id, store.claimants.get(as2_id, ()))) or None
    for subject in subjects:
        found[f"match {subject}"] = tuple(match_conflicts(directory, store.matchers.get(subject, ()))) or None
    return {key: problems for key, problems in found.items() if problems or key in store.conflicts}
