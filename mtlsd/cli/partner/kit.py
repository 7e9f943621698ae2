"""`mtlsd partner kit`: everything that a partner needs to connect, in one zip file."""

import io
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import click

from mtlsd.cli.files import USE_FORCE, certificates_in, write_errors
from mtlsd.cli.options import PATH, with_configuration
from mtlsd.cli.output import say
from mtlsd.cli.partner.directory import directory_of
from mtlsd.cli.partner.kit_certificates import Ours, encrypt_first, uses
from mtlsd.cli.partner.kit_files import Host, KitOrganization, kit_files, slug
from mtlsd.config.model import Configuration, VirtualHost
from mtlsd.files.writing import write_file
from mtlsd.partners.ours import organization
from mtlsd.partners.partner import Partner, load_partner
from mtlsd.partners.validity import certificate_files
from mtlsd.pki.dates import ALWAYS


@click.command()
@click.argument("name")
@with_configuration
@click.option("--output", type=PATH, help="The file to write; default: NAME-kit.zip.")
@click.option(
    "--port", type=click.IntRange(1, 65535), help="The port in the URLs; default: the port that the host listens on."
)
@click.option(
    "--connect", metavar="ADDRESS:PORT", help="The address to connect to, if the name of the host resolves to another."
)
@click.option("--force", is_flag=True, help="Overwrite the file.")
def kit(
    configuration: Configuration, name: str, output: Path | None, port: int | None, connect: str | None, force: bool
) -> None:
    """Write a zip file for a partner, with everything it needs to connect.

    The file has our TLS chain for each host of the partner (PEM, DER, P7B), our AS2 certificates (PEM, DER), a settings
    sheet with the fingerprints of the partner's own certificates, ready-to-run commands for curl, OpenSSL, Java, .NET,
    SAP STRUST and Postman, and the settings for OpenAS2 and mendelson. It has no private key.

    \b
    Example:
      mtlsd partner kit acme --output acme-kit.zip

    Exit codes: 0 success; 1 there is no such partner, a certificate of ours cannot be read, or the file already exists;
    78 the configuration file has errors.
    """
    partner, now = _partner(configuration, name), datetime.now(UTC)
    hosts = tuple(
        _host(configuration, each, port, connect, now)
        for each in configuration.virtualhosts
        if partner.may_use(each.name)
    )
    if not hosts:
        raise click.ClickException(f"{name} may not use any virtual host: check `hosts` in its partner.toml")
    output = output or Path(f"{name}-kit.zip")
    with write_errors(output, USE_FORCE):
        write_file(output.absolute(), _zip(kit_files(partner, hosts, now), now), overwrite=force)
    say(f"{output} is the kit for {name}: {', '.join(each.name for each in hosts)}")


def _zip(files: dict[str, bytes], now: datetime) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, data in files.items():
            info = zipfile.ZipInfo(name, now.timetuple()[:6])
            info.external_attr = (0o755 if name.endswith(".sh") else 0o644) << 16
            archive.writestr(info, data, zipfile.ZIP_DEFLATED)
    return made.getvalue()


def _partner(configuration: Configuration, name: str) -> Partner:
    loaded = load_partner(directory_of(configuration, name))
    partner = loaded.partner or loaded.held
    if partner is None:
        raise click.ClickException(f"{name} is not in use: {loaded.problems[0].message}")
    return partner


# --- Ours -------------------------------------------------------------------------------------------------------------


def _host(
    configuration: Configuration, host: VirtualHost, port: int | None, connect: str | None, now: datetime
) -> Host:
    listened = port or host.listen.port
    if not listened:
        raise click.ClickException(f"{host.name} listens on a port that the system chooses: give the port with --port")
    certs = configuration.server.certs
    chain = certificates_in(certs / "hosts" / host.name / "chain.pem")
    names = dict.fromkeys(each.organization for each in host.routes)
    ours = {name: _organization(certs / "organizations" / name, now) for name in names}
    routes = tuple((each.path, ours[each.organization]) for each in host.routes)
    return Host(host.name, listened, _place(connect), host.client_certificate.value, chain, routes)


def _place(connect: str | None) -> tuple[str, int] | None:
    if connect is None:
        return None
    address, _, port = connect.rpartition(":")
    if not address or not port.isdecimal() or not 0 < int(port) < 65536:
        raise click.BadParameter("expected ADDRESS:PORT", param_hint="--connect")
    return address, int(port)


def _organization(directory: Path, now: datetime) -> KitOrganization:
    """Our AS2 certificates, read without their keys, because only the daemon may be able to read the keys."""
    settings = organization.read_settings(directory).value or organization.OrganizationSettings()
    dates = {row.directory: row.dates for row in settings.pair}
    found = []
    for path in sorted(set(certificate_files(directory).values())):
        place = path.relative_to(directory)
        stem = slug("-".join((directory.name, *place.with_suffix("").parts)))
        found += [Ours(stem, place, each, dates.get(str(place.parent), ALWAYS)) for each in certificates_in(path)[:1]]
    if not found:
        raise click.ClickException(f"{directory} has no readable certificate")
    ours = encrypt_first(found, now)
    certificates = tuple((each.stem, each.certificate, tuple(uses(each, ours, now))) for each in ours)
    return KitOrganization(settings.as2_id or directory.name, certificates)
