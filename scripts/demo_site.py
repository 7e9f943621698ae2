"""The folder of the demo: certificates, and a copy of virtualhosts.toml with free ports."""

import re
import shutil
import socket
import subprocess
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from mtlsd.config.load import read_configuration
from mtlsd.config.model import ClientCertificate, Configuration, VirtualHost
from scripts.demo_partner import LOOPBACK, Partner

REPOSITORY = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Site:
    """A folder that `mtlsd run` can serve from."""

    folder: Path
    configuration: Configuration

    @property
    def server_ca(self) -> Path:
        return self.folder / "server-ca-cert.pem"

    @property
    def organization(self) -> str:
        """Our AS2 id, which is also the name of the organization's directory."""
        return self.mutual_tls.routes[0].organization

    @property
    def organization_certificate(self) -> Path:
        return self.configuration.server.certs / "organizations" / self.organization / "cert.pem"

    @property
    def mutual_tls(self) -> VirtualHost:
        """The host that requires a client certificate."""
        return self._host(ClientCertificate.REQUIRED)

    @property
    def signed_only(self) -> VirtualHost:
        """The host that requests no client certificate."""
        return self._host(ClientCertificate.NONE)

    def partner(self, name: str) -> Partner:
        """A partner whose keys are in partners/."""
        folder = self.folder / "partners" / name
        return Partner(name, folder, self.server_ca, self.organization, self.organization_certificate)

    def make_partner(self, name: str) -> Partner:
        """A new partner with its keys; mtlsd does not trust it yet."""
        _dev_certs(self.folder, name)
        return self.partner(name)

    def trust(self, partner: Partner) -> Path:
        """Copy the partner's files into certs/partners/, file by file, as an operator would."""
        target = self.configuration.server.certs / "partners" / partner.as2_id
        shutil.copytree(partner.folder / "for-us", target)
        return target

    def _host(self, wanted: ClientCertificate) -> VirtualHost:
        return next(each for each in self.configuration.virtualhosts if each.client_certificate is wanted)


def prepare(folder: Path, backend: str) -> Site:
    """Fill the folder: certificates, and the repository's virtualhosts.toml with other addresses."""
    _dev_certs(folder)
    text = (REPOSITORY / "virtualhosts.toml").read_text(encoding="utf-8")
    file = folder / "virtualhosts.toml"
    file.write_text(_adapt(text, backend), encoding="utf-8")
    return Site(folder, read_configuration(file))


def _dev_certs(*arguments: str | Path) -> None:
    subprocess.run([REPOSITORY / "scripts" / "dev-certs", *arguments], check=True, stdout=subprocess.DEVNULL)


def _adapt(text: str, backend: str) -> str:
    """Set free loopback ports, our backend, and a first retry after one second, to keep the demo short."""
    ports = iter(_free_ports(len(re.findall(r"(?m)^(?:listen|admin) = ", text))))
    text = re.sub(r'(?m)^(listen|admin) = ".*"$', lambda line: f'{line[1]} = "{LOOPBACK}:{next(ports)}"', text)
    text = re.sub(r'(?m)^backend = ".*"$', f'backend = "{backend}"', text)
    return re.sub(r"(?m)^# first_retry_seconds = \d+", "first_retry_seconds = 1", text)


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server((LOOPBACK, 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in sockets]
