"""TLS for connections that we open: to backends, and to partners for asynchronous MDNs.

A context is kept, because reading the system's roots costs 20 ms of CPU. Everything that a context is made of is its
key: the roots of the partner, our key pair, and the state of the system's root files. A reload or a roll-over that
changes one of them therefore makes a new context at once.
"""

import os
import ssl
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import trio
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from mtlsd.partners.partner import Partner
from mtlsd.pki.certificate import Certificate
from mtlsd.pki.key_pair import KeyPair
from mtlsd.relay.request import Credentials
from mtlsd.snapshot.snapshot import Snapshot

MAX_CONTEXTS = 64  # each holds the system's roots, about 1 MB

Looks = tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class _Parts:
    """Everything that a context is made of. Key pairs are equal if their certificates are."""

    system: Looks
    credentials: Credentials | None = None  # so that two partners share no connection
    roots: tuple[Certificate, ...] = ()
    trusts_servers: bool = False  # a server's own certificate in `roots` is enough
    pair: KeyPair | None = None


class ClientContexts:
    """The contexts in use, at most MAX_CONTEXTS; the one that was used least recently is dropped."""

    def __init__(self) -> None:
        self._kept: OrderedDict[_Parts, ssl.SSLContext] = OrderedDict()
        self._making = trio.Lock()

    async def get(self, credentials: Credentials | None, snapshot: Snapshot, now: datetime) -> ssl.SSLContext:
        """Trust the system's roots, the partner's, and its `mdn/`; offer the host's key pair if requested."""
        parts = _parts(credentials, snapshot, now)
        if parts not in self._kept:
            async with self._making:  # several deliveries that start together need one context
                if parts not in self._kept:
                    self._kept[parts] = await trio.to_thread.run_sync(_context, parts)
                    while len(self._kept) > MAX_CONTEXTS:
                        self._kept.popitem(last=False)
        self._kept.move_to_end(parts)
        return self._kept[parts]


def _parts(credentials: Credentials | None, snapshot: Snapshot, now: datetime) -> _Parts:
    system = _system_roots()
    if credentials is None:
        return _Parts(system)
    partner: Partner | None = snapshot.truststore.partners.get(credentials.partner)
    roots = (*partner.trusted_roots, *partner.mdn_roots) if partner else ()
    keys = snapshot.keys.get(credentials.host)
    trusts_servers = partner is not None and bool(partner.mdn_roots)
    return _Parts(system, credentials, roots, trusts_servers, keys.client_at(now) if keys else None)


def _system_roots() -> Looks:
    """The state of the system's root file and directory: it differs after a change of either."""
    paths = ssl.get_default_verify_paths()
    looks = []
    for path in (paths.cafile, paths.capath):
        with suppress(OSError):
            if path:
                of = Path(path).stat()
                looks.append((of.st_dev, of.st_ino, of.st_size, of.st_mtime_ns, of.st_ctime_ns))
    return tuple(looks)


def _context(parts: _Parts) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.verify_flags &= ~ssl.VERIFY_X509_PARTIAL_CHAIN  # the default since Python 3.13
    if parts.trusts_servers:
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    for root in parts.roots:
        with suppress(ssl.SSLError):  # we can read some certificates that OpenSSL cannot
            context.load_verify_locations(cadata=root.der)
    if parts.pair:
        _offer(context, parts.pair)
    return context


def _offer(context: ssl.SSLContext, pair: KeyPair) -> None:
    """Load the key pair. `ssl` reads keys only from files: this file is in memory, and is gone when closed."""
    with os.fdopen(os.memfd_create("key"), "wb") as file:
        for certificate in (pair.certificate, *pair.chain):
            file.write(certificate.pem)
        file.write(pair.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        file.flush()
        context.load_cert_chain(f"/proc/self/fd/{file.fileno()}")
