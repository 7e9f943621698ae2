"""TLS for connections that we open: to backends, and to partners for asynchronous MDNs."""

import os
import ssl
from contextlib import suppress
from datetime import datetime

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from mtlsd.pki.key_pair import KeyPair
from mtlsd.relay.request import Credentials
from mtlsd.snapshot.snapshot import Snapshot


def context_for(credentials: Credentials | None, snapshot: Snapshot, now: datetime) -> ssl.SSLContext:
    """Trust the system's roots, the partner's, and its `mdn/`; offer the host's key pair if requested."""
    context = ssl.create_default_context()
    if credentials is None:
        return context
    partner = snapshot.truststore.partners.get(credentials.partner)
    if partner and partner.mdn_roots:
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # a server's own certificate there is enough
    for root in (*partner.trusted_roots, *partner.mdn_roots) if partner else ():
        with suppress(ssl.SSLError):  # we can read some certificates that OpenSSL cannot
            context.load_verify_locations(cadata=root.der)
    if keys := snapshot.keys.get(credentials.host):
        _offer(context, keys.client_at(now))
    return context


def _offer(context: ssl.SSLContext, pair: KeyPair) -> None:
    """Load the key pair. `ssl` reads keys only from files: this file is in memory, and is gone when closed."""
    with os.fdopen(os.memfd_create("key"), "wb") as file:
        for certificate in (pair.certificate, *pair.chain):
            file.write(certificate.pem)
        file.write(pair.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        file.flush()
        context.load_cert_chain(f"/proc/self/fd/{file.fileno()}")
