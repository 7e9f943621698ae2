"""`mtlsd partner add`: from what a partner sent to a directory that is in use."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from mtlsd.cli.options import load_configuration, with_config, with_json
from mtlsd.cli.output import say, say_json
from mtlsd.config.model import Configuration
from mtlsd.errors import Problem
from mtlsd.files import writing
from mtlsd.files.reading import FileRefused, read_file
from mtlsd.partners import warnings as doubts
from mtlsd.partners.edit import merge
from mtlsd.partners.edit import proposal as proposals
from mtlsd.partners.partner import LoadedPartner, load_partner
from mtlsd.partners.production import without_tests
from mtlsd.partners.registry import load_each
from mtlsd.partners.validity import date_warnings
from mtlsd.pki.certificate import Certificate, CertificateUnreadable
from mtlsd.pki.formats.reader import read_certificates
from mtlsd.text import printable

files: dict[str, Any] = {"type": click.Path(path_type=Path), "multiple": True, "metavar": "FILE"}


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to happen: the partner as it would be, and what that changes."""

    loaded: LoadedPartner
    is_new: bool
    differences: list[str]
    warnings: tuple[Problem, ...]


@click.command()
@click.argument("name")
@with_config
@click.option("--as2-id", "as2_ids", multiple=True, required=True, help="Its AS2-From; may be repeated.")
@click.option("--cert", "beside", **files, help="For connections and messages; its CAs for connections only.")
@click.option("--tls-cert", "tls", **files, help="For connections only.")
@click.option("--as2-cert", "as2", **files, help="For messages only.")
@click.option("--root", "roots", **files, help="Its CA, or one between: for connections only.")
@click.option("--mdn-cert", "mdn", **files, help="For the servers that take its MDNs only.")
@click.option("--host", "hosts", multiple=True, help="A virtual host that it may use; default: all.")
@click.option("--mdn-url", "mdn_urls", multiple=True, help="Where its asynchronous MDNs may go.")
@click.option("--match-subject", help="Accept later certificates of this subject (RFC 4514) under its roots.")
@click.option("--match-san", multiple=True, help="And with this alternative name: dns:, email:, uri: or ip:.")
@click.option(
    "--require", multiple=True, type=click.Choice(["sign", "encrypt", "nothing"]), help="Default: sign and encrypt."
)
@click.option("--relax", multiple=True, help="A relaxation, by name; may be repeated.")
@click.option("--as2-version", type=click.Choice(["1.2", "1.3"]))
@click.option("--async-ack", type=click.Choice(["200", "202", "204"]))
@click.option("--replace", "may_replace", is_flag=True, help="Put this in the place of what is there.")
@click.option("--dry-run", is_flag=True, help="Say what would change, and change nothing.")
@with_json
def add(name: str, file: Path, may_replace: bool, dry_run: bool, as_json: bool, **given: Any) -> None:
    """Add a partner, whole or not at all.

    What is given is checked as the daemon would read it: each file, each setting, and whether another partner claims
    the same. Then the directory takes its place in one step, and a running mtlsd uses it within two seconds. The same
    again changes nothing; something else under a name that is there needs --replace. What no option here gives stays
    then: [revocation] and revocation lists, [retention], the dates of certificates that stay, and `disabled`.

    \b
    Examples:
      mtlsd partner add acme --as2-id ACME --cert acme.cer --root acme-root.cer
      mtlsd partner add acme --as2-id ACME --root acme-root.cer --match-subject 'CN=edi.acme.example,O=ACME' --dry-run

    Exit codes: 0 it is there, or was before; 1 refused, and nothing is changed; 2 wrong usage; 78 the configuration has
    mistakes.
    """
    configuration = load_configuration(file)
    try:
        proposals.check_name(name)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="NAME") from error
    proposal = _proposal(given)
    target = configuration.server.certs / "partners" / name
    if target.is_symlink():
        raise click.ClickException(f"{target} is a symbolic link: whoever made it has to change it")
    with _disk(target), _staged(_with_what_is_there(proposal, target), target, dry_run=dry_run) as staged:
        plan = _plan(configuration, staged, target)
        refused = bool(plan.differences) and not plan.is_new and not may_replace
        _say(plan, target, as_json=as_json, dry_run=dry_run, refused=refused)
        if refused and not dry_run:
            raise click.ClickException(f"{name} is there already, and is another: give --replace if that is meant")
        if plan.differences and not dry_run:
            writing.publish(staged, target)


# --- What is given ----------------------------------------------------------------------------------------------------


def _proposal(given: dict[str, Any]) -> proposals.Proposal:
    certificates = tuple(
        each
        for option, use in proposals.PLACES.items()
        for path in given[option]
        for each in proposals.places(use, _certificates(path, ca_only=option == "roots"))
    )
    return proposals.Proposal(dict(_settings(given)), tuple(dict.fromkeys(certificates)))


