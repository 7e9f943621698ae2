"""Revocation lists that are fetched in the background, kept on disk, and taken only when a CA of the partner signed.

Each URL has one list, whoever wants it. What a list is worth for a chain is judged there, once more.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import trio

from mtlsd import log
from mtlsd.identity import (
    MAX_CRL,
    Certificate,
    Check,
    CRLUnreadable,
    Partner,
    RevocationList,
    TrustStore,
    distribution_points,
    read_crls,
)
from mtlsd.log import Logger
from mtlsd.net.fetching import FetchFailed, fetch

AT_ONCE = 8
FETCH_SECONDS = 30
SHORTEST, LONGEST = 5 * 60, 12 * 3600  # seconds between two fetches that went well
FIRST_PAUSE, LAST_PAUSE = 60, 3600  # seconds after one that did not
LOOK_SECONDS = 30


@dataclass(slots=True)
class _Source:
    """What is known of one URL."""

    crl: RevocationList | None = None
    due: float = 0  # seconds of the epoch
    failures: int = 0


@dataclass(slots=True)
class _Wanted:
    """Who wants a URL: the CAs whose lists may be there, and whether the operators wrote it down."""

    signers: dict[str, Certificate] = field(default_factory=dict)  # by sha256
    listed: bool = False


class Lists:
    """The fetched lists of one daemon. `changed` is called when one is new."""

    def __init__(
        self, directory: Path, clock: Callable[[], float], logger: Logger, changed: Callable[[], None]
    ) -> None:
        self._directory = directory
        self._clock = clock
        self._log = logger
        self._changed = changed
        self._sources: dict[str, _Source] = {}

    def of(self, partner: Partner) -> tuple[RevocationList, ...]:
        """What was fetched for this partner so far."""
        sources = (self._sources.get(url) for url in sorted(urls_of(partner)))
        return tuple(each.crl for each in sources if each and each.crl)

    async def load(self, truststore: TrustStore) -> None:
        """Take what an earlier life left on disk, so that a start needs no CA."""
        wanted = _wanted(truststore)
        for url in wanted.keys() - self._sources.keys():
            source = self._sources[url] = _Source()
            with suppress(OSError, FetchFailed):
                kept = await trio.to_thread.run_sync(self._kept, url, wanted[url])
                source.crl, fetched_at = kept
                source.due = _next(source.crl, fetched_at)
                self._changed()
        for url in self._sources.keys() - wanted.keys():
            del self._sources[url]

    async def fetch_due(self, truststore: TrustStore) -> None:
        """Fetch what is due, several at once."""
        await self.load(truststore)
        limiter, now = trio.CapacityLimiter(AT_ONCE), self._clock()
        async with trio.open_nursery() as nursery:
            for url, wanted in _wanted(truststore).items():
                if self._sources[url].due <= now:
                    nursery.start_soon(self._fetch, url, wanted, limiter)

    async def _fetch(self, url: str, wanted: _Wanted, limiter: trio.CapacityLimiter) -> None:
        source = self._sources[url]
        async with limiter:
            try:
                data = await fetch(url, listed=wanted.listed, limit=MAX_CRL, seconds=FETCH_SECONDS)
                crl = await trio.to_thread.run_sync(_taken, data, wanted, source.crl)
                await trio.to_thread.run_sync(self._keep, url, crl)
            except (FetchFailed, OSError) as error:
                source.due = self._clock() + min(FIRST_PAUSE << min(source.failures, 10), LAST_PAUSE)
                source.failures += 1
                self._log.warning(log.CRL_FETCH_FAILED, url=url, detail=str(error), failures=source.failures)
                return
        if crl != source.crl:
            facts = {"issuer": crl.issuer, "next_update": str(crl.next_update), "entries": len(crl.serials)}
            self._log.info(log.CRL_FETCHED, url=url, **facts)
        source.crl, source.failures, source.due = crl, 0, _next(crl, self._clock())
        self._changed()

    # --- On disk ----------------------------------------------------------------------------------------------

    def _kept(self, url: str, wanted: _Wanted) -> tuple[RevocationList, float]:
        path = self._path(url)
        return _taken(path.read_bytes(), wanted, None), path.stat().st_mtime

    def _keep(self, url: str, crl: RevocationList) -> None:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._path(url)
        temporary = path.with_suffix(".new")
        with temporary.open("wb") as file:
            file.write(crl.der)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)

    def _path(self, url: str) -> Path:
        return self._directory / f"{sha256(url.encode()).hexdigest()}.crl"


def urls_of(partner: Partner) -> frozenset[str]:
    """Where the lists of this partner are fetched from; its settings may say from nowhere."""
    settings = partner.revocation
    if settings.crl is Check.OFF:
        return frozenset()
    certificates = _certificates(partner) if settings.fetch else ()
    return frozenset(settings.crl_urls).union(*map(distribution_points, certificates))


def _certificates(partner: Partner) -> Iterator[Certificate]:
    """What the operators put into its directory: a URL in what a client sends is not followed."""
    yield from (*partner.trusted_roots, *partner.intermediates, *partner.public_certificates)


def _wanted(truststore: TrustStore) -> dict[str, _Wanted]:
    wanted: dict[str, _Wanted] = {}
    for partner in truststore.partners.values():
        for url in urls_of(partner):
            entry = wanted.setdefault(url, _Wanted())
            entry.signers |= {each.sha256: each for each in (*partner.trusted_roots, *partner.intermediates)}
            entry.listed |= url in partner.revocation.crl_urls
    return wanted


def _taken(data: bytes, wanted: _Wanted, before: RevocationList | None) -> RevocationList:
    """The list, if it is one that counts; raises FetchFailed."""
    try:
        crl = read_crls(data)[0]
    except CRLUnreadable as error:
        raise FetchFailed(str(error)) from error
    if not any(map(crl.is_signed_by, wanted.signers.values())):
        raise FetchFailed(f"no CA certificate of the partner signed this list of {crl.issuer}")
    if before and crl.this_update < before.this_update:
        raise FetchFailed(f"the list of {crl.this_update} is older than the one that we have")
    return crl


def _next(crl: RevocationList, fetched_at: float) -> float:
    """When to fetch again: half way to the next one."""
    life = crl.next_update.timestamp() - fetched_at if crl.next_update else LONGEST
    return fetched_at + min(max(life / 2, SHORTEST), LONGEST)
