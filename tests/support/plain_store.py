"""The rules of the trust store at their plainest: all partners at once, in dicts, without a thought for the cost."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import combinations

from mtlsd.partners.partner import LoadedPartner, Partner
from mtlsd.pki.certificate import Certificate


@dataclass
class PlainStore:
    """What a `TrustStore` says, as sets."""

    partners: dict[str, Partner] = field(default_factory=dict)
    disabled: set[str] = field(default_factory=set)
    owners: dict[str, set[str]] = field(default_factory=dict)
    as2_ids: dict[str, str] = field(default_factory=dict)
    matchers: dict[str, set[str]] = field(default_factory=dict)
    elsewhere: dict[str, set[str]] = field(default_factory=dict)
    roots: dict[str, set[Certificate]] = field(default_factory=dict)
    intermediates: dict[str, set[Certificate]] = field(default_factory=dict)
    holders: dict[str, set[str]] = field(default_factory=dict)
    same_key: dict[bytes, set[str]] = field(default_factory=dict)
    same_subject: dict[str, set[str]] = field(default_factory=dict)
    conflicts: set[str] = field(default_factory=set)


def plain_store(loaded: Iterable[LoadedPartner]) -> PlainStore:
    """The store of these partners."""
    loaded = sorted(loaded, key=lambda each: each.name)
    roots = Counter(root for each in loaded for root in set(each.trusted_roots))
    claims = Counter(as2_id for each in loaded for as2_id in set(each.as2_ids))
    store = PlainStore()
    for each in loaded:
        _add(store, each, {root for root, times in roots.items() if times > 1}, claims)
    for subject in store.matchers:
        for one, other in combinations(sorted(store.matchers[subject]), 2):
            first, second = store.partners[one].match, store.partners[other].match
            assert first
            assert second
            if set(first.san) <= set(second.san) or set(second.san) <= set(first.san):
                store.conflicts.add(f"match {subject}")
    store.conflicts |= {f"id {as2_id}" for as2_id, times in claims.items() if times > 1}
    store.conflicts |= {f"certificate {sha256}" for sha256, names in store.owners.items() if len(names) > 1}
    return store


def _add(store: PlainStore, loaded: LoadedPartner, shared: set[Certificate], claims: Counter[str]) -> None:
    name, public = loaded.name, tuple(each for each in loaded.public_certificates if each not in shared)
    for each in public:
        store.owners.setdefault(each.sha256, set()).add(name)
        store.same_key.setdefault(each.public_key_der, set()).add(name)
        store.same_subject.setdefault(each.subject, set()).add(name)
    if loaded.partner is None:
        store.disabled.add(name)
        return
    ids = tuple(each for each in loaded.partner.as2_ids if claims[each] == 1)
    partner = store.partners[name] = replace(loaded.partner, as2_ids=ids, public_certificates=public)
    store.as2_ids |= dict.fromkeys(ids, name)
    if partner.match:
        store.matchers.setdefault(partner.match.subject, set()).add(name)
    for each in partner.trusted_roots:
        store.roots.setdefault(each.subject, set()).add(each)
        store.holders.setdefault(each.sha256, set()).add(name)
    for each in partner.intermediates:
        store.intermediates.setdefault(each.subject, set()).add(each)
    for each in {*partner.trusted_roots, *partner.intermediates, *partner.message_certificates} - set(public):
        store.elsewhere.setdefault(each.sha256, set()).add(name)
