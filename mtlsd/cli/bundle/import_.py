"""`mtlsd import`: shows what a sealed bundle changes, and applies either all changes or none."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import click

from mtlsd.cli.bundle import audit
from mtlsd.cli.bundle.opening import ImportOptions, read_bundle
from mtlsd.cli.files import end_unchanged, read_errors, refuse_link
from mtlsd.cli.options import PATH, with_configuration, with_options
from mtlsd.cli.output import say, say_warnings
from mtlsd.config.model import Configuration
from mtlsd.errors import ConfigurationError, Problem
from mtlsd.files import carry_over, writing
from mtlsd.files.private import PRIVATE
from mtlsd.journal.proof.chain import EntryKind
from mtlsd.partners.edit import bundle as packing
from mtlsd.partners.edit import proposal
from mtlsd.partners.ours.host_keys import load_host
from mtlsd.partners.ours.organization import load_organization
from mtlsd.partners.partner import LoadedPartner, load_partner
from mtlsd.partners.registry import load_each
from mtlsd.pki.certificate import CertificateUnreadable
from mtlsd.pki.formats.reader import read_certificates


@click.command("import")
@click.argument("bundle_file", metavar="BUNDLE", type=PATH)
@with_configuration
@with_options(ImportOptions)
def import_(configuration: Configuration, bundle_file: Path, options: ImportOptions) -> None:
    """Apply a bundle that `mtlsd export` wrote.

    The command shows the differences first. Each partner, host and organization is changed as a whole or not at all.
    Everything that is not in the bundle stays unchanged: other directories, private keys that the bundle leaves out,
    the certificates of those keys, and virtualhosts.toml. Importing the same bundle again changes nothing. If a partner
    would claim what another partner has, the whole bundle is rejected.

    Anybody can seal a bundle to a certificate. Only the SHA-256 that export printed proves the origin: compare it with
    --sha256.

    \b
    Examples:
      mtlsd import certs.bundle --cert own.pem --key own.key --sha256 4f5c... --dry-run
      mtlsd import certs.bundle --passphrase-file bundle.passphrase --yes

    Exit codes: 0 applied, or nothing to do; 1 the bundle cannot be opened, is rejected, or nobody confirmed; 2 wrong
    usage; 78 the configuration has errors.
    """
    sealed, bundle = read_bundle(bundle_file, options)
    certs = configuration.server.certs
    try:
        with ExitStack() as stack:
            if not options.dry_run:
                stack.enter_context(writing.locked(certs / "partners"))
            changes = list(_fit(certs, bundle, list(_changes(certs, bundle))))
            _refuse_conflicts(certs, changes)
            _say_changes(configuration, bundle, changes)
            _say_lacking(certs, bundle)
            if not changes or options.dry_run:
                return
            if not options.yes:
                click.confirm("Apply these changes?", abort=True)
            _apply(configuration, bundle, sealed, changes)
    except OSError as error:
        raise click.ClickException(f"{certs} cannot be written: {error}") from error
    say(f"{len(changes)} changed")


@dataclass(frozen=True, slots=True)
class Change:
    """One directory below certs/ that differs from the bundle."""

    unit: str
    before: dict[str, bytes]
    after: dict[str, bytes]

    def lines(self) -> Iterator[str]:
        for name in sorted({*self.before, *self.after}):
            old, new = self.before.get(name), self.after.get(name)
            if old != new:
                mark = "+" if old is None else "-" if new is None else "~"
                yield f"{mark} {self.unit}/{name}{_about(new if new is not None else old or b'')}"


def _changes(certs: Path, bundle: packing.Bundle) -> Iterator[Change]:
    """The differences; an existing private key is kept, unless the bundle has one."""
    withheld = frozenset(bundle.withheld)
    for unit, files in bundle.units.items():
        directory = certs / unit
        refuse_link(directory)
        with read_errors(directory):
            before = packing.files_of(directory)
        kept = {name: data for name, data in before.items() if _stays(unit, name, data, bundle, withheld)}
        after = {**kept, **files}
        _refuse_loss(certs, unit, before, after)
        if before != after:
            yield Change(unit, before, after)


def _stays(unit: str, name: str, data: bytes, bundle: packing.Bundle, withheld: frozenset[str]) -> bool:
    """Whether a file that is not in the bundle is kept: a file that export left out, or that may be a private key.

    A partner's certificate is not kept, in any format: if it was removed at the source, it is removed here.
    """
    if f"{unit}/{name}" in withheld:
        return True
    if bundle.private_keys or packing.is_public(name, data):
        return False
    try:
        return not (unit.startswith("partners/") and read_certificates(data))
    except CertificateUnreadable:
        return True


def _refuse_loss(certs: Path, unit: str, before: dict[str, bytes], after: dict[str, bytes]) -> None:
    """End the command if a private key of ours would be deleted without a replacement."""
    if not unit.startswith("partners/"):
        lost = (name for name, data in before.items() if name not in after and not packing.is_public(name, data))
        words = (
            "is or may hold a private key, and the bundle has no replacement: move the file away if it is not needed"
        )
        end_unchanged(f"{certs / unit / name} {words}" for name in lost)


def _about(data: bytes) -> str:
    """The certificates in a file, if it has any."""
    with suppress(CertificateUnreadable):
        found = read_certificates(data)[:3]
        return ": " + ", ".join(f"{each.subject} until {each.not_after:%Y-%m-%d}" for each in found)
    return ""


def _say_changes(configuration: Configuration, bundle: packing.Bundle, changes: list[Change]) -> None:
    for change in changes:
        for line in (*change.lines(), *_settings(configuration.server.certs, change)):
            say(line)
    if bundle.configuration and bundle.configuration != configuration.file.read_bytes():
        say(f"{configuration.file.name} differs from the one in the bundle, and stays unchanged")
    if not changes:
        say("everything is already as in the bundle: nothing to do")


def _settings(certs: Path, change: Change) -> Iterator[str]:
    """The settings of a partner that the change removes and adds."""
    if change.unit.startswith("partners/"):
        before = proposal.describe(load_partner(certs / change.unit)) if change.before else {}
        for line in proposal.differences(before, proposal.describe(_loaded(certs, change))):
            yield f"    {line}"


def _say_lacking(certs: Path, bundle: packing.Bundle) -> None:
    """Name the files that export left out, and that do not exist here."""
    for name in bundle.withheld:
        if not (certs / name).exists():
            say(f"copy by hand: {certs / name}, which export left out of the bundle")


def _refuse_conflicts(certs: Path, changes: list[Change]) -> None:
    """End the command if a partner would claim what another partner has, as the daemon sees it."""
    proposed = [_loaded(certs, each) for each in changes if each.unit.startswith("partners/")]
    if not proposed:
        return
    partners = certs / "partners"
    problems, warnings = proposal.conflicts(partners, load_each(partners), proposed)
    say_warnings((*warnings, *(problem for loaded in proposed for problem in loaded.problems)))
    end_unchanged(problems)


def _fit(certs: Path, bundle: packing.Bundle, changes: list[Change]) -> Iterator[Change]:
    """The changes, without those that would leave a host or an organization of ours without a matching key.

    If the bundle has no private keys, such a directory stays unchanged; otherwise the command ends.
    """
    for change in changes:
        words = _broken(certs, change)
        if words and bundle.private_keys:
            end_unchanged(words)
        elif words:
            say(f"{change.unit} stays unchanged: its private key is for another certificate, and the bundle has no key")
        else:
            yield change


def _broken(certs: Path, change: Change) -> list[str]:
    """Why a host or an organization that can be loaded now could not be loaded after the change."""
    loaders: dict[str, Callable[[Path], object]] = {"hosts": load_host, "organizations": load_organization}
    load = loaders.get(change.unit.partition("/")[0])
    if load is None or not change.before or _problems(load, certs / change.unit):
        return []
    with _staged(change) as staged:
        return [str(each).replace(str(staged), str(certs / change.unit)) for each in _problems(load, staged)]


def _problems(load: Callable[[Path], object], directory: Path) -> tuple[Problem, ...]:
    try:
        load(directory)
    except ConfigurationError as error:
        return error.problems
    return ()


def _loaded(certs: Path, change: Change) -> LoadedPartner:
    with _staged(change) as staged:
        return proposal.renamed(load_partner(staged), staged, certs / change.unit)


@contextmanager
def _staged(change: Change) -> Iterator[Path]:
    """The changed directory, in a temporary place."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / change.unit.partition("/")[2]
        staged = writing.stage(target, _with_modes(change.after))
        writing.publish(staged, target)
        yield target


