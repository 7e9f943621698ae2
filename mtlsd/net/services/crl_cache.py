"""Revocation lists, fetched in the background, kept on disk, and accepted only if a CA of the partner signed them.

Each URL has one list for each CA that is wanted there, so that no CA's list replaces another's. When a chain is judged,
each list is checked again for that chain.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import trio

from mtlsd import log
from mtlsd.files.durable import placed
from mtlsd.files.private import PRIVATE, make_directory
from mtlsd.log import Logger
from mtlsd.net.client.fetch import FetchFailed, fetch
from mtlsd.partners.partner import Partner
from mtlsd.partners.trust_store import TrustStore
from mtlsd.pki.certificate import Certificate
from mtlsd.pki.crl import MAX_CRL, CRLUnreadable, RevocationList, distribution_points, read_crls
from mtlsd.pki.revocation import RevocationCheck

AT_ONCE = 16
AT_ONCE_FOR_ONE = 2  # of one partner: its slow servers delay only its own lists
MAX_POINTS = 20  # URLs that one partner's certificates name
AHEAD = timedelta(days=1)  # how far a list's thisUpdate may be in the future: no clock is that wrong
FETCH_SECONDS = 30
SHORTEST, LONGEST = 5 * 60, 12 * 3600  # seconds between two fetches after a success
FIRST_PAUSE, LAST_PAUSE = 60, 3600  # seconds after a failure


@dataclass(slots=True)
class _Source:
    """The lists of one URL, and when to fetch next."""

    crls: dict[str, RevocationList | None] = field(default_factory=dict)  # by CA; None: no list of this CA so far
    due: float = 0  # seconds of the epoch
    failures: int = 0
    is_busy: bool = False

    @property
    def lists(self) -> tuple[RevocationList, ...]:
        return tuple(filter(None, self.crls.values()))


@dataclass(slots=True)
class _Wanted:
    """The demand for a URL: the CAs whose lists may be there, and whether the operators configured the URL."""

    signers: dict[str, list[Certificate]] = field(default_factory=dict)  # by CA
    listed: bool = False
    partner: str = ""  # of the partners that want the URL, the one with the fewest URLs


class Lists:
    """The fetched lists of one daemon. `changed` is called when a list is new."""

    def __init__(
        self, directory: Path, clock: Callable[[], float], logger: Logger, changed: Callable[[], None]
    ) -> None:
        self._directory = directory
        self._clock = clock
        self._log = logger
        self._changed = changed
        self._sources: dict[str, _Source] = {}
        self._limiter = trio.CapacityLimiter(AT_ONCE)
        self._limiters: defaultdict[str, trio.CapacityLimiter] = defaultdict(
            lambda: trio.CapacityLimiter(AT_ONCE_FOR_ONE)
        )

    def of(self, partner: Partner) -> tuple[RevocationList, ...]:
        """The lists fetched for this partner so far, of its own CAs."""
        sources = [self._sources[url] for url in sorted(urls_of(partner)) if url in self._sources]
        found = (source.crls.get(ca) for source in sources for ca in _by_ca(_authorities(partner)))
        return tuple(filter(None, found))

    async def load(self, truststore: TrustStore) -> None:
        """Load the lists that an earlier run left on disk, so that a start needs no connection to a CA."""
        wanted = _wanted(truststore)
        for url, entry in wanted.items():
            source = self._sources.setdefault(url, _Source())
            for ca in source.crls.keys() - entry.signers.keys():
                del source.crls[ca]
            if new := entry.signers.keys() - source.crls.keys():
                await self._load(url, source, entry, new)
        for url in self._sources.keys() - wanted.keys():
            del self._sources[url]

    async def _load(self, url: str, source: _Source, wanted: _Wanted, new: Iterable[str]) -> None:
        """Load the lists of these CAs from disk; if a CA is new to a URL, that URL is fetched at once."""
        dues = [0.0] if source.crls else []
        for ca in new:
            source.crls[ca] = None
            with suppress(OSError, FetchFailed):
                crl, fetched_at = await trio.to_thread.run_sync(self._kept, url, ca, wanted)
                source.crls[ca] = crl
                dues.append(_next(crl, fetched_at))
                self._changed()
        source.due = min(dues, default=0)

    async def fetch_due(self, truststore: TrustStore, nursery: trio.Nursery) -> None:
        """Start to fetch the lists that are due; nothing waits for them."""
        await self.load(truststore)
        now = self._clock()
        for url, wanted in _wanted(truststore).items():
            source = self._sources.get(url)
            if source and source.due <= now and not source.is_busy:
                source.is_busy = True
                nursery.start_soon(self._fetch, url, source, wanted)

    async def _fetch(self, url: str, source: _Source, wanted: _Wanted) -> None:
        try:
            async with self._limiters[wanted.partner], self._limiter:
                await self._try(url, source, wanted)
        finally:
            source.is_busy = False

    async def _try(self, url: str, source: _Source, wanted: _Wanted) -> None:
        try:
            data = await fetch(url, listed=wanted.listed, limit=MAX_CRL, seconds=FETCH_SECONDS)
            taken = await trio.to_thread.run_sync(_taken, data, wanted, self._now())
            for ca, crl in taken.items():
                _check_age(crl, source.crls.get(ca), self._now())
                await trio.to_thread.run_sync(self._keep, url, ca, crl)
        except (FetchFailed, OSError) as error:
            source.due = self._clock() + min(FIRST_PAUSE << min(source.failures, 10), LAST_PAUSE)
            source.failures += 1
            self._log.warning(log.CRL_FETCH_FAILED, url=url, detail=str(error), failures=source.failures)
            return
        for crl in set(taken.values()) - set(source.lists):
            facts = {"issuer": crl.issuer, "next_update": str(crl.next_update), "entries": crl.size}
            self._log.info(log.CRL_FETCHED, url=url, **facts)
        source.crls |= taken
        source.failures = 0
        source.due = min(_next(each, self._clock()) for each in source.lists)
        self._changed()

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)

    # --- On disk ----------------------------------------------------------------------------------------------

    def _kept(self, url: str, ca: str, wanted: _Wanted) -> tuple[RevocationList, float]:
        path = self._path(url, ca)
        crl = _taken(path.read_bytes(), wanted, self._now()).get(ca)
        if crl is None:
            raise FetchFailed("a list of another CA")
        return crl, path.stat().st_mtime

    def _keep(self, url: str, ca: str, crl: RevocationList) -> None:
        make_directory(self._directory)
        path = self._path(url, ca)
        with placed(path, PRIVATE, alone=True, name_is_synced=False) as file:  # the list can be fetched again
            file.write(crl.der)

    def _path(self, url: str, ca: str) -> Path:
        return self._directory / f"{sha256(f'{ca} {url}'.encode()).hexdigest()}.crl"


def urls_of(partner: Partner) -> frozenset[str]:
    """The URLs of this partner's lists; none if its settings disable fetching.

    These are all URLs that the operators configured, and up to MAX_POINTS that its certificates name.
    """
    settings = partner.revocation
    if settings.crl is RevocationCheck.OFF:
        return frozenset()
    points: dict[str, None] = {}
    for each in _certificates(partner) if settings.fetch else ():
        points |= dict.fromkeys(sorted(distribution_points(each) - set(settings.crl_urls)))
    return frozenset((*settings.crl_urls, *list(points)[:MAX_POINTS]))


def _certificates(partner: Partner) -> Iterator[Certificate]:
    """The certificates in the partner's directory: a URL in a certificate that a client sends is not followed."""
    yield from (*_authorities(partner), *partner.public_certificates)


