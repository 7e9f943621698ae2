"""The server side of TLS without a socket: wire bytes in, events out, with the interface of h11.

    engine.receive_data(data); engine.next_event(); engine.send(plaintext); engine.data_to_send()

Write `data_to_send` after every call, also after an error; otherwise the alert is never sent.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_der_public_key
from OpenSSL import SSL, crypto

from mtlsd import errors
from mtlsd.errors import PeerError
from mtlsd.pki.anchors import MAX_CHAIN
from mtlsd.pki.certificate import UNREADABLE, Certificate, CertificateUnreadable, Presented, is_costly
from mtlsd.pki.policy import refused
from mtlsd.pki.tbs import signed_fields
from mtlsd.text import cut
from mtlsd.tls.alerts import Alert, alert_for, alert_sent, examine_in_handshake
from mtlsd.tls.contexts import HostContext, ListenerContexts, take_any

MAX_RECORD = 16 * 1024  # octets; Connection.recv allocates what it is asked for, and returns one record at most
WRITE_OUT = 64 * 1024  # octets to the wire at a time
_HANDSHAKE_RECORD = 0x16

_REASONS: dict[str, type[PeerError]] = {  # OpenSSL's reason strings
    "unsupported protocol": errors.TLSNoCommonVersion,
    "version too low": errors.TLSNoCommonVersion,
    "wrong version number": errors.TLSNoCommonVersion,
    "no shared cipher": errors.TLSNoCommonCipher,
    "no suitable signature algorithm": errors.TLSNoCommonCipher,
    "peer did not return a certificate": errors.ClientCertMissing,
}
Examine = Callable[[str, Presented], PeerError | None]  # why this host refuses this client, if it does
ReadCertificate = Callable[[bytes], Certificate]  # raises CertificateUnreadable


def _let_in(_host: str, _presented: Presented) -> None:
    """Refuse nobody in the handshake: each request is judged."""


@dataclass(frozen=True, slots=True)
class HandshakeCompleted:
    """The handshake is complete, and the client has proved possession of the key of any certificate it presented."""

    host: str  # the virtual host whose policy applies to the connection
    server_name: str | None  # as the client sent it
    presented: Presented | None
    unreadable: CertificateUnreadable | None  # why the presented certificate cannot be read; None if it can
    version: str
    cipher: str


@dataclass(frozen=True, slots=True)
class PlaintextReceived:
    """Some octets of the application's data."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Closed:
    """The client will send no more."""


Event = HandshakeCompleted | PlaintextReceived | Closed