def _with_modes(files: dict[str, bytes]) -> dict[str, tuple[bytes, int]]:
    return {name: (data, writing.PUBLIC if packing.is_public(name, data) else PRIVATE) for name, data in files.items()}


def _apply(configuration: Configuration, bundle: packing.Bundle, sealed: bytes, changes: list[Change]) -> None:
    certs = configuration.server.certs
    with audit.opened(configuration) as journal:
        with ExitStack() as stack:
            staged = [_filled(certs, change, stack) for change in changes]
            for directory, change in zip(staged, changes, strict=True):
                writing.publish(directory, certs / change.unit)
        now = datetime.now(UTC).timestamp()
        audit.enter(journal, EntryKind.IMPORTED, sealed, bundle, now, changed=len(changes))


def _filled(certs: Path, change: Change, stack: ExitStack) -> Path:
    """The new directory, beside its final place, with the existing modes, owners and unknown files."""
    target = certs / change.unit
    target.parent.mkdir(mode=writing.SEARCHED, parents=True, exist_ok=True)
    staged = writing.stage(target, _with_modes(change.after))
    stack.callback(writing.discard, staged)
    if target.exists():
        new = {name: data for name, data in change.after.items() if data != change.before.get(name)}
        carry_over.keep_modes(target, staged, {name for name, data in new.items() if not packing.is_public(name, data)})
        carry_over.carry_over(target, staged, change.before)
    return staged