def _authorities(partner: Partner) -> tuple[Certificate, ...]:
    return (*partner.trusted_roots, *partner.intermediates)


def _by_ca(certificates: Iterable[Certificate]) -> dict[str, list[Certificate]]:
    """Group by name and key: a CA may have several certificates, and other CAs may have the same name."""
    found: dict[str, list[Certificate]] = {}
    for each in certificates:
        ca = sha256(each.public_key_der + each.subject.encode()).hexdigest()
        found.setdefault(ca, []).append(each)
    return found


def _wanted(truststore: TrustStore) -> dict[str, _Wanted]:
    wanted: dict[str, _Wanted] = {}
    urls = {partner.name: urls_of(partner) for partner in truststore.partners.values()}
    for name in sorted(urls, key=lambda each: len(urls[each])):
        partner = truststore.partners[name]
        for url in urls[name]:
            entry = wanted.setdefault(url, _Wanted(partner=name))
            for ca, certificates in _by_ca(_authorities(partner)).items():
                entry.signers[ca] = [*entry.signers.get(ca, []), *certificates]
            entry.listed |= url in partner.revocation.crl_urls
    return wanted


def _taken(data: bytes, wanted: _Wanted, now: datetime) -> dict[str, RevocationList]:
    """The acceptable lists in a file, by CA: the newest of each; raises FetchFailed if there are none."""
    try:
        crls = sorted(read_crls(data), key=lambda crl: crl.this_update)
    except CRLUnreadable as error:
        raise FetchFailed(str(error)) from error
    taken = {ca: crl for crl in crls for ca in _signers(crl, wanted)}
    for each in taken.values():
        _check_age(each, None, now)
    if not taken:
        raise FetchFailed(f"no CA certificate of the partner signed this list of {crls[0].issuer}")
    return taken


def _signers(crl: RevocationList, wanted: _Wanted) -> Iterator[str]:
    """The CAs that signed the list, by name and key: one at most."""
    for ca, certificates in wanted.signers.items():
        if any(each.subject == crl.issuer and crl.is_signed_by(each) for each in certificates):
            yield ca


def _check_age(crl: RevocationList, before: RevocationList | None, now: datetime) -> None:
    """Raises FetchFailed for a list from the future, or one that is older than the previous list of this CA."""
    if crl.this_update > now + AHEAD:
        raise FetchFailed(f"the list of {crl.issuer} is from the future: {crl.this_update}")
    if before and crl.this_update < before.this_update <= now + AHEAD:
        raise FetchFailed(f"the list of {crl.this_update} is older than the one that we have")


def _next(crl: RevocationList, fetched_at: float) -> float:
    """The time to fetch again: half way to the next update."""
    life = crl.next_update.timestamp() - fetched_at if crl.next_update else LONGEST
    return fetched_at + min(max(life / 2, SHORTEST), LONGEST)
