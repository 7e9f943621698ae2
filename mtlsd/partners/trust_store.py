"""The trust store: every partner, by certificate, by AS2 id and by subject. Immutable.

The rules, and why:

- If two partners claim the same AS2 id, certificate or subject, neither has it until one of the claims is removed. A
  guess would let one partner speak for the other.
- An AS2 id is one id on all virtual hosts: the keys of the journal and of the backend do not know the host.
- A disabled partner keeps its certificates and its AS2 ids. Otherwise an error in its file would hand them to another
  partner.
- Partners may share a root. A self-signed CA that several partners have is a root of each of them, and a public
  certificate of none of them: it identifies a CA, not a partner.

The store is built in three steps: gather who claims what (`claimants`, `sharers`), take from each partner what it loses
by these rules (`effective`), and index what is left. A change of one partner may concern others, so `changed` builds
all indexes again from partners that are already parsed, and then compares. Plain dictionaries are quick enough, and
there is no second way to a store that could differ from the first.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from operator import attrgetter
from pathlib import Path
from typing import Any, Generic, TypeVar

from mtlsd.errors import Problem
from mtlsd.partners.conflicts import certificate_conflict, id_conflict, match_conflicts, together
from mtlsd.partners.partner import LoadedPartner, Partner
from mtlsd.pki.certificate import Certificate

T = TypeVar("T")
Index = Mapping[str, tuple[T, ...]]


@dataclass(frozen=True, slots=True)
class TrustStore:
    """The partners, and the indexes of their claims. The tuples are in the order of names or fingerprints."""

    partners: Mapping[str, Partner] = field(default_factory=dict)  # by name, without the disabled
    disabled: frozenset[str] = frozenset()  # names
    owners: Index[str] = field(default_factory=dict, repr=False)  # names, by sha256 of a public certificate
    matchers: Index[Partner] = field(default_factory=dict, repr=False)  # by the subject in [match]
    as2_ids: Mapping[str, Partner] = field(default_factory=dict, repr=False)  # without those claimed twice
    elsewhere: Index[str] = field(default_factory=dict, repr=False)  # uses of certificates that open no connection
    roots: Index[Certificate] = field(default_factory=dict, repr=False)  # by subject
    intermediates: Index[Certificate] = field(default_factory=dict, repr=False)  # by subject
    holders: Index[str] = field(default_factory=dict, repr=False)  # names, by sha256 of a trusted root
    same_key: Index[str] = field(default_factory=dict, repr=False)  # names, by public key in hex
    same_subject: Index[str] = field(default_factory=dict, repr=False)  # names, by subject of a public certificate
    loaded: Mapping[str, LoadedPartner] = field(default_factory=dict, repr=False)  # as they were read, by name
    effective: Mapping[str, LoadedPartner] = field(default_factory=dict, repr=False)  # without what they lost
    claimants: Index[str] = field(default_factory=dict, repr=False)  # names, of the disabled too, by AS2 id
    sharers: Index[str] = field(default_factory=dict, repr=False)  # names, of the disabled too, by sha256 of a root
    conflicts: Mapping[str, tuple[Problem, ...]] = field(default_factory=dict, repr=False)  # by what is claimed

    def partner_by_as2_id(self, as2_id: str, host: str) -> Partner | None:
        """The partner with this AS2 id, if it may use this virtual host; case matters (RFC 4130, section 6.2)."""
        found = self.as2_ids.get(as2_id)
        return found if found and found.may_use(host) else None

    def dispute(self, as2_id: str) -> str:
        """The conflict about an AS2 id that several partners claim, for the log; empty for all other ids."""
        names = self.claimants.get(as2_id, ())
        if len(names) < 2:
            return ""
        return f": {together(names)} claim this id; remove it from all but one of them"

    def problems(self) -> tuple[Problem, ...]:
        """The conflicts of all claims."""
        return tuple(problem for key in sorted(self.conflicts) for problem in self.conflicts[key])


def build_trust_store(directory: Path, loaded: Iterable[LoadedPartner]) -> tuple[TrustStore, tuple[Problem, ...]]:
    """The trust store of these partners, and the conflicts between them; `directory` is named in the problems."""
    read = {each.name: each for each in sorted(loaded, key=attrgetter("name"))}
    claimants, sharers = _claimed(read)
    effective = {name: _effective(each, claimants, sharers) for name, each in read.items()}
    store = TrustStore(loaded=read, effective=effective, claimants=claimants, sharers=sharers)
    store = replace(store, **_of_public(effective), **_of_partners(effective))
    store = replace(store, conflicts=_conflicts(store, directory))
    return store, store.problems()


def changed(
    store: TrustStore, directory: Path, changes: Mapping[str, LoadedPartner | None]
) -> tuple[TrustStore, frozenset[str]]:
    """The store after these partners changed (None: removed), and the names of all partners that differ from before."""
    loaded = {name: each for name, each in {**store.loaded, **changes}.items() if each is not None}
    made, _ = build_trust_store(directory, loaded.values())
    before, after = store.effective, made.effective
    unlike = {name for name, each in after.items() if each is not before.get(name) and each != before.get(name)}
    return made, frozenset(unlike | changes.keys())


# --- What a partner keeps of its claims -----------------------------------------------------------------------------


def _claimed(read: Mapping[str, LoadedPartner]) -> tuple[Index[str], Index[str]]:
    """The names of the partners by AS2 id, and by sha256 of a trusted root."""
    claimants, sharers = _Values[str](), _Values[str]()
    for name, each in read.items():
        for as2_id in each.as2_ids:
            claimants.add(as2_id, name)
        for root in each.trusted_roots:
            sharers.add(root.sha256, name)
    return claimants.index(), sharers.index()


def _effective(loaded: LoadedPartner, claimants: Index[str], sharers: Index[str]) -> LoadedPartner:
    """The partner without AS2 ids that others claim, and without public certificates that are also roots of others."""
    disputed = [each for each in loaded.as2_ids if len(claimants[each]) > 1]
    shared = [each.sha256 for each in loaded.public_certificates if len(sharers.get(each.sha256, ())) > 1]
    if not shared and not disputed:
        return loaded
    public = _without(loaded.public_certificates, shared)
    partner = loaded.partner and replace(
        loaded.partner,
        as2_ids=tuple(each for each in loaded.partner.as2_ids if each not in disputed),
        public_certificates=_without(loaded.partner.public_certificates, shared),
    )
    return replace(loaded, partner=partner, public_certificates=public)


def _without(certificates: Iterable[Certificate], shared: Collection[str]) -> tuple[Certificate, ...]:
    return tuple(each for each in certificates if each.sha256 not in shared)


# --- Indexes --------------------------------------------------------------------------------------------------------


class _Values(Generic[T]):
    """An index while it is filled: the values by key, each once. Equal values of a key must come one after another."""

    def __init__(self) -> None:
        self._values: dict[str, list[T]] = {}

    def add(self, key: str, value: T) -> None:
        if (present := self._values.get(key)) is None:
            self._values[key] = [value]
        elif present[-1] is not value:
            present.append(value)

    def index(self) -> dict[str, tuple[T, ...]]:
        return {key: tuple(values) for key, values in self._values.items()}


def _of_public(effective: Mapping[str, LoadedPartner]) -> dict[str, Any]:
    """The indexes of public certificates, also of disabled partners."""
    owners, same_key, same_subject = _Values[str](), _Values[str](), _Values[str]()
    for name, loaded in effective.items():
        for each in loaded.public_certificates:
            owners.add(each.sha256, name)
            same_key.add(each.public_key_der.hex(), name)
            same_subject.add(each.subject, name)
    return {"owners": owners.index(), "same_key": same_key.index(), "same_subject": same_subject.index()}


def _of_partners(effective: Mapping[str, LoadedPartner]) -> dict[str, Any]:
    """The partners in use, and the indexes of them."""
    partners = {name: each.partner for name, each in effective.items() if each.partner}
    holders, elsewhere, matchers = _Values[str](), _Values[str](), _Values[Partner]()
    roots: dict[str, Certificate] = {}
    intermediates: dict[str, Certificate] = {}
    for name, partner in partners.items():
        for root in partner.trusted_roots:
            holders.add(root.sha256, name)
            roots[root.sha256] = root
        for each in partner.intermediates:
            intermediates[each.sha256] = each
        for sha256, use in _uses(partner):
            elsewhere.add(sha256, use)
    for loaded in effective.values():
        if (accepting := loaded.partner or loaded.held) and accepting.match:
            matchers.add(accepting.match.subject, accepting)
    return {
        "partners": partners,
        "disabled": frozenset(effective.keys() - partners.keys()),
        "as2_ids": {as2_id: partner for partner in partners.values() for as2_id in partner.as2_ids},
        "holders": holders.index(),
        "elsewhere": elsewhere.index(),
        "matchers": matchers.index(),
        "roots": _by_subject(roots),
        "intermediates": _by_subject(intermediates),
    }


def _by_subject(certificates: Mapping[str, Certificate]) -> dict[str, tuple[Certificate, ...]]:
    """The certificates by subject, in the order of sha256."""
    found = _Values[Certificate]()
    for sha256 in sorted(certificates):
        found.add(certificates[sha256].subject, certificates[sha256])
    return found.index()


def _uses(partner: Partner) -> Iterator[tuple[str, str]]:
    """The sha256 and the use of each certificate of the partner that opens no connection."""
    public = partner.public_certificates
    uses = {each: "for messages only" for each in partner.message_certificates if each not in public}
    uses |= {each: "as an intermediate only" for each in partner.intermediates if each not in public}
    uses |= {each: "as a root only" for each in partner.trusted_roots if each not in public}
    return ((each.sha256, f"{partner.name}, but {use}") for each, use in uses.items())


# --- Conflicts ------------------------------------------------------------------------------------------------------


def _conflicts(store: TrustStore, directory: Path) -> dict[str, tuple[Problem, ...]]:
    """The conflicts, by the thing that is claimed."""
    found: dict[str, tuple[Problem, ...]] = {}
    for sha256, names in _several(store.owners):
        public = store.loaded[names[0]].public_certificates
        found[f"certificate {sha256}"] = tuple(certificate_conflict(directory, sha256, public, names))
    for as2_id, names in _several(store.claimants):
        found[f"id {as2_id}"] = tuple(id_conflict(directory, as2_id, names))
    for subject, partners in _several(store.matchers):
        found[f"match {subject}"] = tuple(match_conflicts(directory, partners))
    return {key: problems for key, problems in found.items() if problems}


def _several(index: Index[T]) -> Iterator[tuple[str, tuple[T, ...]]]:
    return ((key, values) for key, values in index.items() if len(values) > 1)