class Engine:
    """One connection to one listener.

    `examine` is called during the handshake, for hosts that refuse there; `next_event` raises its exceptions. `read`
    may know a certificate already.
    """

    def __init__(
        self, listener: ListenerContexts, examine: Examine = _let_in, read: ReadCertificate = Certificate.from_der
    ) -> None:
        self._listener = listener
        self._examine = examine
        self._read_certificate = read
        self._failure: BaseException | None = None  # of a callback, because OpenSSL drops exceptions
        self._guard: object = None
        self._host: HostContext = listener.default
        self._connection = SSL.Connection(self._host.context, None)
        self._connection.set_accept_state()
        self._connection.set_app_data(self)
        if self._host.looks_in_handshake:
            self._ask_for_certificate()
        self.server_name: str | None = None
        self._begun = False
        # OpenSSL reports by an exception, which is expensive, that there is nothing to read or write: ask only if
        # something may have changed.
        self._may_have_input = True
        self._may_have_output = True
        self._completed = False

    def choose_host(self, server_name: bytes | None) -> bool:
        """Switch to the host that the client names; for an unknown name, the strictest host stays, or refuses."""
        if server_name is None:
            return True
        self.server_name = server_name.decode("ascii", "backslashreplace").lower()
        host = self._listener.hosts.get(self.server_name)
        if host is None and self._host.refuses_in_handshake:
            self._failure = self._with_alert(errors.SNIUnknown(f"no host here is {self.server_name!r}"))
            return False
        if host is not None and host is not self._host:
            self._host = host
            self._connection.set_context(host.context)
            self._ask_for_certificate()
        return True

    def _ask_for_certificate(self) -> None:
        """Set the verify mode, which `set_context` does not change: otherwise no certificate would be requested."""
        mode = self._host.verify_mode
        if self._host.looks_in_handshake:
            self._guard = examine_in_handshake(self._connection, mode, self._refused)
        else:
            self._connection.set_verify(mode, take_any)

    def _refused(self, chain: tuple[bytes, ...]) -> Alert | None:
        """The alert for the chain that the client sent, or None. Called by OpenSSL; never raises."""
        try:
            presented = _read(chain, self._read_certificate)
            refusal = self._examine(self._host.name, presented) if self._host.refuses_in_handshake else None
            refusal = refusal or _too_costly(presented)
        except CertificateUnreadable as error:
            refusal = errors.CertUntrustedIssuer(str(error), **error.facts)
        except Exception as error:  # noqa: BLE001  # a bug of ours, for `next_event` to raise
            self._failure = error
            return Alert.CERTIFICATE_UNKNOWN
        if refusal is None:
            return None
        self._failure = self._with_alert(refusal)
        return alert_for(refusal)

    def receive_data(self, data: bytes) -> None:
        """Take octets from the wire; raises PlainHTTPOnTLSPort if they look like HTTP instead of TLS."""
        if not self._begun and data:
            self._begun = True
            if data[0] != _HANDSHAKE_RECORD and data[:1].isalpha():
                raise errors.PlainHTTPOnTLSPort()
        self._may_have_input = self._may_have_output = True
        if data:
            self._connection.bio_write(data)
        else:
            self._connection.bio_shutdown()

    def next_event(self) -> Event | None:
        """The next event, or None while more octets are needed; raises TLSRefused, or the refusal of the client."""
        if not self._may_have_input:
            return None
        try:
            if not self._completed:
                self._connection.do_handshake()
                self._completed = True
                return self._handshake_completed()
            return PlaintextReceived(self._connection.recv(MAX_RECORD))
        except SSL.WantReadError:
            self._may_have_input = False
            return None
        except (SSL.ZeroReturnError, SSL.SysCallError):
            return self._closed(errors.TLSHandshakeFailed("the client closed the connection"))
        except SSL.Error as error:
            return self._closed(_refusal(error))

    def _closed(self, refusal: PeerError) -> Closed:
        if self._completed:
            return Closed()
        if self._failure is not None:
            raise self._failure
        raise self._with_alert(refusal)

    def _with_alert(self, refusal: PeerError) -> PeerError:
        """The refusal, with the alert that the client gets added to its facts for the log."""
        if refusal.http_status is not None:
            refusal.facts |= {"alert_sent": alert_sent(refusal, self._connection.get_protocol_version_name())}
        return refusal

    def send(self, plaintext: bytes) -> None:
        """Encrypt; `data_to_send` has the result. Does nothing if the connection is broken."""
        self._may_have_output = True
        view = memoryview(plaintext)
        try:
            while view:
                view = view[self._connection.send(view[:MAX_RECORD]) :]
        except SSL.Error:
            return

    def close(self) -> None:
        """Send close_notify: no more data will follow."""
        self._may_have_output = True
        try:
            self._connection.shutdown()
        except SSL.Error:
            return

    def data_to_send(self) -> bytes:
        """The octets to write to the wire now."""
        pieces: list[bytes] = []
        try:
            while self._may_have_output and (not pieces or len(pieces[-1]) == WRITE_OUT):
                pieces.append(self._connection.bio_read(WRITE_OUT))
        except SSL.WantReadError:
            pass  # there is no more
        self._may_have_output = False
        return b"".join(pieces)

    def _handshake_completed(self) -> HandshakeCompleted:
        presented, unreadable = self._presented()
        return HandshakeCompleted(
            host=self._host.name,
            server_name=self.server_name,
            presented=presented,
            unreadable=unreadable,
            version=self._connection.get_protocol_version_name(),
            cipher=self._connection.get_cipher_name() or "",
        )

    def _presented(self) -> tuple[Presented | None, CertificateUnreadable | None]:
        certificate = self._connection.get_peer_certificate()
        if certificate is None:
            return None, None
        try:
            sent = map(_der, self._connection.get_peer_cert_chain() or [])
            return _read((_der(certificate), *sent), self._read_certificate), None
        except CertificateUnreadable as error:
            return None, error


def _read(chain: tuple[bytes, ...], read: ReadCertificate) -> Presented:
    """The client's own certificate and the others that it sent, each once; raises CertificateUnreadable.

    Another certificate that cannot be read is left out: if the chain needs it, the chain is incomplete.
    """
    leaf, *sent = chain
    sent_along = dict.fromkeys(sent)
    sent_along.pop(leaf, None)  # some clients send their certificate twice
    readable: list[Certificate] = []
    unreadable: list[CertificateUnreadable] = []
    for der in islice(sent_along, MAX_CHAIN + 1):  # one more than allowed, so that `judge` refuses it
        try:
            readable.append(read(der))
        except CertificateUnreadable as error:
            if not _has_cheap_key(der):  # OpenSSL may verify with it
                raise
            unreadable.append(error)
    return Presented(read(leaf), tuple(readable), tuple(unreadable))


def _has_cheap_key(der: bytes) -> bool:
    """Whether the key of a certificate that cannot be read is known to be cheap to verify with."""
    try:
        return not is_costly(load_der_public_key(signed_fields(der).public_key.whole))
    except UNREADABLE:
        return False


def _too_costly(presented: Presented) -> PeerError | None:
    """The refusal if a key is too expensive to verify with: otherwise OpenSSL would verify the signatures next."""
    for each in (presented.certificate, *presented.chain):
        with suppress(ValueError, UnsupportedAlgorithm):
            if is_costly(each.x509.public_key()):
                detail = f"{cut(each.subject)} has a key that is too large to verify with"
                return refused(errors.CertKeyTooWeak, presented.certificate, detail)
    return None


def _der(certificate: crypto.X509) -> bytes:
    return crypto.dump_certificate(crypto.FILETYPE_ASN1, certificate)


def _refusal(error: SSL.Error) -> PeerError:
    """The reason why the handshake failed, from OpenSSL's text, because pyOpenSSL drops the error code."""
    try:
        words = str(error.args[0][0][2])
    except (IndexError, TypeError):
        words = ""
    return _REASONS.get(words, errors.TLSHandshakeFailed)(words or "TLS failed")  # no code: of OpenSSL
