"""Refusals during the handshake: the TLS alert for each, and the callbacks that make OpenSSL send it.

OpenSSL chooses the alert by the error of its verification (`ssl_x509err2alert`). pyOpenSSL's verify callback can
refuse, but cannot set this error, because it is not given the X509_STORE_CTX. The alert would always be unknown_ca,
which is what OpenSSL itself finds, because it has no trust store here. And the callback for the server name can refuse
only with a traceback on stderr. So this module sets both callbacks through the binding below pyOpenSSL; no other module
does.

A client whose certificate is refused here has not yet proved that it has the key: a log line names the certificate that
was shown, not the one who showed it.
"""

from collections.abc import Callable, Mapping
from enum import Enum

from OpenSSL import SSL, crypto
from OpenSSL._util import ffi as _ffi
from OpenSSL._util import lib as _lib

from mtlsd import errors
from mtlsd.errors import PeerError

_GO_ON = 0  # SSL_TLSEXT_ERR_OK


class Alert(Enum):
    """An alert (RFC 8446, section 6.2), with the X509_V_ERR_… that OpenSSL translates into it."""

    UNKNOWN_CA = 20
    CERTIFICATE_EXPIRED = 10
    CERTIFICATE_REVOKED = 23
    UNSUPPORTED_CERTIFICATE = 26
    BAD_CERTIFICATE = 28
    CERTIFICATE_UNKNOWN = 47  # one of many that have no alert of their own
    CERTIFICATE_REQUIRED = -1  # OpenSSL's own; handshake_failure in TLS 1.2
    UNRECOGNIZED_NAME = -2  # OpenSSL's own

    def __str__(self) -> str:
        return self.name.lower()


ALERTS: Mapping[type[PeerError], Alert] = {
    errors.ClientCertMissing: Alert.CERTIFICATE_REQUIRED,
    errors.SNIUnknown: Alert.UNRECOGNIZED_NAME,
    errors.CertExpired: Alert.CERTIFICATE_EXPIRED,
    errors.CertNotYetValid: Alert.CERTIFICATE_EXPIRED,  # "or is not currently valid"
    errors.CAExpired: Alert.CERTIFICATE_EXPIRED,
    errors.CertRevoked: Alert.CERTIFICATE_REVOKED,
    errors.CertUntrustedIssuer: Alert.UNKNOWN_CA,
    errors.CertSelfSignedUnknown: Alert.UNKNOWN_CA,
    errors.CertChainIncomplete: Alert.UNKNOWN_CA,
    errors.CertChainTooLong: Alert.UNKNOWN_CA,
    errors.CertBadSignature: Alert.BAD_CERTIFICATE,
    errors.CertKeyTooWeak: Alert.BAD_CERTIFICATE,
    errors.CertSigAlgWeak: Alert.BAD_CERTIFICATE,
    errors.CertEKUNoClientAuth: Alert.UNSUPPORTED_CERTIFICATE,
    errors.CertKeyUsage: Alert.UNSUPPORTED_CERTIFICATE,
    errors.CertUnhandledCriticalExt: Alert.UNSUPPORTED_CERTIFICATE,
}


def alert_for(refusal: PeerError) -> Alert:
    """The alert for a refusal in the handshake; certificate_unknown if the client must not learn the reason."""
    return ALERTS.get(type(refusal), Alert.CERTIFICATE_UNKNOWN)


def alert_sent(refusal: PeerError, version: str) -> str:
    """The name of the alert as sent; TLS 1.2 has no certificate_required (RFC 5246, section 7.4.6)."""
    alert = alert_for(refusal)
    if alert is Alert.CERTIFICATE_REQUIRED and version != "TLSv1.3":
        return "handshake_failure"
    return str(alert)


Examine = Callable[[tuple[bytes, ...]], Alert | None]  # the chain in DER, the client's own certificate first
Choose = Callable[[SSL.Connection], bool]


def examine_in_handshake(connection: SSL.Connection, mode: int, examine: Examine) -> object:
    """Let `examine` refuse a client's chain with an alert. The caller must keep the returned handle alive.

    `examine` must not raise. The client still has to prove possession of the key of an accepted certificate.
    """

    def verify(_ok: int, context: object) -> int:
        alert = examine(_chain(context)) if passed[0] is None else passed[0]
        if isinstance(alert, Alert):
            _lib.X509_STORE_CTX_set_error(context, alert.value)
            return 0
        passed[0] = True  # OpenSSL calls again for each certificate
        _lib.X509_STORE_CTX_set_error(context, _lib.X509_V_OK)
        return 1

    passed: list[bool | None] = [None]
    handle: object = _ffi.callback("int (*)(int, X509_STORE_CTX *)", verify, error=0)
    _lib.SSL_set_verify(connection._ssl, mode, handle)
    return handle


def on_server_name(context: SSL.Context, choose: Choose) -> None:
    """Call `choose`, which must not raise, with each connection whose client names a server.

    If `choose` returns False, the client gets the alert unrecognized_name.
    """

    def callback(ssl: object, _alert: object, _argument: object) -> int:
        chosen = choose(SSL.Connection._reverse_mapping[ssl])
        return _GO_ON if chosen else int(_lib.SSL_TLSEXT_ERR_ALERT_FATAL)

    handle = _ffi.callback("int (*)(SSL *, int *, void *)", callback, error=_lib.SSL_TLSEXT_ERR_ALERT_FATAL)
    context._tlsext_servername_callback = handle  # pyOpenSSL keeps its own callback alive here
    _lib.SSL_CTX_set_tlsext_servername_callback(context._context, handle)


def _chain(context: object) -> tuple[bytes, ...]:
    """The chain that OpenSSL has built from the certificates that the client sent, in DER."""
    stack = _lib.X509_STORE_CTX_get1_chain(context)
    held = [crypto.X509._from_raw_x509_ptr(_lib.sk_X509_value(stack, at)) for at in range(_lib.sk_X509_num(stack))]
    _lib.sk_X509_free(stack)  # only the stack: each object now owns its certificate
    return tuple(crypto.dump_certificate(crypto.FILETYPE_ASN1, each) for each in held)
