"""Every way to fail: one family, one table.

A class is a cause. It carries what everything else only reads:

- `reason`: the stable code that users script and search against; it never changes its meaning;
- `http_status`: the answer, where the cause is answered over HTTP (None: there is no HTTP to answer over);
- `disposition`: the modifier of the MDN, where one was asked for (RFC 4130, section 7.5);
- `log_level`: how loudly the operators hear of it;
- `advice`: what to do about it, safe to tell a stranger: no path, no name of another partner, no address.

The docstring says what happened. Bytes from a peer may raise only `PeerError`. `docs/errors.md` is rendered
from these classes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import ClassVar


class MtlsdError(Exception):
    """The root of everything that this project raises on purpose."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in the configuration: where it is and how to mend it.

    Texts are for people: a decision is made by `cause`.
    """

    file: Path
    message: str
    line: int | None = None
    key: str | None = None
    brief: str = ""  # `message` without its consequence, for a list that shows the consequence beside it
    cause: type[MtlsdError] | None = None  # the kind of error that `message` quotes

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else f"{self.file}"
        return f"{place}: {self.key}: {self.message}" if self.key else f"{place}: {self.message}"


class ConfigurationError(MtlsdError):
    """The configuration has mistakes; all of them at once."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


class PeerError(MtlsdError):
    """A peer's bytes, certificate or wish were refused. `detail` and `facts` go to the log only."""

    reason: ClassVar[str]
    http_status: ClassVar[int | None]
    advice: ClassVar[str]
    disposition: ClassVar[str | None] = None
    log_level: ClassVar[str] = "warning"
    retry_after: ClassVar[int | None] = None  # seconds

    def __init__(self, detail: str = "", **facts: object) -> None:
        super().__init__(detail or self.reason)
        self.detail = detail
        self.facts = facts


# --- TLS ----------------------------------------------------------------------------------------------------


class TLSRefused(PeerError):
    """The TLS handshake did not complete."""

    http_status = None
    log_level = "info"


class TLSNoCommonVersion(TLSRefused):
    """The client offers no TLS version that we serve."""

    reason = "tls_no_common_version"
    advice = "Enable TLS 1.2 or TLS 1.3."


class TLSNoCommonCipher(TLSRefused):
    """The client offers no cipher suite that we serve."""

    reason = "tls_no_common_cipher"
    advice = "Enable an ECDHE cipher suite with AES-GCM or ChaCha20-Poly1305."


class TLSHandshakeTimeout(TLSRefused):
    """The client did not finish the handshake within the deadline."""

    reason = "tls_handshake_timeout"
    advice = "Look for a firewall or proxy that holds the connection up."


class TLSHandshakeFailed(TLSRefused):
    """The handshake broke for another cause; the log has OpenSSL's words or the client's alert."""

    reason = "tls_handshake_failed"
    advice = "Look in the client's own log for the alert; check that it trusts our server certificate."


class PlainHTTPOnTLSPort(PeerError):
    """The first bytes were HTTP, not TLS."""

    reason = "tls_plain_http_on_tls_port"
    http_status = 400
    advice = "Use https:// in the URL."
    log_level = "info"


class SNIUnknown(PeerError):
    """The server name in the TLS handshake (SNI) is none of the hosts at this address."""

    reason = "sni_unknown"
    http_status = 421
    advice = "Check the host name in the URL."


class SNIHostMismatch(PeerError):
    """`Host` does not name the virtual host that the TLS handshake reached."""

    reason = "sni_host_mismatch"
    http_status = 421
    advice = "Send the same name in the TLS server name (SNI) and in Host, and open one connection a host."


# --- Client certificate -------------------------------------------------------------------------------------


class CertificateRefused(PeerError):
    """The client certificate does not verify, or is nobody's."""

    http_status = 400


class ClientCertMissing(CertificateRefused):
    """The virtual host requires a client certificate, and the client sent none."""

    reason = "client_cert_missing"
    advice = "Configure a client certificate and its private key for this URL."


class CertExpired(CertificateRefused):
    """The client certificate's validity has ended."""

    reason = "cert_expired"
    advice = "Renew the client certificate, and send us the new one before you use it."


class CertNotYetValid(CertificateRefused):
    """The client certificate's validity has not begun; the log shows by how much."""

    reason = "cert_not_yet_valid"
    advice = "Wait until the certificate is valid, or check the clock of the machine that issued it."


class CertUntrustedIssuer(CertificateRefused):
    """The chain ends at an issuer that no partner of this host has."""

    reason = "cert_untrusted_issuer"
    advice = "Use the certificate that you registered with us, or register this one."


