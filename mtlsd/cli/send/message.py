"""The message of `mtlsd send`, from its options and files; a wrong combination is wrong usage."""

from dataclasses import replace
from datetime import datetime
from pathlib import Path

import click

from mtlsd import __version__
from mtlsd.as2.cms.sign import Padding
from mtlsd.as2.outbound import compose
from mtlsd.as2.outbound.compose import BuiltMessage
from mtlsd.as2.outbound.draft import Compression, Draft, DraftDocument, Encryption, Signing
from mtlsd.cli.output import say_warnings
from mtlsd.cli.send.mdn import Asked
from mtlsd.cli.send.options import NONE, Options
from mtlsd.errors import ConfigurationError, MtlsdError
from mtlsd.files.reading import FileRefused
from mtlsd.ids import new_id
from mtlsd.pki.certificate import Certificate, CertificateUnreadable, PrivateKeyPresent
from mtlsd.pki.formats.on_disk import read_public_file
from mtlsd.pki.key_pair import KeyPair, LoadedKeyPair, load_key_pair


def prepare(options: Options, receipt_url: str | None, now: datetime) -> tuple[BuiltMessage, Asked]:
    """Read the files and compose the message; raises UsageError."""
    draft = _draft(options, receipt_url, now)
    signers = _signers(options)
    _warn_of_keys(options)
    try:
        message = compose.compose(draft, now=now.timestamp())
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    asked = Asked(
        message_id=draft.message_id,
        mdn=draft.mdn,
        mics={algorithm: message.mic(algorithm) for algorithm in _mic_algorithms(draft)},
        signers=signers,
        relax=frozenset({"sha1"} & {draft.micalg}),
        waits=options.timeout if receipt_url else None,
        hashable=message.stages,
    )
    return message, asked


def _draft(options: Options, receipt_url: str | None, now: datetime) -> Draft:
    return Draft(
        as2_from=options.as2_from,
        as2_to=options.as2_to,
        message_id=f"<{new_id(now.timestamp())}@mtlsd.invalid>" if options.message_id is None else options.message_id,
        documents=_documents(options),
        subject=options.subject,
        signing=_signing(options),
        compression=Compression(options.compress),
        encryption=_encryption(options),
        mdn=options.mdn,
        micalg=options.micalg or (options.sign if options.sign != NONE else "sha256"),
        receipt_url=receipt_url,
        version=options.as2_version,
        product=f"mtlsd/{__version__}",
    )


def _documents(options: Options) -> tuple[DraftDocument, ...]:
    try:
        return tuple(
            DraftDocument(path.read_bytes(), content_type, path.name)
            for path, content_type in ((options.document, options.content_type), *options.attach)
        )
    except OSError as error:
        raise click.UsageError(f"{error.filename} cannot be read: {error.strerror}") from error


def _mic_algorithms(draft: Draft) -> set[str]:
    """The algorithms that the receiver may use for the MIC.

    RFC 4130, section 7.4.3, requires the digest of the signature; some products use the requested digest instead.
    Without both, these are the defaults of RFC 4130 and of the draft of its successor.
    """
    digests = {draft.signing.digest} if draft.signing else set()
    if draft.mdn == "signed":
        digests.add(draft.micalg)
    return digests or {"sha1", "sha256"}


# --- Files ----------------------------------------------------------------------------------------------------


def _signing(options: Options) -> Signing | None:
    if options.sign == NONE:
        return None
    padding = Padding.PSS if options.pss else Padding.PKCS1V15
    return Signing(_as2_pair(options), options.sign, padding, options.opaque)


def _as2_pair(options: Options) -> KeyPair:
    if options.sign_cert and options.sign_key:
        return key_pair(options.sign_cert, options.sign_key)
    if options.sign_cert or options.sign_key:
        raise click.UsageError("--sign-cert and --sign-key must be given together.")
    if not (options.cert and options.key):
        raise click.UsageError(
            "Signing needs a key pair: give --sign-cert and --sign-key, or --cert and --key; or use --sign none."
        )
    return key_pair(options.cert, options.key)


def key_pair(certificate: Path, key: Path) -> KeyPair:
    """Read a key pair; raises UsageError with all errors."""
    return _load(certificate, key).key_pair


def _load(certificate: Path, key: Path) -> LoadedKeyPair:
    try:
        return load_key_pair(certificate, key, for_tests=True)
    except ConfigurationError as error:
        problems = (replace(each, message=_worded(each.message, each.cause)) for each in error.problems)
        raise click.UsageError("\n".join(map(str, problems))) from error


def _warn_of_keys(options: Options) -> None:
    """Write warnings about the files of our key pairs to stderr, once for each pair."""
    pairs = (
        (options.cert, options.key),
        (options.sign_cert, options.sign_key),
        (options.listen_cert, options.listen_key),
    )
    for certificate, key in dict.fromkeys(pairs):
        if certificate and key:
            say_warnings(_load(certificate, key).warnings, err=True)


def _encryption(options: Options) -> Encryption | None:
    if options.encrypt == NONE:
        return None
    if options.encrypt_to is None:
        raise click.UsageError("--encrypt-to is missing: give the receiver's certificate, or use --encrypt none.")
    return Encryption(_certificates(options.encrypt_to, "--encrypt-to")[0], options.encrypt, options.encrypt_key)


def _signers(options: Options) -> tuple[Certificate, ...]:
    """The certificates for verifying the signature of the MDN."""
    if options.mdn_cert:
        return _certificates(options.mdn_cert, "--mdn-cert")
    if options.encrypt_to:
        return _certificates(options.encrypt_to, "--encrypt-to")[:1]
    if options.mdn == "signed":
        raise click.UsageError("--mdn-cert is missing: give the certificate that signs the MDN, or use --mdn unsigned.")
    return ()


def _certificates(path: Path, option: str) -> tuple[Certificate, ...]:
    try:
        return read_public_file(path).certificates
    except (FileRefused, CertificateUnreadable) as error:
        raise click.BadParameter(f"{path}: {_worded(str(error), type(error))}", param_hint=option) from error


def _worded(error: str, cause: type[MtlsdError] | None) -> str:
    """The message about an error in a file; a private key here is the user's own, so it need not be rotated."""
    return "a private key, not a certificate" if cause is PrivateKeyPresent else error
