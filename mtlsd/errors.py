"""Every way to fail: one family, one table.

A class is a cause. It carries what everything else only reads:

- `reason`: the stable code that users script and search against; it never changes its meaning;
- `http_status`: the answer, if the cause is answered over HTTP (None: there is no HTTP to answer over);
- `disposition`: the modifier of the MDN, if one was requested (RFC 4130, section 7.5);
- `log_level`: the level of the log event for operators;
- `advice`: what to do next, safe to tell a stranger: no path, no name of another partner, no address.

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
    """One error in the configuration: the place, and how to fix it.

    Texts are for people: decisions are made by `cause`.
    """

    file: Path
    message: str
    line: int | None = None
    key: str | None = None
    brief: str = ""  # `message` without its consequence, for a list that shows the consequence beside it
    cause: type[MtlsdError] | None = None  # the kind of error that `message` quotes
    facts: tuple[tuple[str, str], ...] = ()  # about the certificate that `message` names, for the log

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else f"{self.file}"
        return f"{place}: {self.key}: {self.message}" if self.key else f"{place}: {self.message}"


class ConfigurationError(MtlsdError):
    """The configuration has errors; `problems` has all of them."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


class PeerError(MtlsdError):
    """A peer's bytes, certificate or request were refused. `detail` and `facts` go to the log.

    Only `said` goes to the peer.
    """

    reason: ClassVar[str]
    http_status: ClassVar[int | None]
    advice: ClassVar[str]
    tells_cause: ClassVar[bool] = False  # whether the peer may know `detail`, too
    disposition: ClassVar[str | None] = None
    log_level: ClassVar[str] = "warning"
    retry_after: ClassVar[int | None] = None  # seconds

    def __init__(self, detail: str = "", **facts: object) -> None:
        super().__init__(detail or self.reason)
        self.detail = detail
        self.facts = facts

    @property
    def said(self) -> str:
        """What the peer is told: the cause, if it may know the cause, and the advice."""
        cause = f"{self.detail[:1].upper()}{self.detail[1:]}. " if self.tells_cause and self.detail else ""
        return f"{cause}{self.advice}"


# --- TLS ----------------------------------------------------------------------------------------------------


class TLSRefused(PeerError):
    """The TLS handshake did not complete."""

    http_status = None
    log_level = "info"


class TLSNoCommonVersion(TLSRefused):
    """The client offers no TLS version that mtlsd supports."""

    reason = "tls_no_common_version"
    advice = "Enable TLS 1.2 or TLS 1.3."


class TLSNoCommonCipher(TLSRefused):
    """The client offers no cipher suite that mtlsd supports."""

    reason = "tls_no_common_cipher"
    advice = "Enable an ECDHE cipher suite with AES-GCM or ChaCha20-Poly1305."


class TLSHandshakeTimeout(TLSRefused):
    """The client did not finish the handshake within the deadline."""

    reason = "tls_handshake_timeout"
    advice = "Check whether a firewall or proxy delays the connection."


class TLSHandshakeFailed(TLSRefused):
    """The handshake failed for another reason; the log has OpenSSL's error or the client's alert."""

    reason = "tls_handshake_failed"
    advice = "Look for the TLS alert in the client's own log, and check that the client trusts our server certificate."


class PlainHTTPOnTLSPort(PeerError):
    """The first bytes were HTTP, not TLS."""

    reason = "tls_plain_http_on_tls_port"
    http_status = 400
    advice = "Use https:// in the URL."
    log_level = "info"


class SNIUnknown(PeerError):
    """The server name in the TLS handshake (SNI) is not a host at this address."""

    reason = "sni_unknown"
    http_status = 421
    advice = "Check the host name in the URL."


class SNIHostMismatch(PeerError):
    """`Host` is not the virtual host that the TLS handshake reached."""

    reason = "sni_host_mismatch"
    http_status = 421
    advice = "Send the same name in the TLS server name (SNI) and in Host, and open one connection per host."