class CertSelfSignedUnknown(CertificateRefused):
    """The client certificate is self-signed and nobody registered it."""

    reason = "cert_self_signed_unknown"
    advice = "Use the certificate that you registered with us, or register this one."


class CertChainIncomplete(CertificateRefused):
    """An intermediate certificate is missing; the log names the issuer that is wanted."""

    reason = "cert_chain_incomplete"
    advice = "Send the intermediate certificates along with the client certificate."


class CertChainTooLong(CertificateRefused):
    """The chain is longer than we follow, or than a CA in it allows."""

    reason = "cert_chain_too_long"
    advice = "Send only the certificates between yours and the root."


class CertBadSignature(CertificateRefused):
    """A signature in the chain does not verify."""

    reason = "cert_bad_signature"
    advice = "The certificate or one of its issuers is damaged or forged: export it anew."


class CertRevoked(CertificateRefused):
    """The certificate, or a CA above it, was revoked by its issuer; the log says when and by what we know it."""

    reason = "cert_revoked"
    advice = "Have a new certificate issued, and send it to us before you use it."


class CRLMissing(CertificateRefused):
    """The partner's settings ask for a revocation list (CRL), and there is none for a certificate in the chain."""

    reason = "crl_missing"
    advice = "Ask us: we have no revocation list for your certificate."
    log_level = "error"


class CRLExpired(CertificateRefused):
    """The partner's settings ask for a revocation list (CRL) in force, and the one there is past its nextUpdate."""

    reason = "crl_expired"
    advice = "Ask us: our copy of your CA's revocation list is too old."
    log_level = "error"


class OCSPUnreachable(CertificateRefused):
    """The partner's settings ask for an answer from the CA's OCSP responder, and none came that counts."""

    reason = "ocsp_unreachable"
    advice = "Connect again later, and ask your CA whether its OCSP responder is up."
    log_level = "error"


class CertEKUNoClientAuth(CertificateRefused):
    """The certificate has an extended key usage, and clientAuth is not in it."""

    reason = "cert_eku_no_client_auth"
    advice = "Use a certificate that is issued for TLS client authentication."


class CertKeyUsage(CertificateRefused):
    """The certificate's key usage does not allow digital signatures."""

    reason = "cert_key_usage"
    advice = "Use a certificate whose key usage includes digitalSignature."


class CertKeyTooWeak(CertificateRefused):
    """A key in the chain is too weak: RSA below 2048 bits, or a curve below P-256."""

    reason = "cert_key_too_weak"
    advice = "Use an RSA key of 2048 bits or more, or an elliptic curve key on P-256 or better."


class CertSigAlgWeak(CertificateRefused):
    """A certificate in the chain is signed with SHA-1 or weaker."""

    reason = "cert_sig_alg_weak"
    advice = "Have the certificate issued anew with SHA-256 or better."


class CertUnhandledCriticalExt(CertificateRefused):
    """A certificate has a critical extension that is not understood (RFC 5280, section 4.2)."""

    reason = "cert_unhandled_critical_ext"
    advice = "Use a certificate without unknown critical extensions."


class CertNameConstraint(CertificateRefused):
    """A CA in the chain may not issue for this name (RFC 5280, section 4.2.1.10)."""

    reason = "cert_name_constraint"
    advice = "Have the certificate issued by a CA that may issue for its names."


class CAExpired(CertificateRefused):
    """A CA certificate in the chain is outside its validity."""

    reason = "ca_expired"
    advice = "Send the renewed CA certificate along, and register it with us."


# --- Mapping a certificate to a partner ---------------------------------------------------------------------


class CertPinMismatch(CertificateRefused):
    """The chain verifies, but the partner registered its certificates, and this is not one of them."""

    reason = "cert_pin_mismatch"
    advice = "Use the certificate that you registered with us, or register this one."


class CertSubjectNotMapped(CertificateRefused):
    """The chain verifies, but nobody is registered for this subject."""

    reason = "cert_subject_not_mapped"
    advice = "Ask us to register the subject of your certificate."


class CertAmbiguousMapping(CertificateRefused):
    """More than one partner claims this certificate, so it identifies nobody."""

    reason = "cert_ambiguous_mapping"
    advice = "Ask us: your certificate is registered twice."
    log_level = "error"


class PartnerDisabled(CertificateRefused):
    """The partner is known, but its registration has a mistake and is out of use."""

    reason = "partner_disabled"
    advice = "Ask us: your registration is out of use at the moment."
    log_level = "error"


