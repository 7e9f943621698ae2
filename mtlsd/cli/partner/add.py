"""`mtlsd partner add`: creates a partner from the files that it sent."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from mtlsd.cli.files import certificates_in, end_unchanged, read_errors, refuse_link
from mtlsd.cli.options import PATH, option, usage_of, with_configuration, with_json, with_options
from mtlsd.cli.output import say, say_json, say_warnings
from mtlsd.config.model import Configuration
from mtlsd.errors import Problem
from mtlsd.files import writing
from mtlsd.files.reading import FileRefused, read_file
from mtlsd.partners.edit import merge
from mtlsd.partners.edit import proposal as proposals
from mtlsd.partners.partner import LoadedPartner, load_partner
from mtlsd.partners.partner_toml import MICProfile
from mtlsd.partners.production import without_tests
from mtlsd.partners.registry import load_each
from mtlsd.partners.validity import date_warnings
from mtlsd.partners.warnings import partner_warnings, pinned_warning
from mtlsd.pki.certificate import Certificate
from mtlsd.pki.formats.on_disk import password_in
from mtlsd.text import printable

FILES: dict[str, Any] = {"type": PATH, "multiple": True, "metavar": "FILE"}


@dataclass(frozen=True, slots=True)
class PartnerOptions:
    """The options that describe the partner; the fields of certificates are named after the keys of PLACES."""

    as2_ids: tuple[str, ...] = option(
        "AS2 id (AS2-From) of the partner; may be repeated.", "--as2-id", multiple=True, required=True
    )
    beside: tuple[Path, ...] = option(
        "Certificates for connections and messages; CAs in it are for connections only.", "--cert", **FILES
    )
    tls: tuple[Path, ...] = option("Certificates for connections only.", "--tls-cert", **FILES)
    as2: tuple[Path, ...] = option("Certificates for messages only.", "--as2-cert", **FILES)
    roots: tuple[Path, ...] = option("Root or intermediate CA of the partner, for connections only.", "--root", **FILES)
    mdn: tuple[Path, ...] = option("Roots of the servers that receive the partner's MDNs.", "--mdn-cert", **FILES)
    password_file: Path | None = option(
        "File with the password of each PKCS#12 file. Default: FILE.password beside it.", type=PATH
    )
    hosts: tuple[str, ...] = option("A virtual host that the partner may use; default: all.", "--host", multiple=True)
    mdn_urls: tuple[str, ...] = option(
        "URL that may receive asynchronous MDNs; may be repeated.", "--mdn-url", multiple=True
    )
    match_subject: str | None = option(
        "Accept later certificates with this subject (RFC 4514) under the partner's roots."
    )
    match_san: tuple[str, ...] = option("Also require this alternative name: dns:, email:, uri: or ip:.", multiple=True)
    require: tuple[str, ...] = option(
        "What messages must be; default: sign and encrypt.",
        multiple=True,
        type=click.Choice(["sign", "encrypt", "nothing"]),
    )
    relax: tuple[str, ...] = option("A relaxation, by name; may be repeated.", multiple=True)
    mic_profile: str | None = option(
        "What the partner's product hashes as the MIC of a message that is not signed; default: rfc.",
        type=click.Choice([each.value for each in MICProfile]),
    )
    as2_version: str | None = option("The AS2-Version of our MDNs; default: 1.2.", type=click.Choice(["1.2", "1.3"]))
    async_ack: int | None = option(
        "Status of the empty answer to a message with an asynchronous MDN; default: 200, or 204 with AS2 1.3.",
        type=click.Choice([200, 202, 204]),
    )


@dataclass(frozen=True, slots=True)
class Plan:
    """The partner as it would be, and the changes that this makes."""

    is_new: bool
    differences: list[str]
    warnings: tuple[Problem, ...]


@click.command()
@click.argument("name")
@with_configuration
@with_options(PartnerOptions)
@click.option("--replace", "may_replace", is_flag=True, help="Replace the existing partner of this name.")
@click.option("--dry-run", is_flag=True, help="Show what would change, and change nothing.")
@with_json
def add(
    configuration: Configuration, name: str, options: PartnerOptions, may_replace: bool, dry_run: bool, as_json: bool
) -> None:
    """Add a partner; either everything is applied or nothing.

    The command checks each file and each setting as the daemon would read it, and whether another partner claims the
    same certificate or AS2 id. The directory then appears in one step, and a running mtlsd uses it within two seconds.
    Repeating the command changes nothing. To change an existing partner, add --replace: certificates that are not given
    are removed. Settings without an option here are kept: [revocation] and revocation lists, [retention], the dates of
    kept certificates, and `disabled`. To renew a certificate, put the new file beside the old one instead.

    \b
    Examples:
      mtlsd partner add acme --as2-id ACME --cert acme.cer --root acme-root.cer
      mtlsd partner add acme --as2-id ACME --root acme-root.cer --match-subject 'CN=edi.acme.example,O=ACME' --dry-run

    Exit codes: 0 added, or nothing to do; 1 rejected, and nothing is changed; 2 wrong usage; 78 the configuration has
    errors.
    """
    with usage_of("NAME"):
        proposals.check_name(name)
    proposal = _proposal(options)
    target = configuration.server.certs / "partners" / name
    refuse_link(target)
    with _disk(target), _staged(_with_what_is_there(proposal, target), target, dry_run=dry_run) as staged:
        plan = _plan(configuration, staged, target)
        refused = bool(plan.differences) and not plan.is_new and not may_replace
        _say(plan, target, as_json=as_json, dry_run=dry_run, refused=refused)
        if refused and not dry_run:
            raise click.ClickException(
                f"{name} already exists with other settings. To renew a certificate, put the new file into {target}, "
                "beside the old one: both are accepted. --replace removes every certificate that is not given here"
            )
        if plan.differences and not dry_run:
            writing.publish(staged, target)


# --- What is given ----------------------------------------------------------------------------------------------------


def _proposal(options: PartnerOptions) -> proposals.Proposal:
    password = _password(options.password_file)
    certificates = tuple(
        each
        for name, use in proposals.PLACES.items()
        for path in getattr(options, name)
        for each in proposals.places(use, _certificates(path, password, ca_only=name == "roots"))
    )
    return proposals.Proposal(_settings(options), tuple(dict.fromkeys(certificates)))


def _with_what_is_there(proposal: proposals.Proposal, target: Path) -> proposals.Proposal:
    """The proposal, with the partner's settings that no option gives; ends the command if they cannot be read."""
    settings = target / "partner.toml"
    if not settings.exists():
        return proposal
    loaded = load_partner(target)
    if there := loaded.partner or loaded.held:
        return merge.keeping(proposal, there, disabled=loaded.held is not None)
    try:
        going = merge.would_go(read_file(settings).data)
    except (FileRefused, ValueError) as error:
        raise click.ClickException(f"nothing is changed: {settings}: {printable(str(error))}") from error
    if going:
        raise click.ClickException(f"nothing is changed: {settings} has errors, so {', '.join(going)} would be lost")
    return proposal


