"""The trust store: every partner, found at once by certificate, by AS2 id or by subject. Immutable.

Two partners that claim the same thing both lose it until that is mended: a guess would let one speak for the
other. That they use different hosts makes no AS2 id two: the keys of the journal and of the backend know no host.
A disabled partner keeps its public certificates and its AS2 ids, or a mistake in its file would hand them to another.
A self-signed CA is no such thing: partners may share one, and it is a root for each and the certificate of none then.
"""

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import chain, combinations
from pathlib import Path
from typing import TypeVar

from mtlsd.errors import Problem
from mtlsd.identity.certificates import Certificate
from mtlsd.identity.doubts import doubts
from mtlsd.identity.files import is_directory
from mtlsd.identity.partners import SETTINGS, LoadedPartner, Partner, load_partner
from mtlsd.identity.testca import without_tests

T = TypeVar("T")
Index = Mapping[str, tuple[T, ...]]


@dataclass(frozen=True, slots=True)
class TrustStore:
    """Who may be whom. An empty one knows nobody."""

    partners: Mapping[str, Partner] = field(default_factory=dict)  # by name
    disabled: frozenset[str] = frozenset()  # names
    owners: Index[str] = field(default_factory=dict, repr=False)  # names, by sha256 of a public certificate
    matchers: Index[Partner] = field(default_factory=dict, repr=False)  # by the subject in [match]
    as2_ids: Mapping[str, Partner] = field(default_factory=dict, repr=False)  # without those claimed twice
    disputed: Index[str] = field(default_factory=dict, repr=False)  # names, by AS2 id that several claim
    elsewhere: Index[str] = field(default_factory=dict, repr=False)  # what opens no connection, by sha256: its use
    roots: Index[Certificate] = field(default_factory=dict, repr=False)  # by subject
    intermediates: Index[Certificate] = field(default_factory=dict, repr=False)  # by subject
    holders: Index[str] = field(default_factory=dict, repr=False)  # names, by sha256 of a trusted root
    same_key: Index[str] = field(default_factory=dict, repr=False)  # names, by public key in hex
    same_subject: Index[str] = field(default_factory=dict, repr=False)  # names, by subject of a public certificate

    def partner_by_as2_id(self, as2_id: str, host: str) -> Partner | None:
        """The partner with this AS2 id, if it may use this virtual host; case matters (RFC 4130, section 6.2)."""
        found = self.as2_ids.get(as2_id)
        return found if found and found.may_use(host) else None

    def dispute(self, as2_id: str) -> str:
        """What the log says of an AS2 id that several partners claim; empty for all others."""
        names = self.disputed.get(as2_id)
        return f": it is claimed by {_and(names)}, and nobody's until one of them gives it up" if names else ""


def load_partners(
    directory: Path, now: datetime | None = None, *, production: bool = False
) -> tuple[TrustStore, tuple[Problem, ...], tuple[Problem, ...]]:
    """Read `certs/partners/`: the store, the problems, the warnings; never raises for what it finds there.

    With `now`, a partner whose certificates are all out of their dates is a warning, too. In production, what a test
    CA made counts for nothing.
    """
    problems: list[Problem] = []
    warnings: list[Problem] = []
    loaded = tuple(map(load_partner, _partner_directories(directory, problems, warnings)))
    if production:
        loaded = tuple(without_tests(directory / each.name, each) for each in loaded)
    if not loaded and not problems:
        problems.append(Problem(directory, "no partners: every client certificate is refused"))
    for each in loaded:
        problems += each.problems
        warnings += each.warnings
    store, conflicts = build_trust_store(directory, loaded)
    for partner in store.partners.values():
        warnings += doubts(directory / partner.name, partner, now)
    return store, (*problems, *conflicts), tuple(warnings)


def load_each(directory: Path) -> tuple[LoadedPartner, ...]:
    """Read `certs/partners/` one by one, as they stand; nothing is said of what is no partner."""
    return tuple(map(load_partner, _partner_directories(directory, [], [])))


def build_trust_store(directory: Path, loaded: tuple[LoadedPartner, ...]) -> tuple[TrustStore, tuple[Problem, ...]]:
    """Index the partners, and name those that claim the same thing."""
    claimants = _names_by(str, ((each.name, as2_id) for each in loaded for as2_id in each.as2_ids))
    shared = _shared_roots(loaded)
    loaded = tuple(_without_shared(each, shared) for each in loaded)
    partners = tuple(_undisputed(each.partner, claimants) for each in loaded if each.partner)
    held = tuple(each.held for each in loaded if each.held)
    public = tuple((each.name, certificate) for each in loaded for certificate in each.public_certificates)
    roots = tuple((each.name, certificate) for each in partners for certificate in each.trusted_roots)
    store = TrustStore(
        partners={each.name: each for each in partners},
        disabled=frozenset(each.name for each in loaded if each.partner is None),
        owners=_names_by(lambda certificate: certificate.sha256, public),
        elsewhere=_names_by(lambda certificate: certificate.sha256, chain.from_iterable(map(_uses, partners))),
        matchers=_index((each.match.subject, each) for each in (*partners, *held) if each.match),
        as2_ids={as2_id: each for each in partners for as2_id in each.as2_ids},
        disputed={as2_id: names for as2_id, names in claimants.items() if len(names) > 1},
        roots=_index((root.subject, root) for _, root in roots),
        intermediates=_index((ca.subject, ca) for each in partners for ca in each.intermediates),
        holders=_names_by(lambda certificate: certificate.sha256, roots),
        same_key=_names_by(lambda certificate: certificate.public_key_der.hex(), public),
        same_subject=_names_by(lambda certificate: certificate.subject, public),
    )
    return store, tuple(_conflicts(directory, store, {each.sha256: each for _, each in public}, claimants))