def _with_what_is_there(proposal: proposals.Proposal, target: Path) -> proposals.Proposal:
    """The proposal, with all that the partner has and no option gives; where that cannot be known it is refused."""
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
        raise click.ClickException(f"nothing is changed: {settings} has mistakes, and {', '.join(going)} would go")
    return proposal


def _settings(given: dict[str, Any]) -> Iterator[tuple[str, object]]:
    """As partner.toml has them; what is not given is left to its default."""
    for text in (*given["as2_ids"], *given["hosts"], *given["mdn_urls"], *given["match_san"], given["match_subject"]):
        if text and not text.isprintable():
            raise click.UsageError(f"{printable(text)!r} is not printable")
    ids = given["as2_ids"]
    yield "as2_id", ids[0] if len(ids) == 1 else ids
    for key in ("hosts", "relax", "mdn_urls"):
        if given[key]:
            yield key, given[key]
    if given["require"]:
        yield "require", tuple(each for each in given["require"] if each != "nothing")
    if given["as2_version"]:
        yield "as2_version", given["as2_version"]
    if given["async_ack"]:
        yield "async_ack", int(given["async_ack"])
    match = {"subject": given["match_subject"], "san": given["match_san"]}
    if match := {key: value for key, value in match.items() if value}:
        yield "match", match


def _certificates(path: Path, *, ca_only: bool) -> tuple[Certificate, ...]:
    try:
        found = read_certificates(read_file(path).data)
    except (FileRefused, CertificateUnreadable) as error:
        raise click.ClickException(f"{path}: {error}") from error
    for each in found if ca_only else ():
        if not each.is_ca:
            raise click.ClickException(f"{path}: {each.subject} is no CA: give it with --cert")
    return found


# --- What would become of it ------------------------------------------------------------------------------------------


@contextmanager
def _staged(proposal: proposals.Proposal, target: Path, *, dry_run: bool) -> Iterator[Path]:
    """The directory, filled: beside its place, with all other commands kept out, or elsewhere for a dry run."""
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
    """What the staged directory means; mistakes in it, and conflicts with other partners, end the command."""
    loaded = proposals.renamed(load_partner(staged), staged, target)
    if configuration.server.production:
        loaded = without_tests(target, loaded)
    claimed, lost = proposals.conflicts(target.parent, load_each(target.parent), (loaded,))
    _end((*loaded.problems, *_hosts(configuration, loaded, target), *claimed))
    partner, now = loaded.partner or loaded.held, datetime.now(UTC)
    assert partner
    certificates = (*partner.public_certificates, *partner.trusted_roots, *partner.message_certificates)
    warnings = (
        *loaded.warnings,
        *lost,
        *doubts.doubts(target, partner, now),
        *date_warnings(target, certificates, now),
    )
    there = target.exists() and any(target.iterdir())  # an empty directory is no partner yet
    before = proposals.describe(load_partner(target)) if there else {}
    return Plan(loaded, not there, proposals.differences(before, proposals.describe(loaded)), warnings)


def _hosts(configuration: Configuration, loaded: LoadedPartner, target: Path) -> Iterator[Problem]:
    known = {host.name for host in configuration.virtualhosts}
    partner = loaded.partner or loaded.held
    hosts = partner.hosts if partner else None
    for each in sorted((hosts or frozenset()) - known):
        text = f"{each} is not a virtual host: there are {', '.join(sorted(known))}"
        yield Problem(target / "partner.toml", text, key="hosts")


def _end(problems: tuple[Problem, ...]) -> None:
    if problems:
        raise click.ClickException("nothing is changed:\n" + "\n".join(printable(str(each)) for each in problems))


@contextmanager
def _disk(target: Path) -> Iterator[None]:
    """What the disk refuses ends the command."""
    try:
        yield
    except OSError as error:
        advice = ": run this as root or as who owns it" if isinstance(error, PermissionError) else ""
        raise click.ClickException(f"{target} cannot be written: {error.strerror}{advice}") from error


def _say(plan: Plan, target: Path, *, as_json: bool, dry_run: bool, refused: bool) -> None:
    if as_json:
        changed = bool(plan.differences) and not dry_run and not refused
        told = {"name": target.name, "changed": changed, "dry_run": dry_run, "differences": plan.differences}
        say_json(told | {"warnings": [each.message for each in plan.warnings]})
        return
    for line in plan.differences:
        say(line)
    for each in plan.warnings:
        say(f"warning: {each}")
    words = "would be" if dry_run or refused else "is"
    if not plan.differences:
        say(f"{target.name} is there already, just so: nothing changes")
    elif plan.is_new:
        say(f"{target.name} {words} added")
    else:
        say(f"{target.name} {words} replaced")