def _settings(options: PartnerOptions) -> dict[str, object]:
    """The settings as in partner.toml; options that are not given keep their defaults."""
    ids, subject = options.as2_ids, options.match_subject
    for text in (*ids, *options.hosts, *options.mdn_urls, *options.match_san, subject or ""):
        if text and not text.isprintable():
            raise click.UsageError(f"{printable(text)!r} is not printable")
    match = {"subject": subject, "san": options.match_san}
    settings = {"as2_id": ids[0] if len(ids) == 1 else ids, "match": {key: each for key, each in match.items() if each}}
    settings |= {
        key: getattr(options, key) for key in ("hosts", "relax", "mic_profile", "mdn_urls", "as2_version", "async_ack")
    }
    found: dict[str, object] = {key: value for key, value in settings.items() if value}
    if options.require:
        found["require"] = tuple(each for each in options.require if each != "nothing")
    return found


def _password(file: Path | None) -> str | None:
    if file is None:
        return None
    with read_errors(file):
        return password_in(file)


def _certificates(path: Path, password: str | None, *, ca_only: bool) -> tuple[Certificate, ...]:
    found = certificates_in(path, password)
    for each in found if ca_only else ():
        if not each.is_ca:
            raise click.ClickException(f"{path}: {each.subject} is not a CA: use --cert for it")
    return found