# --- Client certificate -------------------------------------------------------------------------------------


class CertificateRefused(PeerError):
    """The client certificate does not verify, or belongs to no partner."""

    http_status = 400


class ClientCertMissing(CertificateRefused):
    """The virtual host requires a client certificate, and the client sent none."""

    reason = "client_cert_missing"
    advice = "Configure a client certificate and its private key for this URL."


class CertExpired(CertificateRefused):
    """The client certificate has expired."""

    reason = "cert_expired"
    advice = "Renew the client certificate, and send us the new one before you use it."


class CertNotYetValid(CertificateRefused):
    """The client certificate is not valid yet; the log shows from when it is."""

    reason = "cert_not_yet_valid"
    advice = "Wait until the certificate is valid, or check the clock of the machine that issued it."


class CertUntrustedIssuer(CertificateRefused):
    """The chain leads to an issuer that no partner of this host has."""

    reason = "cert_untrusted_issuer"
    advice = "Use the certificate that you registered with us, or register this one."


class CertSelfSignedUnknown(CertificateRefused):
    """The client certificate is self-signed, and no partner registered it."""

    reason = "cert_self_signed_unknown"
    advice = "Use the certificate that you registered with us, or register this one."


class CertChainIncomplete(CertificateRefused):
    """An intermediate certificate is missing; the log names its subject."""

    reason = "cert_chain_incomplete"
    advice = "Send the intermediate certificates together with the client certificate."


class CertChainTooLong(CertificateRefused):
    """The chain is longer than mtlsd allows, or longer than a CA in it allows."""

    reason = "cert_chain_too_long"
    advice = "Send only the certificates between yours and the root."


class CertBadSignature(CertificateRefused):
    """A signature in the chain does not verify."""

    reason = "cert_bad_signature"
    advice = "The certificate or one of its issuers is damaged or forged: export the certificate again."


class CertRevoked(CertificateRefused):
    """The certificate, or a CA above it, was revoked by its issuer; the log has the time and the source."""

    reason = "cert_revoked"
    advice = "Get a new certificate, and send it to us before you use it."


class CRLMissing(CertificateRefused):
    """The partner's settings require a revocation list (CRL), and a certificate in the chain has none."""

    reason = "crl_missing"
    advice = "Contact us: we have no revocation list for your certificate."
    log_level = "error"


class CRLExpired(CertificateRefused):
    """The partner's settings require a current revocation list (CRL), and the stored one is past its nextUpdate."""

    reason = "crl_expired"
    advice = "Contact us: our copy of your CA's revocation list is too old."
    log_level = "error"


class OCSPUnreachable(CertificateRefused):
    """The partner's settings require an answer from the CA's OCSP responder, and no valid answer arrived."""

    reason = "ocsp_unreachable"
    advice = "Connect again later. If that fails, ask your CA whether its OCSP responder is available."
    log_level = "error"


class CertEKUNoClientAuth(CertificateRefused):
    """The certificate has an extended key usage without clientAuth."""

    reason = "cert_eku_no_client_auth"
    advice = "Use a certificate that was issued for TLS client authentication."


class CertKeyUsage(CertificateRefused):
    """The certificate's key usage does not allow digital signatures."""

    reason = "cert_key_usage"
    advice = "Use a certificate whose key usage includes digitalSignature."


class CertKeyTooWeak(CertificateRefused):
    """A key in the chain is too weak: RSA below 2048 bits, or a curve below P-256."""

    reason = "cert_key_too_weak"
    advice = "Use an RSA key of 2048 bits or more, or an elliptic curve key on P-256 or stronger."


class CertSigAlgWeak(CertificateRefused):
    """A certificate in the chain is signed with SHA-1 or weaker."""

    reason = "cert_sig_alg_weak"
    advice = "Have the certificate reissued with SHA-256 or stronger."