class CertKnownButRetired(CertificateRefused):
    """The certificate is a partner's, and its `retire_after` is over."""

    reason = "cert_known_but_retired"
    advice = "Use the certificate that you registered with us in its place."


class CertKnownButPending(CertificateRefused):
    """The certificate is a partner's, and its `active_from` is still to come."""

    reason = "cert_known_but_pending"
    advice = "Use your previous certificate until the day that we agreed on."


class CertKnownOtherHost(PeerError):
    """The partner is known, but not on this virtual host."""

    reason = "cert_known_other_host"
    http_status = 403
    advice = "Check the host name in the URL, or ask us to open this host to you."


# --- Access -------------------------------------------------------------------------------------------------


class TooManyRequests(PeerError):
    """One address asked too often in a short time what only informs."""

    reason = "spike_arrested"
    http_status = 429
    advice = "Wait, and ask less often."
    log_level = "info"
    retry_after = 60


class TooManyFailures(PeerError):
    """The partner's failed messages reached the limit; each one could be a guess at our key."""

    reason = "spike_arrested"
    http_status = 503
    advice = "Mend the message and wait: too many of your messages failed."
    retry_after = 60


# --- HTTP ---------------------------------------------------------------------------------------------------


class BadRequest(PeerError):
    """Malformed HTTP, or two framings at once."""

    reason = "bad_request"
    http_status = 400
    advice = "Send a request that RFC 9112 allows."


class HostUnclear(BadRequest):
    """`Host` is missing, empty or there more than once (RFC 9112, section 3.2)."""

    advice = "Send exactly one Host field, with the name that is in the URL."


class TransferCodingUnsupported(BadRequest):
    """A transfer coding other than chunked."""

    http_status = 501
    advice = "Send Content-Length, or Transfer-Encoding: chunked and nothing else."


class HeadersTooLarge(PeerError):
    """The header is larger than the limit, or has too many fields."""

    reason = "headers_too_large"
    http_status = 431
    advice = "Send fewer or shorter header fields."


class BodyTooLarge(PeerError):
    """The body is larger than the limit."""

    reason = "body_too_large"
    http_status = 413
    advice = "Send a smaller message, or ask us to raise the limit."


class ContentCodingUnsupported(PeerError):
    """The body has a Content-Encoding: AS2 compresses inside CMS, and nobody could say what was signed."""

    reason = "content_coding_unsupported"
    http_status = 415
    advice = "Send the body without Content-Encoding."


class LengthRequired(PeerError):
    """A POST with neither Content-Length nor chunked."""

    reason = "length_required"
    http_status = 411
    advice = "Send Content-Length, or Transfer-Encoding: chunked."


class RangeNotSupported(PeerError):
    """A POST with Content-Range: a part of a message is never taken for a whole one."""

    reason = "range_not_supported"
    http_status = 416
    advice = "Send the whole message in one request."


class RequestTimeout(PeerError):
    """The header did not arrive within its deadline, or the body came too slowly."""

    reason = "request_timeout"
    http_status = 408
    advice = "Send faster, or look for what holds the connection up."
    log_level = "info"


class TooManyConnections(PeerError):
    """The limit on connections from this address, or in all, is reached."""

    reason = "too_many_connections"
    http_status = None
    advice = "Keep connections open and use them again."


class NoRoute(PeerError):
    """The virtual host serves nothing at this path."""

    reason = "no_route"
    http_status = 404
    advice = "Check the path in the URL."


class MethodNotAllowed(PeerError):
    """The route does not serve this method."""

    reason = "method_not_allowed"
    http_status = 405
    advice = "Send AS2 messages with POST."
    allow: ClassVar[str] = "POST, HEAD"


class ReadOnly(MethodNotAllowed):
    """What only informs is asked with GET or HEAD."""

    advice = "Ask with GET or HEAD."
    allow = "GET, HEAD"


# --- AS2 ----------------------------------------------------------------------------------------------------


class AS2Refused(PeerError):
    """The AS2 message was refused: an MDN says why, or the HTTP status where none was asked for."""

    http_status = 400
    disposition = "processed/error: unexpected-processing-error"


class AS2HeaderMissing(AS2Refused):
    """A header field that RFC 4130 requires is missing or cannot be read."""

    reason = "as2_header_missing"
    advice = "Send AS2-From, AS2-To, Message-ID and Content-Type once each."