# --- What would change ------------------------------------------------------------------------------------------------


@contextmanager
def _staged(proposal: proposals.Proposal, target: Path, *, dry_run: bool) -> Iterator[Path]:
    """The new directory, beside its final place and under a lock; for a dry run, in a temporary place."""
    with ExitStack() as stack:
        if dry_run:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            staged = writing.stage(Path(folder) / target.name, proposal.files())
        else:
            stack.enter_context(writing.locked(target.parent))
            staged = writing.stage(target, proposal.files())
        stack.callback(writing.discard, staged)
        yield staged


def _plan(configuration: Configuration, staged: Path, target: Path) -> Plan:
    """The plan for the staged directory; errors in it, and conflicts with other partners, end the command."""
    loaded = proposals.renamed(load_partner(staged), staged, target)
    if configuration.server.production:
        loaded = without_tests(target, loaded)
    claimed, lost = proposals.conflicts(target.parent, load_each(target.parent), (loaded,))
    end_unchanged((*loaded.problems, *_hosts(configuration, loaded, target), *claimed))
    partner, now = loaded.partner or loaded.held, datetime.now(UTC)
    assert partner
    certificates = (*partner.public_certificates, *partner.trusted_roots, *partner.message_certificates)
    warnings = (
        *loaded.warnings,
        *lost,
        *partner_warnings(target, partner, now),
        *pinned_warning(target.parent, (partner,)),
        *date_warnings(target, certificates, now),
    )
    there = target.exists() and any(target.iterdir())  # an empty directory is not a partner yet
    before = proposals.describe(load_partner(target)) if there else {}
    return Plan(not there, proposals.differences(before, proposals.describe(loaded)), warnings)


def _hosts(configuration: Configuration, loaded: LoadedPartner, target: Path) -> Iterator[Problem]:
    known = {host.name for host in configuration.virtualhosts}
    partner = loaded.partner or loaded.held
    hosts = partner.hosts if partner else None
    for each in sorted((hosts or frozenset()) - known):
        text = f"{each} is not a virtual host; the virtual hosts are {', '.join(sorted(known))}"
        yield Problem(target / "partner.toml", text, key="hosts")


@contextmanager
def _disk(target: Path) -> Iterator[None]:
    """End the command if the disk cannot be written."""
    try:
        yield
    except OSError as error:
        advice = ": run this as root or as the owner of the directory" if isinstance(error, PermissionError) else ""
        raise click.ClickException(f"{target} cannot be written: {error.strerror}{advice}") from error


def _say(plan: Plan, target: Path, *, as_json: bool, dry_run: bool, refused: bool) -> None:
    if as_json:
        changed = bool(plan.differences) and not dry_run and not refused
        told = {"name": target.name, "changed": changed, "dry_run": dry_run, "differences": plan.differences}
        say_json(told | {"warnings": [each.message for each in plan.warnings]})
        return
    for line in plan.differences:
        say(line)
    say_warnings(plan.warnings)
    words = "would be" if dry_run or refused else "is"
    if not plan.differences:
        say(f"{target.name} already exists with these settings: nothing to do")
    elif plan.is_new:
        say(f"{target.name} {words} added")
    else:
        say(f"{target.name} {words} replaced")
