"""`mtlsd check`."""

import sys
from collections.abc import Iterator
from dataclasses import MISSING, fields
from datetime import UTC, datetime
from pathlib import Path

import click

from mtlsd.cli.options import EXIT_CONFIGURATION, Problems, credentials, with_config, with_json
from mtlsd.cli.output import moment, say, say_json, say_table, say_warnings
from mtlsd.cli.partner.inventory import Inventory, PartnerEntry, take_inventory
from mtlsd.cli.partner.listed_certificate import ListedCertificate
from mtlsd.config.addresses import without_query
from mtlsd.config.model import Route, VirtualHost
from mtlsd.partners.expiry import LISTED_DAYS
from mtlsd.partners.partner_toml import MICProfile
from mtlsd.pki.certificate import Certificate
from mtlsd.pki.names import SHORT


@click.command()
@with_config
@with_json
def check(file: Path, as_json: bool) -> None:
    """Show what would be served, and every error in the configuration.

    Reads the configuration and every certificate. Starts nothing: `check` opens no socket, and does not touch the
    journal or the spool. Warnings go to stdout; errors go to stderr, one per line: file:line: key: what is wrong.

    \b
    Example:
      mtlsd check --config /etc/mtlsd/virtualhosts.toml

    Exit codes: 0 no errors; 1 errors under partners/ only: `mtlsd run` starts without these partners; 78 errors
    elsewhere: `mtlsd run` does not start.
    """
    found = take_inventory(file, credentials(), datetime.now(UTC))
    code = EXIT_CONFIGURATION if found.problems else int(bool(found.partners.problems))
    if as_json:
        say_json(found.as_json() | {"exit_code": code})
    else:
        _say(found)
        problems = (*found.problems, *found.partners.problems)
        Problems(problems).show()
        say(f"{_count(len(problems), 'error')}, {_count(len(found.warnings), 'warning')}")
    sys.exit(code)


def _say(found: Inventory) -> None:
    say(str(found.file))
    for host in found.configuration.virtualhosts if found.configuration else ():
        _say_host(host)
    if found.certificates:
        _say_certificates(found.certificates)
    _say_expiring(found.expiring)
    if found.partners.partners:
        _say_partners(found.partners.partners)
    if found.warnings:
        say()
    say_warnings(found.warnings)
    say()


def _say_host(host: VirtualHost) -> None:
    say()
    say(f"host {host.name} at {host.listen}, client certificate: {host.client_certificate}")
    for route in host.routes:
        backends = ", ".join(without_query(each.url) for each in route.backend)
        say(f"  {route.path} -> {route.organization} -> {backends}{_modes(route)}")
    if not host.routes:
        say("  no route: every request gets the status 404")


def _modes(route: Route) -> str:
    """The settings of a route that are not the default."""
    named = ((each, getattr(route, each.name)) for each in fields(route) if each.default is not MISSING)
    changed = ((each.name, value) for each, value in named if value != each.default)
    return "".join(f", {name}: {'yes' if value is True else value}" for name, value in changed)


def _say_certificates(certificates: tuple[ListedCertificate, ...]) -> None:
    say()
    rows = [(each.owner, each.use, each.file, *_facts(each.certificate), each.left) for each in certificates]
    say_table(("CERTIFICATE OF", "USE", "FILE", "SUBJECT", "SHA256", "NOT AFTER", "DAYS LEFT"), rows, fold="SUBJECT")


def _facts(certificate: Certificate) -> tuple[str, str, str]:
    return certificate.subject, certificate.sha256[:SHORT], moment(certificate.not_after)


def _say_expiring(expiring: list[ListedCertificate]) -> None:
    """One line per certificate, the first to expire first."""
    if expiring:
        say()
        say(f"expires within {LISTED_DAYS} days, the soonest first:")
    for each in expiring:
        left = f"{each.days_left} days" if each.days_left >= 0 else "EXPIRED"
        what = f"{each.owner}, {each.use}, {each.file}: {each.certificate.subject}"
        say(f"  {moment(each.certificate.not_after)}  {left}  {what}")


def _say_partners(partners: tuple[PartnerEntry, ...]) -> None:
    say()
    rows = [(each.name, *_columns(each), each.state) for each in partners]
    say_table(("PARTNER", "AS2 ID", "HOSTS", "MUST", "RELAX", "STATE"), rows, fold="STATE")
    for each in partners:
        for setting in _unusual(each):
            say(f"  {each.name}: {setting}")


def _columns(entry: PartnerEntry) -> list[str]:
    settings = entry.settings
    return [settings.get(key, "-") for key in ("as2_id", "hosts", "require", "relax")]


def _unusual(entry: PartnerEntry) -> Iterator[str]:
    """The settings that most partners do not have."""
    partner, settings = entry.partner, entry.settings
    if partner and partner.match:
        yield f"match: {settings['match']}"
    if partner and partner.mdn_urls:
        yield f"mdn_urls: {settings['mdn_urls']}"
    if partner and partner.mic_profile is not MICProfile.RFC:
        yield f"mic_profile: {partner.mic_profile}"
    if partner and (partner.as2_version, partner.async_ack) != ("1.2", 200):
        yield f"as2_version: {partner.as2_version}, async_ack: {partner.async_ack}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
