"""TLS contexts: one for each key pair of a virtual host. They do not depend on the partners.

A context requests a client certificate and accepts any: the handshake proves that the client has the key, and `judge`
judges the certificate. Sessions are never resumed (a resumed session has no proof for *this* host), no CA names are
sent, and only HTTP/1.1 is offered.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cryptography import x509
from OpenSSL import SSL, crypto

from mtlsd.config.model import ClientCertificate, OnUntrusted
from mtlsd.partners.rollover import current
from mtlsd.pki.anchors import MAX_CHAIN
from mtlsd.pki.certificate import Certificate
from mtlsd.pki.dates import Dates
from mtlsd.pki.key_pair import KeyPair
from mtlsd.tls.alerts import on_server_name

# TLS 1.2 suites with forward secrecy and authenticated encryption; TLS 1.3 has no others. Level 1 accepts weak client
# keys in the handshake, so that `judge` can refuse them with a reason; only the listed suites are negotiated.
CIPHERS = b"ECDHE+AESGCM:ECDHE+CHACHA20:@SECLEVEL=1"
FOLLOWED = MAX_CHAIN + 1  # one more than allowed, so that `judge` refuses the chain
HTTP_1_1 = b"http/1.1"
_OPTIONS = SSL.OP_NO_TICKET | SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION | SSL.OP_CIPHER_SERVER_PREFERENCE
_ORDER = (ClientCertificate.REQUIRED, ClientCertificate.OPTIONAL, ClientCertificate.NONE)  # the strictest first


@dataclass(frozen=True, slots=True)
class HostContext:
    """The TLS context of a virtual host for one key pair, with the host's policy."""

    name: str
    client_certificate: ClientCertificate
    key_pair: KeyPair
    context: SSL.Context
    on_untrusted: OnUntrusted = OnUntrusted.HTTP
    verify_depth: int = 0

    @property
    def refuses_in_handshake(self) -> bool:
        """Whether a client that is refused gets an alert."""
        return self.on_untrusted is OnUntrusted.HANDSHAKE

    @property
    def looks_in_handshake(self) -> bool:
        """Whether a chain must be examined before OpenSSL follows it, as it does if a host of the address refuses."""
        return self.refuses_in_handshake or self.verify_depth > 0

    @property
    def verify_mode(self) -> int:
        """The verify mode of OpenSSL; a client that is refused over HTTP must first complete the handshake."""
        if self.client_certificate is ClientCertificate.NONE:
            return SSL.VERIFY_NONE
        if self.refuses_in_handshake and self.client_certificate is ClientCertificate.REQUIRED:
            return SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT
        return SSL.VERIFY_PEER

    @property
    def certificate(self) -> Certificate:
        return self.key_pair.certificate

    @property
    def dates(self) -> Dates:
        return self.key_pair.dates


@dataclass(frozen=True, slots=True)
class ListenerContexts:
    """The hosts that share an address, by the name that SNI gives."""

    hosts: Mapping[str, HostContext]
    later: Mapping[str, tuple[HostContext, ...]] = field(default_factory=dict)  # the same hosts with other keys

    @property
    def default(self) -> HostContext:
        """The host for a client that names none: the strictest one, so that a client gains nothing by omitting SNI."""
        return min(self.hosts.values(), key=lambda host: _ORDER.index(host.client_certificate))

    def at(self, now: datetime) -> "ListenerContexts":
        """The contexts to use at this time: for a host with several key pairs, the current one."""
        if not self.later:
            return self
        every = {name: (host, *self.later.get(name, ())) for name, host in self.hosts.items()}
        return ListenerContexts({name: current(several, now) for name, several in every.items()})


def build_context(
    name: str,
    client_certificate: ClientCertificate,
    key_pair: KeyPair,
    on_untrusted: OnUntrusted = OnUntrusted.HTTP,
    verify_depth: int = 0,
) -> HostContext:
    """A context for this host; it is immutable once it is in use.

    `verify_depth`: how much of a chain OpenSSL follows. With 0, it verifies no signature above the client's own, and
    `take_any` then accepts the chain. If any host of the address refuses in the handshake, all need `FOLLOWED`, because
    a connection keeps the depth of the host that it began with.
    """
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_options(_OPTIONS)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_cipher_list(CIPHERS)
    _offer(context, key_pair)
    context.use_privatekey(key_pair.private_key)  # type: ignore[arg-type]
    context.set_verify_depth(verify_depth)
    on_server_name(context, _choose_host)
    context.set_alpn_select_callback(_choose_protocol)
    host = HostContext(name, client_certificate, key_pair, context, on_untrusted, verify_depth)
    context.set_verify(host.verify_mode, take_any)
    return host


def _offer(context: SSL.Context, key_pair: KeyPair) -> None:
    with warnings.catch_warnings():  # pyOpenSSL's own type is deprecated, but some certificates need it
        warnings.simplefilter("ignore", DeprecationWarning)
        context.use_certificate(_as_it_is(key_pair.certificate))
        for certificate in key_pair.chain:
            context.add_extra_chain_cert(_as_it_is(certificate))


def _as_it_is(certificate: Certificate) -> x509.Certificate | crypto.X509:
    if certificate.is_copied:
        return crypto.load_certificate(crypto.FILETYPE_ASN1, certificate.der)
    return certificate.x509


def take_any(*_: Any) -> bool:
    """Accept any chain; OpenSSL still checks the client's proof of possession."""
    return True


def _choose_host(connection: SSL.Connection) -> bool:
    """Let the engine of the connection choose a host by the client's server name. Called by OpenSSL."""
    return bool(connection.get_app_data().choose_host(connection.get_servername()))


def _choose_protocol(_: SSL.Connection, offered: list[bytes]) -> Any:
    return HTTP_1_1 if HTTP_1_1 in offered else SSL.NO_OVERLAPPING_PROTOCOLS