class AS2FromUnknown(AS2Refused):
    """No partner of this host has this AS2-From."""

    reason = "as2_from_unknown"
    http_status = 403
    disposition = "processed/error: unknown-trading-relationship"
    advice = "Check AS2-From: it is case-sensitive and must be the id that you registered."


class AS2ToUnknown(AS2Refused):
    """AS2-To is not the id of the organization that this route serves."""

    reason = "as2_to_unknown"
    http_status = 403
    disposition = "processed/error: unknown-trading-relationship"
    advice = "Check AS2-To: it is case-sensitive and must be the id that we gave you."


class AS2FromMismatchCert(PeerError):
    """AS2-From is not an id of the partner whose certificate the connection has."""

    reason = "as2_from_mismatch_cert"
    http_status = 403
    advice = "Send the AS2-From that belongs to your client certificate."


class AS2SecurityTooLow(AS2Refused):
    """The agreement asks for a signature or encryption that the message does not have."""

    reason = "as2_security_too_low"
    http_status = 403
    disposition = "processed/error: insufficient-message-security"
    advice = "Sign and encrypt the message as agreed, with the algorithms agreed."

    def __init__(self, detail: str = "", *, relaxation: str | None = None) -> None:
        """Take the `relax` that would accept the message, if there is one."""
        super().__init__(detail)
        self.relaxation = relaxation


class AS2DecryptFailed(AS2Refused):
    """The envelope did not open: not our key, or damaged content."""

    reason = "as2_decrypt_failed"
    disposition = "processed/error: decryption-failed"
    advice = "Encrypt to our current certificate, and check that nothing on the way changes the body."


class AS2RecipientUnknown(AS2DecryptFailed):
    """The envelope is for none of our keys; the log says for whom it is, and what we hold."""


class AS2SignatureBad(AS2Refused):
    """The content is not what was signed."""

    reason = "as2_signature_bad"
    disposition = "processed/error: integrity-check-failed"
    advice = "Check that nothing changes the message after it is signed."


class AS2SignerUnknown(AS2Refused):
    """No signature verifies with a certificate of this partner that is in use."""

    reason = "as2_signer_unknown"
    disposition = "processed/error: authentication-failed"
    advice = "Sign with the key of the certificate that you registered with us, and look at its dates."


class AS2MICAlgUnsupported(AS2Refused):
    """The receipt is required with MIC algorithms that we do not have (RFC 4130, section 7.3)."""

    reason = "as2_mic_alg_unsupported"
    disposition = "failed/failure: unsupported MIC-algorithms"
    advice = "Ask for sha-256, sha-384, sha-512 or sha1."


class AS2ReceiptFormatUnsupported(AS2Refused):
    """The receipt is required in a format that we do not have (RFC 4130, section 7.3)."""

    reason = "as2_receipt_format_unsupported"
    disposition = "failed/failure: unsupported format"
    advice = "Ask for signed-receipt-protocol=pkcs7-signature."


class AS2DecompressFailed(AS2Refused):
    """The compressed content is damaged, compressed twice, or expands beyond the limits (RFC 5402)."""

    reason = "as2_decompress_failed"
    disposition = "processed/error: decompression-failed"
    advice = "Compress once, with zlib, and stay below the size agreed."


class AS2DuplicateOtherContent(AS2Refused):
    """A Message-ID that we know came with other content."""

    reason = "as2_duplicate_other_content"
    disposition = "processed/error: duplicate-document"
    advice = "Give each message a Message-ID of its own."
    log_level = "error"


class AS2MDNUnexpected(AS2Refused):
    """The message is an MDN, a receipt: it answers no message of ours, and is no document."""

    reason = "as2_mdn_unexpected"
    advice = "Send receipts to where they were asked for; this is where documents go."


class MDNTargetDenied(PeerError):
    """An asynchronous MDN is asked for at a target that is not on the partner's list."""

    reason = "mdn_target_denied"
    http_status = 403
    advice = "Ask for a synchronous MDN, or have us list the URL of your receiver."


class AS2MessageIDInvalid(AS2Refused):
    """The Message-ID has control characters or more than 998 characters."""

    reason = "as2_message_id_invalid"
    disposition = "processed/error: invalid-message-id"
    advice = "Send a Message-ID of at most 255 printable characters."


class AS2SenderEqualsReceiver(AS2Refused):
    """AS2-From and AS2-To are the same."""

    reason = "as2_sender_equals_receiver"
    disposition = "failed/failure: sender-equals-receiver"
    advice = "Send your own id in AS2-From and ours in AS2-To."


