"""The version of a configuration: a digest over everything that a snapshot was built from, except private keys.

It is a digest over digests, so that a change of one partner needs work for one partner only: there is a digest of each
partner, one of each of 256 groups of partners, and the version is over the groups and over everything else.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path

from mtlsd.config.model import Configuration
from mtlsd.journal.proof.chain import canonical
from mtlsd.partners.ours.host_keys import HostKeys
from mtlsd.partners.ours.organization import Organization
from mtlsd.partners.trust_store import TrustStore
from mtlsd.pki.certificate import Certificate
from mtlsd.pki.crl import RevocationList
from mtlsd.pki.key_pair import KeyPair

GROUPS = 256  # a partner is in the group of the first octet of its name's SHA-256, on any machine


@dataclass(frozen=True, slots=True)
class PartnersDigest:
    """The digests of the partners of one trust store; they do not depend on the changes that led to it."""

    groups: tuple[Mapping[str, str], ...] = field(default=({},) * GROUPS, repr=False)  # by name
    digests: tuple[str, ...] = field(default=("",) * GROUPS, repr=False)  # of the groups

    def changed(self, store: TrustStore, names: Iterable[str]) -> "PartnersDigest":
        """The digests after these partners changed to their state in the store."""
        groups, digests = list(self.groups), list(self.digests)
        touched: dict[int, dict[str, str]] = {}
        for name in names:
            at = sha256(name.encode("utf-8", "surrogateescape")).digest()[0]
            group = touched.setdefault(at, dict(groups[at]))
            group.pop(name, None)
            if digest := _of_partner(store, name):
                group[name] = digest
        for at, group in touched.items():
            groups[at], digests[at] = group, _digest(group) if group else ""
        return PartnersDigest(tuple(groups), tuple(digests))


def digest_of_own(
    configuration: Configuration, keys: Mapping[str, HostKeys], organizations: Mapping[str, Organization]
) -> str:
    """The digest of everything that is not below partners/."""
    told = {
        "configuration": _plain(configuration),
        "hosts": _plain(keys),
        "organizations": _plain(organizations),
    }
    return _digest(told)


def version_of(own: str, partners: PartnersDigest) -> str:
    """The version: equal for equal settings, certificates and partners, on any machine and in any order of files."""
    return sha256("\n".join((own, *partners.digests)).encode()).hexdigest()


def _of_partner(store: TrustStore, name: str) -> str:
    if partner := store.partners.get(name):
        return _digest(_plain(partner))
    return "disabled" if name in store.disabled else ""


def _digest(value: object) -> str:
    return sha256(canonical(value).encode()).hexdigest()


def _plain(value: object) -> object:
    match value:
        case Certificate() | RevocationList():
            return value.sha256
        case KeyPair():
            return [value.certificate.sha256, *(each.sha256 for each in value.chain), _plain(value.dates)]
        case Path():
            return str(value)
        case datetime():
            return value.isoformat()
        case str() | int() | float() | None:
            return value
        case Mapping():
            return {str(name): _plain(each) for name, each in value.items()}
        case frozenset() | set():
            return sorted(str(_plain(each)) for each in value)
    if is_dataclass(value):
        return {each.name: _plain(getattr(value, each.name)) for each in fields(value)}
    assert isinstance(value, Iterable), type(value)
    return [_plain(each) for each in value]
