"""`mtlsd cert`."""

import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from mtlsd.cli.cert.inspect import ReadFile, describe, facts, read, roles
from mtlsd.cli.cert.write import FORMS, KEYSTORES, WITH_KEY, Belongings, in_form, pem_of, write
from mtlsd.cli.files import read_errors
from mtlsd.cli.options import PATH, option, with_json, with_options
from mtlsd.cli.output import say, say_fields, say_json
from mtlsd.pki.formats.on_disk import password_in
from mtlsd.pki.lint import oddities

a_file = click.argument("path", metavar="FILE", type=PATH)
OPENS_FILE = "File with the password of FILE. Default: FILE.password if it exists; otherwise you are asked."
with_password = click.option("--password-file", type=PATH, help=OPENS_FILE)
with_force = click.option("--force", is_flag=True, help="Overwrite an existing file.")


@dataclass(frozen=True, slots=True)
class ConvertOptions:
    """The options of `mtlsd cert convert`."""

    key_file: Path | None = option("File with the private key, if IN has none.", "--key", type=PATH)
    no_key: bool = option("Omit the private key.", is_flag=True)
    legacy: bool = option("PKCS#12 with 3DES and SHA-1, for old products.", is_flag=True)
    password_file: Path | None = option(OPENS_FILE, type=PATH)
    out_password_file: Path | None = option("File with the password for OUT; otherwise you are asked.", type=PATH)


@click.command()
@a_file
@with_password
@with_json
def show(path: Path, password_file: Path | None, as_json: bool) -> None:
    """Show every certificate and private key in FILE.

    For each certificate, the output has its dates, key and uses, and missing issuers. FILE may have any format that is
    allowed in a partner's directory. Of a private key, only its type and its certificate are shown.

    \b
    Example:
      mtlsd cert show acme.pfx --password-file secret.txt

    Exit codes: 0 success; 1 the file cannot be read; stderr has the reason.
    """
    found = read(path, password_file)
    now, remarks = datetime.now(UTC), _remarks(found)
    certificates = [facts(each, role, now) for each, role in roles(found.bundle)]
    if as_json:
        say_json({
            "file": str(path),
            "form": found.contents.form,
            "certificates": certificates,
            "private_keys": [_key_facts(found, key) for key in found.keys],
            "missing_issuers": list(found.bundle.missing),
            "remarks": remarks,
        })  # fmt: skip
        return
    say(f"{path}: {found.contents.form}")
    for each in certificates:
        say()
        say_fields(_fields(each))
    for key in found.keys:
        say()
        owner = found.owner_of(key)
        belongs = f"belongs to {owner.subject}" if owner else "belongs to none of these certificates"
        say(f"private key: {describe(key)}, {belongs}")
    if remarks:
        say()
    for remark in remarks:
        say(f"note: {remark}")


@click.command()
@a_file
@with_password
@click.option("--output", type=PATH, help="Write the repaired file here instead of stdout.")
@with_force
def doctor(path: Path, password_file: Path | None, output: Path | None, force: bool) -> None:
    """Say what is wrong with FILE, and write a repaired copy in PEM.

    The copy has each certificate once, a leaf before its issuers. Problems go to stderr, one per line; irregular fields
    of a certificate are reported and not changed. A private key is written only with --output, to a file that only its
    owner can read.

    \b
    Example:
      mtlsd cert doctor from-the-mail.txt > acme.pem

    Exit codes: 0 the file is correct or repaired; 1 the file cannot be repaired; stderr has the reason.
    """
    found = read(path, password_file)
    what = _belongings(found, None)
    odd = (f"{each.subject}: {words}" for each in found.contents.certificates for words in oddities(each))
    for remark in [*_remarks(found), *odd] or ["no problem found"]:
        say(f"{path}: {remark}", err=True)
    if output:
        write(output, pem_of(what), secret=what.key is not None, force=force)
        return
    if found.contents.keys:
        say("the private key is not written to stdout: use --output", err=True)
    sys.stdout.flush()
    click.echo(b"".join(each.pem for each in what.certificates), nl=False)