class AS2MIMEMalformed(AS2Refused):
    """The MIME structure or the CMS structure cannot be read, or holds layers in an order that AS2 lacks."""

    reason = "as2_mime_malformed"
    advice = "Check boundaries, transfer encodings and the order of signing, compressing and encrypting."


class BackendRefused(PeerError):
    """The backend, an AS2 server itself, refused the message; its MDN was passed on as it is."""

    reason = "as2_backend_refused"
    http_status = 200
    advice = "Read the MDN: it is the backend's own."


class MDNUnreadable(PeerError):
    """The receipt (MDN) cannot be read, or answers another message than ours."""

    reason = "mdn_unreadable"
    http_status = None
    advice = "Answer with a multipart/report that names our Message-ID (RFC 4130, section 7)."


# --- Ours ---------------------------------------------------------------------------------------------------


class Unavailable(PeerError):
    """We cannot keep a promise at the moment, so we make none."""

    http_status = 503
    retry_after = 60
    log_level = "error"
    advice = "Send the message again later: nothing of it was taken."


class BackendUnavailable(Unavailable):
    """The route answers only once the backend has the message, and the backend did not take it; the log says why."""

    reason = "upstream_unavailable"
    advice = "Send the message again later, under the same Message-ID."


class JournalUnavailable(Unavailable):
    """The journal or the spool cannot be written."""

    reason = "journal_unavailable"


class CommitUnclear(JournalUnavailable):
    """The commit failed so that nobody knows whether it is on the disk; the log has the database's words."""


class SpoolFull(Unavailable):
    """The disk of the spool is full."""

    reason = "spool_full"


class ShuttingDown(Unavailable):
    """The daemon is stopping."""

    reason = "shutting_down"
    retry_after = 5
    log_level = "info"


class InternalError(PeerError):
    """A bug of ours; the log has the traceback."""

    reason = "internal_error"
    http_status = 500
    advice = "Send the message again later, and tell us the request id."
    log_level = "error"


# --- The backend's: a delivery's, never a client's -----------------------------------------


class FailureCause(Enum):
    """What kept a server from answering, if that is known: finer than a reason code, for advice."""

    OTHER_NAME = auto()  # the server's certificate is for another name or address
    UNKNOWN_ISSUER = auto()  # no root that we trust vouches for the server's certificate
    NO_ADDRESS = auto()  # the server's name does not resolve
    NO_TLS = auto()  # the server does not speak TLS
    NO_HTTP = auto()  # the server does not speak HTTP
    CONNECTION_REFUSED = auto()  # nothing listens on that port


class UpstreamFailed(MtlsdError):
    """An attempt at a delivery failed; `retryable` says whether another one may help.

    `body_began`: the backend got some of the body, and may have taken it.
    """

    reason: ClassVar[str]
    retryable: ClassVar[bool] = True

    def __init__(self, detail: str = "", *, body_began: bool = False, cause: FailureCause | None = None) -> None:
        super().__init__(detail)
        self.body_began = body_began
        self.cause = cause


class DeliveryImpossible(UpstreamFailed):
    """We could not make the attempt: the document cannot be read, or a bug of ours; the log says which."""

    reason = "internal_error"


class UpstreamUnreachable(UpstreamFailed):
    """The server's address does not resolve, or refuses the connection, or breaks it."""

    reason = "upstream_unreachable"


class UpstreamTLS(UpstreamFailed):
    """TLS with the server did not come about; the text has OpenSSL's words, or the server's alert."""

    reason = "upstream_tls"


class UpstreamUntrusted(UpstreamTLS):
    """The server's certificate is not trusted, or is for another name; the text says what helps."""


class UpstreamTimeout(UpstreamFailed):
    """The server did not connect, take the body, or complete its answer within the deadline."""

    reason = "upstream_timeout"


class UpstreamBadAnswer(UpstreamFailed):
    """What the server answered is no HTTP, or has no end."""

    reason = "upstream_bad_answer"


class UpstreamRejected(UpstreamFailed):
    """The server answered with a status that another attempt will not change."""

    reason = "upstream_rejected"
    retryable = False


class Upstream5xx(UpstreamFailed):
    """The server answered 408, 425, 429 or 5xx."""

    reason = "upstream_5xx"


def peer_errors() -> tuple[type[PeerError], ...]:
    """Every cause that can be answered or logged: the classes that say what to do about it."""
    return tuple(each for each in _descendants(PeerError) if hasattr(each, "reason"))


def _descendants(base: type[PeerError]) -> Iterator[type[PeerError]]:
    for child in base.__subclasses__():
        yield child
        yield from _descendants(child)
