"""TLS contexts: one for each virtual host, for as long as its key lives, whoever its partners are.

A context asks for a client certificate and takes any: the handshake proves that the client has the key, `judge` says
what the certificate is worth. No session is ever resumed (a resumed one carries no proof for *this* host), no CA names
are sent, and only HTTP/1.1 is spoken.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cryptography import x509
from OpenSSL import SSL, crypto

from mtlsd.config import ClientCertificate
from mtlsd.identity import Certificate, Dates, KeyPair, current

# TLS 1.2 suites with forward secrecy and authenticated encryption; TLS 1.3 has no others. Level 1 lets weak client
# keys into the handshake, so that `judge` can refuse them with a reason; what we negotiate stays as strong as listed.
CIPHERS = b"ECDHE+AESGCM:ECDHE+CHACHA20:@SECLEVEL=1"
HTTP_1_1 = b"http/1.1"
_OPTIONS = SSL.OP_NO_TICKET | SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION | SSL.OP_CIPHER_SERVER_PREFERENCE
_ORDER = (ClientCertificate.REQUIRED, ClientCertificate.OPTIONAL, ClientCertificate.NONE)  # the strictest first


@dataclass(frozen=True, slots=True)
class HostContext:
    """What a virtual host needs for a handshake."""

    name: str
    client_certificate: ClientCertificate
    key_pair: KeyPair
    context: SSL.Context

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
    later: Mapping[str, tuple[HostContext, ...]] = field(default_factory=dict)  # for the same hosts, with other keys

    @property
    def default(self) -> HostContext:
        """The host for a client that names none of them: the strictest one, so that silence gains nothing."""
        return min(self.hosts.values(), key=lambda host: _ORDER.index(host.client_certificate))

    def at(self, now: datetime) -> "ListenerContexts":
        """What to shake hands with at this time: of several pairs of a host, the one that is current."""
        if not self.later:
            return self
        every = {name: (host, *self.later.get(name, ())) for name, host in self.hosts.items()}
        return ListenerContexts({name: current(several, now) for name, several in every.items()})


def build_context(name: str, client_certificate: ClientCertificate, key_pair: KeyPair) -> HostContext:
    """A context for this host; it is immutable once it is in use."""
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_options(_OPTIONS)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_cipher_list(CIPHERS)
    _offer(context, key_pair)
    context.use_privatekey(key_pair.private_key)  # type: ignore[arg-type]
    context.set_verify(verify_mode(client_certificate), take_any)
    context.set_verify_depth(0)  # or OpenSSL would verify each signature of any chain, for `take_any` to pass it over
    context.set_tlsext_servername_callback(_choose_host)
    context.set_alpn_select_callback(_choose_protocol)
    return HostContext(name, client_certificate, key_pair, context)


def _offer(context: SSL.Context, key_pair: KeyPair) -> None:
    with warnings.catch_warnings():  # pyOpenSSL's own type is deprecated, and the only one for some certificates
        warnings.simplefilter("ignore", DeprecationWarning)
        context.use_certificate(_as_it_is(key_pair.certificate))
        for certificate in key_pair.chain:
            context.add_extra_chain_cert(_as_it_is(certificate))


def _as_it_is(certificate: Certificate) -> x509.Certificate | crypto.X509:
    if certificate.is_respelled:
        return crypto.load_certificate(crypto.FILETYPE_ASN1, certificate.der)
    return certificate.x509


def verify_mode(client_certificate: ClientCertificate) -> int:
    """Ask for a certificate unless the host wants none; never fail without one: that is answered in HTTP."""
    return SSL.VERIFY_NONE if client_certificate is ClientCertificate.NONE else SSL.VERIFY_PEER


def take_any(*_: Any) -> bool:
    """Let the handshake complete with any chain; OpenSSL has checked the client's proof of possession."""
    return True


def _choose_host(connection: SSL.Connection) -> None:
    """Called by OpenSSL with the client's server name; the engine of the connection knows the hosts."""
    connection.get_app_data().choose_host(connection.get_servername())


def _choose_protocol(_: SSL.Connection, offered: list[bytes]) -> Any:
    return HTTP_1_1 if HTTP_1_1 in offered else SSL.NO_OVERLAPPING_PROTOCOLS
