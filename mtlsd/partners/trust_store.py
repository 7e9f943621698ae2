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
by these rules (`effective`), and index the rest. A change of one partner may affect others, so `changed` builds all
indexes again from partners that are already parsed, and then compares. Plain dictionaries are quick enough, and there
is no second way to a store that could differ from the first.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from operator import attrgetter
from pathlib import Path
from typing import Any, TypeVar

from mtlsd.errors import Problem
from mtlsd.partners.conflicts import certificate_conflict, id_conflict, match_conflicts, together
from mtlsd.partners.partner import LoadedPartner, Partner
from mtlsd.pki.certificate import Certificate

K = TypeVar("K")
T = TypeVar("T")
Index = Mapping[str, tuple[T, ...]]


@dataclass(frozen=True, slots=True)
class TrustStore:
    """The partners, and the indexes of their claims. The tuples are in the order of the partners' names."""

    partners: Mapping[str, Partner] = field(default_factory=dict)  # by name, without the disabled
    disabled: frozenset[str] = frozenset()  # names
    owners: Index[str] = field(default_factory=dict, repr=False)  # names, by sha256 of a public certificate
    matchers: Index[Partner] = field(default_factory=dict, repr=False)  # by the subject in [match]
    roots: Index[Certificate] = field(default_factory=dict, repr=False)  # by subject
    intermediates: Index[Certificate] = field(default_factory=dict, repr=False)  # by subject
    others: Index[str] = field(default_factory=dict, repr=False)  # names, by sha256 for messages or as an intermediate
    same_key: Mapping[bytes, tuple[str, ...]] = field(default_factory=dict, repr=False)  # names, by public key in DER
    same_subject: Index[str] = field(default_factory=dict, repr=False)  # names, by subject of a public certificate
    loaded: Mapping[str, LoadedPartner] = field(default_factory=dict, repr=False)  # as they were read, by name
    effective: Mapping[str, LoadedPartner] = field(default_factory=dict, repr=False)  # without what they lost
    claimants: Index[str] = field(default_factory=dict, repr=False)  # names, of the disabled too, by AS2 id
    sharers: Index[str] = field(default_factory=dict, repr=False)  # names, of the disabled too, by sha256 of a root
    conflicts: Mapping[str, tuple[Problem, ...]] = field(default_factory=dict, repr=False)  # by what is claimed

    def partner_by_as2_id(self, as2_id: str, host: str) -> Partner | None:
        """The partner with this AS2 id, if it may use this virtual host; case matters (RFC 4130, section 6.2)."""
        names = self.claimants.get(as2_id, ())
        found = self.partners.get(names[0]) if len(names) == 1 else None
        return found if found and found.may_use(host) else None

    def holders(self, root: Certificate) -> tuple[str, ...]:
        """The names of the partners in use that have this root."""
        return tuple(name for name in self.sharers.get(root.sha256, ()) if name in self.partners)

    def uses_elsewhere(self, certificate: Certificate) -> tuple[str, ...]:
        """The uses of a certificate by partners whose connections it does not open, with their names."""
        names = sorted({*self.holders(certificate), *self.others.get(certificate.sha256, ())})
        return tuple(f"{name}, but {use}" for name in names if (use := _other_use(certificate, self.partners[name])))

    def dispute(self, as2_id: str) -> str:
        """The conflict about an AS2 id that several partners claim, for the log; empty for all other ids."""
        names = self.claimants.get(as2_id, ())
        if len(names) < 2:
            return ""
        return f": {together(names)} claim this id; remove it from all but one of them"

    def problems(self) -> tuple[Problem, ...]:
        """The conflicts of all claims."""
        return tuple(problem for key in sorted(self.conflicts) for problem in self.conflicts[key])


def build_trust_store(directory: Path, loaded: Iterable[LoadedPartner]) -> TrustStore:
    """The trust store of these partners; `directory` is named in the conflicts between them."""
    read = {each.name: each for each in sorted(loaded, key=attrgetter("name"))}
    names = [(name,) for name in read]
    claimants = _indexed(
        (as2_id, name) for name, each in zip(names, read.values(), strict=True) for as2_id in each.as2_ids
    )
    sharers = _indexed(
        (root.sha256, name) for name, each in zip(names, read.values(), strict=True) for root in each.trusted_roots
    )
    effective = read | _without_losses(read, claimants, sharers)
    store = TrustStore(loaded=read, effective=effective, claimants=claimants, sharers=sharers)
    store = replace(store, **_indexes(names, effective))
    return replace(store, conflicts=_conflicts(store, directory))


def changed(
    store: TrustStore, directory: Path, changes: Mapping[str, LoadedPartner | None]
) -> tuple[TrustStore, frozenset[str]]:
    """The store after these partners changed (None: removed), and the names of all partners that differ from before."""
    loaded = {name: each for name, each in {**store.loaded, **changes}.items() if each is not None}
    made = build_trust_store(directory, loaded.values())
    before, after = store.effective, made.effective
    unlike = {name for name, each in after.items() if each is not before.get(name) and each != before.get(name)}
    return made, frozenset(unlike | changes.keys())