class CertUnhandledCriticalExt(CertificateRefused):
    """A certificate has a critical extension that mtlsd does not support (RFC 5280, section 4.2)."""

    reason = "cert_unhandled_critical_ext"
    advice = "Use a certificate without unusual critical extensions."


class CertNameConstraint(CertificateRefused):
    """A CA in the chain is not allowed to issue for this name (RFC 5280, section 4.2.1.10)."""

    reason = "cert_name_constraint"
    advice = "Get a certificate from a CA whose name constraints allow its names."


class CAExpired(CertificateRefused):
    """A CA certificate in the chain has expired, or is not valid yet."""

    reason = "ca_expired"
    advice = "Send the renewed CA certificate with yours, and register it with us."


# --- Mapping a certificate to a partner ---------------------------------------------------------------------


class CertPinMismatch(CertificateRefused):
    """The chain verifies, but the partner registered its certificates, and this is not one of them."""

    reason = "cert_pin_mismatch"
    advice = "Use the certificate that you registered with us, or register this one."


class CertSubjectNotMapped(CertificateRefused):
    """The chain verifies, but no partner is registered for this subject."""

    reason = "cert_subject_not_mapped"
    advice = "Ask us to register the subject of your certificate."


class CertAmbiguousMapping(CertificateRefused):
    """More than one partner claims this certificate, so the certificate identifies none of them."""

    reason = "cert_ambiguous_mapping"
    advice = "Contact us: your certificate is registered twice."
    log_level = "error"


class PartnerDisabled(CertificateRefused):
    """The partner is known, but disabled: by an operator, or by an error in its registration."""

    reason = "partner_disabled"
    advice = "Your registration is currently disabled: contact us."
    log_level = "error"


class CertKnownButRetired(CertificateRefused):
    """The certificate belongs to a partner, and its `retire_after` has passed."""

    reason = "cert_known_but_retired"
    advice = "Use the newer certificate that you registered with us."


class CertKnownButPending(CertificateRefused):
    """The certificate belongs to a partner, and its `active_from` is in the future."""

    reason = "cert_known_but_pending"
    advice = "Use your previous certificate until the agreed date."


class CertKnownOtherHost(PeerError):
    """The partner is known, but not allowed on this virtual host."""

    reason = "cert_known_other_host"
    http_status = 403
    advice = "Check the host name in the URL, or ask us for access to this host."


# --- Access -------------------------------------------------------------------------------------------------


class TooManyRequests(PeerError):
    """One address sent too many requests to an information page in a short time."""

    reason = "spike_arrested"
    http_status = 429
    advice = "Wait, then send requests less often."
    log_level = "info"
    retry_after = 60


class TooManyFailures(PeerError):
    """The partner sent too many messages that failed; each one could be an attempt to guess a key."""

    reason = "spike_arrested"
    http_status = 503
    advice = "Too many of your messages failed. Fix the cause, wait, then send again."
    retry_after = 60


# --- HTTP ---------------------------------------------------------------------------------------------------


class BadRequest(PeerError):
    """The request is malformed HTTP, or states its length in two ways."""

    reason = "bad_request"
    http_status = 400
    advice = "Send a request that RFC 9112 allows."


class HostUnclear(BadRequest):
    """`Host` is missing, empty or repeated (RFC 9112, section 3.2)."""

    advice = "Send exactly one Host field, with the name from the URL."


class TransferCodingUnsupported(BadRequest):
    """The request has a transfer coding other than chunked."""

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


class BodyTooFragmented(PeerError):
    """The body arrives in chunks or TLS records of a few bytes each, which costs far more than the bytes."""

    reason = "body_too_fragmented"
    http_status = 413
    advice = "Send the body in larger chunks and larger TLS records: at least 16 bytes on average."


class ContentCodingUnsupported(PeerError):
    """The body has a Content-Encoding. AS2 compresses inside CMS, so a signature could not be checked."""

    reason = "content_coding_unsupported"
    http_status = 415
    advice = "Send the body without Content-Encoding."