@click.command()
@click.argument("source", type=PATH, metavar="IN")
@click.argument("target", type=PATH, metavar="OUT")
@with_options(ConvertOptions)
@with_force
def convert(source: Path, target: Path, options: ConvertOptions, force: bool) -> None:
    """Convert the file IN to the format that the name of OUT implies.

    \b
      .pem        certificates and the private key       .crt        only the certificates, in PEM
      .der .cer   one certificate                        .key        only the private key, in PEM
      .p7b .p7c   certificates, PKCS#7                   .json       service key: certificate and key
      .pfx .p12   certificates and key, PKCS#12 with AES and a password

    The private key must belong to a certificate in IN. Only the owner can read a file with a private key (mode 0600).
    Passwords are never given on the command line. An existing file is overwritten only with --force.

    \b
    Examples:
      mtlsd cert convert acme.p7b acme.pem
      mtlsd cert convert chain.pem own.pfx --key key.pem --out-password-file secret.txt

    Exit codes: 0 written; 1 rejected or failed; stderr has the reason.
    """
    form = target.suffix.lower()
    if form not in FORMS:
        raise click.UsageError(f"the name of OUT must end with one of {' '.join(FORMS)}")
    found = read(source, options.password_file)
    what = _belongings(found, _separate_key(options.key_file, options.password_file) if options.key_file else None)
    if options.no_key or form not in WITH_KEY:
        what = Belongings(what.certificates)
    password = _new_password(target, options.out_password_file) if form in KEYSTORES else None
    data = in_form(form, what, password, legacy=options.legacy)
    write(target, data, secret=what.key is not None, force=force)


# --- Keys ---------------------------------------------------------------------------------------------------


def _separate_key(file: Path, password_file: Path | None) -> PrivateKeyTypes:
    found = read(file, password_file)
    if len(found.keys) != 1:
        raise click.ClickException(f"{file}: {'; '.join(found.locked) or 'the file must hold exactly one private key'}")
    return found.keys[0]


def _belongings(found: ReadFile, key: PrivateKeyTypes | None) -> Belongings:
    """The certificates in order and the key; ends the command if the key belongs to none of them."""
    if found.locked and key is None:
        raise click.ClickException(f"{found.path}: {found.locked[0]}")
    if len(found.keys) > 1 and key is None:
        raise click.ClickException(f"{found.path}: {len(found.keys)} private keys, but only one is allowed")
    key = key or next(iter(found.keys), None)
    certificates = found.bundle.in_order
    if key is None or not certificates:
        return Belongings(certificates, key)
    own = found.owner_of(key)
    if own is None:
        raise click.ClickException(
            f"{found.path}: the private key belongs to none of the certificates; the first is {certificates[0].subject}"
        )
    return Belongings(tuple(dict.fromkeys((own, *certificates))), key)


def _new_password(target: Path, file: Path | None) -> str:
    if file is None:
        return str(click.prompt(f"password for {target.name}", hide_input=True, confirmation_prompt=True, err=True))
    with read_errors(file):
        return password_in(file)


# --- Output -------------------------------------------------------------------------------------------------


def _fields(facts: dict[str, Any]) -> list[tuple[str, object]]:
    return [
        (facts["role"], facts["subject"]),
        ("issuer", facts["issuer"]),
        ("serial", facts["serial"]),
        ("not before", facts["not_before"]),
        ("not after", f"{facts['not_after']}, {facts['days_left']} days left ({facts['state']})"),
        ("names", ", ".join(facts["san"])),
        ("key", facts["key"]),
        ("uses", ", ".join(facts["extended_key_usage"])),
        ("sha256", facts["sha256"]),
        ("odd", ", ".join(facts["odd"])),
    ]


def _key_facts(found: ReadFile, key: PrivateKeyTypes) -> dict[str, str | None]:
    owner = found.owner_of(key)
    return {"key": describe(key), "belongs_to": owner.sha256 if owner else None}


def _remarks(found: ReadFile) -> list[str]:
    """The oddities of the file, and what is missing from it."""
    contents = found.contents
    return [
        *(f"the file {each}" for each in contents.remarks),
        *(f"not used: {each}" for each in contents.others),
        *(f"a private key cannot be read: {each}" for each in found.locked),
        *(f"an issuer is missing: {each}" for each in found.bundle.missing),
    ]