# --- The partners without the claims that they lose -----------------------------------------------------------------


def _without_losses(
    read: Mapping[str, LoadedPartner], claimants: Index[str], sharers: Index[str]
) -> dict[str, LoadedPartner]:
    """The partners that lose an AS2 id that others claim, or a public certificate that is also a root of others."""
    disputed, shared = dict(_several(claimants)), dict(_several(sharers))
    names = {name for several in (*disputed.values(), *shared.values()) for name in several}
    return {name: _without(read[name], disputed, shared) for name in names}


def _without(loaded: LoadedPartner, disputed: Collection[str], shared: Collection[str]) -> LoadedPartner:
    public = tuple(each for each in loaded.public_certificates if each.sha256 not in shared)
    if loaded.partner is None:
        return replace(loaded, public_certificates=public)
    ids = tuple(each for each in loaded.partner.as2_ids if each not in disputed)
    used = tuple(each for each in loaded.partner.public_certificates if each.sha256 not in shared)
    return replace(
        loaded, public_certificates=public, partner=replace(loaded.partner, as2_ids=ids, public_certificates=used)
    )


# --- Indexes --------------------------------------------------------------------------------------------------------


def _indexed(pairs: Iterable[tuple[K, tuple[T]]]) -> dict[K, tuple[T, ...]]:
    """The values by key, each once. Pairs with the same value must have the same tuple, and follow one another."""
    index: dict[K, tuple[T, ...]] = {}
    several: dict[K, list[T]] = {}
    for key, value in pairs:
        if (first := index.setdefault(key, value)) is not value:
            values = several.setdefault(key, [*first])
            if values[-1] is not value[0]:
                values.append(value[0])
    index.update((key, tuple(values)) for key, values in several.items())
    return index


def _indexes(names: Iterable[tuple[str]], effective: Mapping[str, LoadedPartner]) -> dict[str, Any]:
    """The indexes of the store. Disabled partners keep their public certificates and their [match]."""
    partners = {name: each.partner for name, each in effective.items() if each.partner}
    public = [
        (each, name)
        for name, loaded in zip(names, effective.values(), strict=True)
        for each in loaded.public_certificates
    ]
    matching = (each.partner or each.held for each in effective.values())
    return {
        "partners": partners,
        "disabled": frozenset(effective.keys() - partners.keys()),
        "owners": _indexed((each.sha256, name) for each, name in public),
        "same_key": _indexed((each.public_key_der, name) for each, name in public),
        "same_subject": _indexed((each.subject, name) for each, name in public),
        "matchers": _indexed((each.match.subject, (each,)) for each in matching if each and each.match),
        "roots": _by_subject(root for partner in partners.values() for root in partner.trusted_roots),
        "intermediates": _by_subject(each for partner in partners.values() for each in partner.intermediates),
        "others": _indexed(
            (each.sha256, name)
            for name, loaded in zip(names, effective.values(), strict=True)
            if loaded.partner
            for each in loaded.partner.message_certificates + loaded.partner.intermediates
        ),
    }


def _by_subject(certificates: Iterable[Certificate]) -> dict[str, tuple[Certificate, ...]]:
    unique = {each.sha256: each for each in certificates}
    return _indexed((each.subject, (each,)) for each in unique.values())


def _other_use(certificate: Certificate, partner: Partner) -> str:
    """The use of a certificate that opens no connection; empty for a public certificate."""
    uses = (
        (partner.public_certificates, ""),
        (partner.trusted_roots, "as a root only"),
        (partner.intermediates, "as an intermediate only"),
        (partner.message_certificates, "for messages only"),
    )
    return next((use for certificates, use in uses if certificate in certificates), "")


# --- Conflicts ------------------------------------------------------------------------------------------------------


def _conflicts(store: TrustStore, directory: Path) -> dict[str, tuple[Problem, ...]]:
    """The conflicts, by the thing that is claimed."""
    found: dict[str, tuple[Problem, ...]] = {}
    for sha256, names in _several(store.owners):
        certificate = next(each for each in store.loaded[names[0]].public_certificates if each.sha256 == sha256)
        found[f"certificate {sha256}"] = (certificate_conflict(directory, certificate, names),)
    for as2_id, names in _several(store.claimants):
        found[f"id {as2_id}"] = tuple(id_conflict(directory, as2_id, names))
    for subject, partners in _several(store.matchers):
        found[f"match {subject}"] = tuple(match_conflicts(directory, partners))
    return {key: problems for key, problems in found.items() if problems}


def _several(index: Index[T]) -> Iterator[tuple[str, tuple[T, ...]]]:
    return ((key, values) for key, values in index.items() if len(values) > 1)