class LengthRequired(PeerError):
    """A POST has neither Content-Length nor chunked coding."""

    reason = "length_required"
    http_status = 411
    advice = "Send Content-Length, or Transfer-Encoding: chunked."


class RangeNotSupported(PeerError):
    """A POST has Content-Range. A part of a message is never accepted as a whole one."""

    reason = "range_not_supported"
    http_status = 416
    advice = "Send the whole message in one request."


class RequestTimeout(PeerError):
    """The header did not arrive within its deadline, or the body arrived too slowly."""

    reason = "request_timeout"
    http_status = 408
    advice = "Send faster, or find out what slows the connection down."
    log_level = "info"


class TooManyConnections(PeerError):
    """The limit on connections has been reached, for this address or in total."""

    reason = "too_many_connections"
    http_status = None
    advice = "Keep connections open and reuse them."


class NoRoute(PeerError):
    """The virtual host has no route at this path."""

    reason = "no_route"
    http_status = 404
    advice = "Check the path in the URL."


class MethodNotAllowed(PeerError):
    """The route does not support this method."""

    reason = "method_not_allowed"
    http_status = 405
    advice = "Send AS2 messages with POST."
    allow: ClassVar[str] = "POST, HEAD"


class ReadOnly(MethodNotAllowed):
    """An information page is requested with another method than GET or HEAD."""

    advice = "Use GET or HEAD."
    allow = "GET, HEAD"


# --- AS2 ----------------------------------------------------------------------------------------------------


class AS2Refused(PeerError):
    """The AS2 message was refused. The MDN has the reason, or the HTTP response if no MDN was requested."""

    http_status = 400
    disposition = "processed/error: unexpected-processing-error"


class AS2HeaderMissing(AS2Refused):
    """A header field that RFC 4130 requires is missing or cannot be read."""

    reason = "as2_header_missing"
    advice = "Send each of AS2-From, AS2-To, Message-ID and Content-Type exactly once."


class AS2FromUnknown(AS2Refused):
    """No partner of this host has this AS2-From."""

    reason = "as2_from_unknown"
    http_status = 403
    disposition = "processed/error: unknown-trading-relationship"
    advice = "Check AS2-From: the value is case-sensitive, and must be the id that you registered."


class AS2ToUnknown(AS2Refused):
    """AS2-To is not the id of the organization that this route serves."""

    reason = "as2_to_unknown"
    http_status = 403
    disposition = "processed/error: unknown-trading-relationship"
    advice = "Check AS2-To: the value is case-sensitive, and must be the id that we gave you."


class AS2FromMismatchCert(PeerError):
    """AS2-From is not an AS2 id of the partner that the client certificate identifies."""

    reason = "as2_from_mismatch_cert"
    http_status = 403
    advice = "Send the AS2-From that belongs to your client certificate."


class AS2SecurityTooLow(AS2Refused):
    """The message lacks a signature or encryption that the agreement requires."""

    reason = "as2_security_too_low"
    tells_cause = True
    http_status = 403
    disposition = "processed/error: insufficient-message-security"
    advice = "Sign and encrypt the message as agreed, with the agreed algorithms."

    def __init__(self, detail: str = "", *, relaxation: str | None = None, **facts: object) -> None:
        """Take the `relax` that would accept the message, if one exists."""
        super().__init__(detail, **facts)
        self.relaxation = relaxation


class AS2DecryptFailed(AS2Refused):
    """The message cannot be decrypted: not our key, or damaged content."""

    reason = "as2_decrypt_failed"
    disposition = "processed/error: decryption-failed"
    advice = (
        "Encrypt to our current certificate, sign the message, and check that nothing changes the body in transit. "
        "Of a message that is not signed we do not say more, because anyone could have changed it."
    )


class AS2RecipientUnknown(AS2DecryptFailed):
    """The message is encrypted to none of our keys; the cause names its recipients and our certificates."""

    tells_cause = True  # an envelope names its recipients in the clear