def _partner_directories(directory: Path, problems: list[Problem], warnings: list[Problem]) -> Iterator[Path]:
    try:
        paths = sorted(directory.iterdir())
    except OSError as error:
        problems.append(Problem(directory, f"cannot be read: {error.strerror}"))
        return
    for path in paths:
        if path.name.startswith(".") or path.suffix == ".md":
            continue
        if not is_directory(path):
            warnings.append(Problem(path, "not read: a partner is a directory"))
        elif not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(directory)):
            problems.append(Problem(path, "a symbolic link that leads out of the partners' directory"))
        else:
            yield path


# --- Indexes --------------------------------------------------------------------------------------------


def _index(pairs: Iterable[tuple[str, T]]) -> Index[T]:
    """Every value of a key, once each."""
    gathered: defaultdict[str, dict[object, T]] = defaultdict(dict)
    for key, value in pairs:
        gathered[key][value.sha256 if isinstance(value, Certificate) else id(value)] = value
    return {key: tuple(values.values()) for key, values in gathered.items()}


def _names_by(key: Callable[[T], str], owned: Iterable[tuple[str, T]]) -> Index[str]:
    gathered: defaultdict[str, dict[str, None]] = defaultdict(dict)
    for name, thing in owned:
        gathered[key(thing)][name] = None
    return {each: tuple(names) for each, names in gathered.items()}


def _uses(partner: Partner) -> Iterator[tuple[str, Certificate]]:
    """What each certificate of the partner that opens no connection is for instead."""
    for each in dict.fromkeys((*partner.trusted_roots, *partner.intermediates, *partner.message_certificates)):
        if each in partner.trusted_roots:
            use = "as a root only"
        else:
            use = "as an intermediate only" if each in partner.intermediates else "for messages only"
        if each not in partner.public_certificates:
            yield f"{partner.name}, but {use}", each


def _shared_roots(loaded: tuple[LoadedPartner, ...]) -> frozenset[Certificate]:
    times = Counter(root for each in loaded for root in each.trusted_roots)
    return frozenset(root for root, count in times.items() if count > 1)


def _without_shared(loaded: LoadedPartner, shared: frozenset[Certificate]) -> LoadedPartner:
    """The partner without the public certificates that are another partner's root, too."""
    partner, public = loaded.partner, tuple(each for each in loaded.public_certificates if each not in shared)
    if partner:
        used = tuple(each for each in partner.public_certificates if each in public)
        partner = replace(partner, public_certificates=used)
    return replace(loaded, partner=partner, public_certificates=public)


def _undisputed(partner: Partner, claimants: Index[str]) -> Partner:
    """The partner without the AS2 ids that another one claims, too."""
    return replace(partner, as2_ids=tuple(each for each in partner.as2_ids if len(claimants[each]) == 1))


# --- Conflicts ------------------------------------------------------------------------------------------


def _conflicts(
    directory: Path,
    store: TrustStore,
    public: Mapping[str, Certificate],
    claimants: Index[str],
) -> Iterator[Problem]:
    for sha256, names in store.owners.items():
        if len(names) > 1:
            text = f"certificate {public[sha256].subject} ({sha256[:16]}) is claimed by {_and(names)}"
            yield Problem(directory, f"{text}: it identifies nobody until one of them gives it up")
    for as2_id, names in claimants.items():
        text = f'"{as2_id}" is claimed by {_and(names)}: it is nobody\'s until one of them gives it up'
        for name in names if len(names) > 1 else ():
            yield Problem(directory / name / SETTINGS, text, key="as2_id")
    for first, second in _matches_claimed_twice(store):
        text = f"{first.name} accepts every certificate that this accepts: such a one identifies nobody"
        yield Problem(directory / second.name / SETTINGS, text, key="match")


def _matches_claimed_twice(store: TrustStore) -> Iterator[tuple[Partner, Partner]]:
    """Pairs of which the second accepts nothing that the first does not accept."""
    for several in store.matchers.values():
        for first, second in combinations(several, 2):
            assert first.match
            assert second.match
            if set(first.match.san) <= set(second.match.san):
                yield first, second
            elif set(second.match.san) <= set(first.match.san):
                yield second, first


def _and(names: tuple[str, ...]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}"
