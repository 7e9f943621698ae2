"""The version of a configuration: a digest over all that a snapshot was built from, but for private keys."""

from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path

from mtlsd.config import Configuration
from mtlsd.identity import Certificate, HostKeys, KeyPair, Organization, RevocationList, TrustStore
from mtlsd.journal import canonical


def version_of(
    configuration: Configuration,
    keys: Mapping[str, HostKeys],
    organizations: Mapping[str, Organization],
    truststore: TrustStore,
) -> str:
    """The same for the same settings, certificates and partners, on any machine and in any order of files."""
    told = {
        "configuration": _plain(configuration),
        "hosts": _plain(keys),
        "organizations": _plain(organizations),
        "partners": _plain(truststore.partners),
        "disabled": sorted(truststore.disabled),
    }
    return sha256(canonical(told).encode()).hexdigest()


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