class AS2CipherUnsupported(AS2DecryptFailed):
    """The message is encrypted with an algorithm that mtlsd does not support."""

    tells_cause = True  # an envelope names its algorithm in the clear


class AS2SignatureBad(AS2Refused):
    """The content differs from what was signed."""

    reason = "as2_signature_bad"
    disposition = "processed/error: integrity-check-failed"
    advice = "Check that nothing changes the message after it is signed."


class AS2SignerUnknown(AS2Refused):
    """No signature verifies with an active certificate of this partner."""

    reason = "as2_signer_unknown"
    disposition = "processed/error: authentication-failed"
    advice = "Sign with the key of the certificate that you registered with us, and check the dates of the certificate."


class AS2MICAlgUnsupported(AS2Refused):
    """The receipt is required with MIC algorithms that mtlsd does not support (RFC 4130, section 7.3)."""

    reason = "as2_mic_alg_unsupported"
    disposition = "failed/failure: unsupported MIC-algorithms"
    advice = "Request sha-256, sha-384, sha-512 or sha1."


class AS2ReceiptFormatUnsupported(AS2Refused):
    """The receipt is required in a format that mtlsd does not support (RFC 4130, section 7.3)."""

    reason = "as2_receipt_format_unsupported"
    disposition = "failed/failure: unsupported format"
    advice = "Request signed-receipt-protocol=pkcs7-signature."


class AS2DecompressFailed(AS2Refused):
    """The compressed content is damaged, compressed twice, or expands beyond the limits (RFC 5402)."""

    reason = "as2_decompress_failed"
    disposition = "processed/error: decompression-failed"
    advice = "Compress once, with zlib, and stay below the agreed size."


class AS2DuplicateOtherContent(AS2Refused):
    """The Message-ID is known, and the content differs from the first message."""

    reason = "as2_duplicate_other_content"
    disposition = "processed/error: duplicate-document"
    advice = "Use a new Message-ID for each message."
    log_level = "error"


class AS2MDNUnexpected(AS2Refused):
    """The message is a receipt (MDN), which answers no message of ours, and not a document."""

    reason = "as2_mdn_unexpected"
    advice = "Send receipts to the URL that requested them. This URL accepts documents only."


class MDNTargetDenied(PeerError):
    """The message requests an asynchronous MDN at a URL that is not on the partner's list."""

    reason = "mdn_target_denied"
    http_status = 403
    advice = "Request a synchronous MDN, or ask us to add the URL of your receiver to the list."


class AS2MessageIDInvalid(AS2Refused):
    """The Message-ID has more than 998 characters, or can be read in two ways."""

    reason = "as2_message_id_invalid"
    disposition = "processed/error: invalid-message-id"
    advice = "Send one Message-ID of at most 255 printable characters in angle brackets, with nothing beside them."


class AS2SenderEqualsReceiver(AS2Refused):
    """AS2-From and AS2-To are the same."""

    reason = "as2_sender_equals_receiver"
    disposition = "failed/failure: sender-equals-receiver"
    advice = "Send your own AS2 id in AS2-From and ours in AS2-To."


class AS2MIMEMalformed(AS2Refused):
    """The MIME or CMS structure cannot be read, or has its layers in an order that AS2 does not allow."""

    reason = "as2_mime_malformed"
    tells_cause = True  # inside of an envelope, it becomes AS2DecryptFailed
    advice = "Check boundaries, transfer encodings and the order of signing, compressing and encrypting."


class BackendRefused(PeerError):
    """The backend, which is itself an AS2 server, refused the message; its MDN was passed on unchanged."""

    reason = "as2_backend_refused"
    http_status = 200
    advice = "Read the MDN: the backend issued it."


class MDNUnreadable(PeerError):
    """The receipt (MDN) cannot be read, or does not answer our message."""

    reason = "mdn_unreadable"
    http_status = None
    advice = "Answer with a multipart/report that names our Message-ID (RFC 4130, section 7)."


# --- Ours ---------------------------------------------------------------------------------------------------


class Unavailable(PeerError):
    """The message cannot be stored at the moment, so it is not accepted."""

    http_status = 503
    retry_after = 60
    log_level = "error"
    advice = "Send the message again later: nothing was accepted."


class BackendUnavailable(Unavailable):
    """The route answers only after the backend has the message, and the backend did not accept it; see the log."""

    reason = "upstream_unavailable"
    advice = "Send the message again later, under the same Message-ID."


class JournalUnavailable(Unavailable):
    """The journal or the spool cannot be written."""

    reason = "journal_unavailable"


class CommitUnclear(JournalUnavailable):
    """The commit failed, and whether it is on disk is unknown; the log has the database's error."""


class SpoolFull(Unavailable):
    """The disk that holds the spool is full."""

    reason = "spool_full"


class ShuttingDown(Unavailable):
    """The daemon is stopping."""

    reason = "shutting_down"
    retry_after = 5
    log_level = "info"


class InternalError(PeerError):
    """A bug in mtlsd; the log has the traceback."""

    reason = "internal_error"
    http_status = 500
    advice = "Send the message again later, and tell us the request id."
    log_level = "error"


# --- The backend: errors of deliveries, never of clients ------------------------------------


class FailureCause(Enum):
    """Why a server did not answer, if that is known: finer than a reason code, for advice."""

    OTHER_NAME = auto()  # the server's certificate is for another name or address
    UNKNOWN_ISSUER = auto()  # no root that we trust vouches for the server's certificate
    NO_ADDRESS = auto()  # the server's name does not resolve
    NO_TLS = auto()  # the server does not speak TLS
    NO_HTTP = auto()  # the server does not speak HTTP
    CONNECTION_REFUSED = auto()  # nothing listens on that port


class UpstreamFailed(MtlsdError):
    """A delivery attempt failed; `retryable` says whether another attempt may succeed.

    `body_began`: the backend received part of the body, and may have accepted it.
    """

    reason: ClassVar[str]
    retryable: ClassVar[bool] = True

    def __init__(self, detail: str = "", *, body_began: bool = False, cause: FailureCause | None = None) -> None:
        super().__init__(detail)
        self.body_began = body_began
        self.cause = cause


class DeliveryImpossible(UpstreamFailed):
    """mtlsd could not make the attempt: the document cannot be read, or mtlsd has a bug; the log says which."""

    reason = "internal_error"


class UpstreamUnreachable(UpstreamFailed):
    """The server's name does not resolve, or the server refuses or breaks the connection."""

    reason = "upstream_unreachable"


class UpstreamTLS(UpstreamFailed):
    """The TLS handshake with the server failed; the text has OpenSSL's error, or the server's alert."""

    reason = "upstream_tls"


class UpstreamUntrusted(UpstreamTLS):
    """The server's certificate is not trusted, or is for another name; the text says what to do."""


class UpstreamTimeout(UpstreamFailed):
    """The server did not accept the connection, take the body, or begin its answer within the deadline."""

    reason = "upstream_timeout"


class UpstreamBadAnswer(UpstreamFailed):
    """The server's answer has no status, or an MDN in it is not whole."""

    reason = "upstream_bad_answer"


class UpstreamRejected(UpstreamFailed):
    """The server answered with a status that another attempt will not change."""

    reason = "upstream_rejected"
    retryable = False


class Upstream5xx(UpstreamFailed):
    """The server answered 408, 425, 429 or 5xx."""

    reason = "upstream_5xx"


def peer_errors() -> tuple[type[PeerError], ...]:
    """Every cause that can be answered or logged: the classes with a reason."""
    return tuple(each for each in _descendants(PeerError) if hasattr(each, "reason"))


def _descendants(base: type[PeerError]) -> Iterator[type[PeerError]]:
    for child in base.__subclasses__():
        yield child
        yield from _descendants(child)
