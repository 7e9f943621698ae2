"""The files of a kit for a partner: our certificates, a settings sheet, and ready-to-run commands.

The texts are in `kit_templates/`. The module works with `Certificate`, which holds no
private key. Names from the configuration are quoted for the program that reads the line, because an AS2 id may contain
a quote and a dollar sign.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from shlex import quote
from textwrap import indent
from xml.sax.saxutils import quoteattr

from mtlsd.as2.cms.encrypt import ENCRYPT_ALGORITHMS
from mtlsd.as2.headers import AS2Name
from mtlsd.as2.mic import DIGESTS
from mtlsd.cli.templates import filled
from mtlsd.partners.partner import Partner
from mtlsd.pki.certificate import Certificate
from mtlsd.pki.formats import pkcs7

WHOAMI = "/.well-known/mtlsd/whoami"
SELFTEST = "/.well-known/mtlsd/as2-selftest"
ASK_FOR_MDN = "signed-receipt-protocol=optional, pkcs7-signature; signed-receipt-micalg=optional, sha-256"
TEMPLATES = files("mtlsd.cli.partner") / "kit_templates"


@dataclass(frozen=True, slots=True)
class KitOrganization:
    """Our side of a route. A certificate has its file name and its uses; the first is the one to encrypt to now."""

    as2_id: str
    certificates: tuple[tuple[str, Certificate, tuple[str, ...]], ...]


@dataclass(frozen=True, slots=True)
class Host:
    """A virtual host as the partner reaches it; `connect` is the address, if the name resolves to another."""

    name: str
    port: int
    connect: tuple[str, int] | None
    client_certificate: str
    chain: tuple[Certificate, ...]
    routes: tuple[tuple[str, KitOrganization], ...]  # by path

    @property
    def base(self) -> str:
        return f"https://{self.name}" + ("" if self.port == 443 else f":{self.port}")


def kit_files(partner: Partner, hosts: tuple[Host, ...], now: datetime) -> dict[str, bytes]:
    """Every file of the kit by its name."""
    found = {"SETTINGS.txt": _sheet(partner, hosts, now).encode()}
    for host in hosts:
        found |= {f"{host.name}/{name}": data for name, data in _chain_files(host.chain)}
        found |= {f"{host.name}/{name}": text.encode() for name, text in _commands(partner, host)}
        for _, organization in host.routes:
            for name, certificate, _ in organization.certificates:
                found[f"as2/{name}.pem"] = certificate.pem
                found[f"as2/{name}.cer"] = certificate.der
    return found


def _filled(name: str, values: Mapping[str, object]) -> str:
    return filled((TEMPLATES / name).read_text(), values)


def slug(text: str) -> str:
    """The text as part of a file name."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.") or "ours"


def _chain_files(chain: tuple[Certificate, ...]) -> Iterator[tuple[str, bytes]]:
    yield "chain.pem", b"".join(each.pem for each in chain)
    yield "chain.p7b", pkcs7.bundle(each.der for each in chain)
    for at, each in enumerate(chain):
        yield _cer(at), each.der


def _cer(at: int) -> str:
    return f"issuer-{at}.cer" if at else "server.cer"


# --- The sheet --------------------------------------------------------------------------------------------------------


def _sheet(partner: Partner, hosts: tuple[Host, ...], now: datetime) -> str:
    """The settings that a person enters into an AS2 product."""
    weak = ", ".join(sorted(partner.relax & {"sha1", "3des"}))
    values = {
        "hosts": "\n".join(_ours(hosts)),
        "as2_ids": ", ".join(partner.as2_ids),
        "require": " and ".join(sorted(partner.require)) or "anything",
        "digests": ", ".join(each for each in DIGESTS if each != "sha1"),
        "ciphers": ", ".join(each for each in ENCRYPT_ALGORITHMS if each != "3des"),
        "weak": f"  also allowed         {weak}\n" if weak else "",
        "as2_version": partner.as2_version,
        "mdn_urls": ", ".join(partner.mdn_urls) or "not set up: send us your URL",
        "ask_for_mdn": ASK_FOR_MDN,
        "certificates": "\n".join(_theirs(partner, now)),
    }
    return _filled("SETTINGS.txt", values)


def _ours(hosts: tuple[Host, ...]) -> Iterator[str]:
    for host in hosts:
        yield f"HOST {host.name}"
        yield f"  TLS                  1.2 or 1.3; client certificate: {host.client_certificate}"
        if host.connect:
            yield f"  connect to           {host.connect[0]} port {host.connect[1]}, with the name {host.name} in SNI"
        for path, organization in host.routes:
            yield f"  AS2 URL              {host.base}{path}"
            yield f"  our AS2 id           {organization.as2_id}"
            for name, certificate, uses in organization.certificates:
                yield f"  our AS2 certificate  as2/{name}.pem (.cer): {_certificate(certificate)}"
                yield from (f"                       {use}" for use in uses)
        for certificate in host.chain:
            yield f"  our TLS certificate  {_certificate(certificate)}"
        yield f"  who am I             {host.base}{WHOAMI}  (GET: what we see of your certificate, and what to do)"
        yield f"  test your messages   {host.base}{SELFTEST}  (POST one: the MDN has a report; nothing is delivered)"
        yield ""


def _theirs(partner: Partner, now: datetime) -> Iterator[str]:
    uses = {
        "for connections": partner.public_certificates,
        "root": partner.trusted_roots,
        "intermediate": partner.intermediates,
        "for messages": partner.message_certificates,
        "MDN servers": partner.mdn_roots,
    }
    for use, certificates in uses.items():
        for each in certificates:
            yield f"  {use:<19}  {_certificate(each)}, {(each.not_after - now).days} days left"
    if partner.match:
        yield f"  later certificates   {', '.join((partner.match.subject, *partner.match.san))}, under your roots"


def _certificate(certificate: Certificate) -> str:
    return f"{certificate.subject}, until {certificate.not_after:%Y-%m-%d}, SHA-256 {_fingerprint(certificate)}"


def _fingerprint(certificate: Certificate) -> str:
    digits = certificate.sha256.upper()
    return ":".join(digits[at : at + 2] for at in range(0, len(digits), 2))


# --- Commands ---------------------------------------------------------------------------------------------------------


def _commands(partner: Partner, host: Host) -> Iterator[tuple[str, str]]:
    place, port = host.connect or (host.name, host.port)
    values = {
        "name": host.name,
        "host": quote(host.name),
        "host_port": host.port,
        "place": place,
        "port": port,
        "address": quote(f"{place}:{port}"),
        "connect_to": f" \\\n  --connect-to {quote(f'{host.name}:{host.port}:{place}:{port}')}" if host.connect else "",
        "whoami": quote(host.base + WHOAMI),
        "whoami_path": WHOAMI,
        "whoami_text": json.dumps(host.base + WHOAMI),
        "postman_items": _postman(host),
        "selftest": host.base + SELFTEST,
        "imports": "".join(_keytool(host)),
        "issuers": "\n".join(f"   - {_cer(at)}: {each.subject}" for at, each in enumerate(host.chain)),
    }
    names = ["curl.sh", "openssl.sh", "keytool.sh", "dotnet.cs", "strust.txt", "postman_collection.json"]
    for path, organization in host.routes[:1]:
        names.insert(2, "message.sh")
        values["url"] = quote(host.base + path)
        values["encrypt_to"] = quote(f"../as2/{organization.certificates[0][0]}.pem")
        values["headers"] = "".join(_headers(partner, organization))
        values |= _products(partner, organization, host.base + path)
        names += ["openas2.xml", "mendelson.txt"]
    yield from ((name, _filled(name, values)) for name in names)


def _products(partner: Partner, organization: KitOrganization, url: str) -> dict[str, str]:
    """The values of the sheets for AS2 products."""
    theirs = partner.as2_ids[0] if partner.as2_ids else ""
    ours, certificate = organization.as2_id, f"../as2/{organization.certificates[0][0]}.cer"
    return {
        "your_name": quoteattr(theirs),
        "your_id": quoteattr(theirs),
        "your_id_text": theirs,
        "our_name": quoteattr(ours),
        "our_id": quoteattr(ours),
        "our_id_text": ours,
        "partnership": quoteattr(f"{theirs}-to-{ours}"),
        "as2_url": quoteattr(url),
        "as2_url_text": url,
        "ask_for_mdn": ASK_FOR_MDN,
        "certificate": certificate,
        "certificate_name": organization.certificates[0][0],
    }


def _headers(partner: Partner, organization: KitOrganization) -> Iterator[str]:
    """The header of a signed and encrypted message, for curl."""
    fields = {
        "Content-Type": "application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m",
        "MIME-Version": "1.0",
        "AS2-Version": "1.2",
        "AS2-From": AS2Name.of(partner.as2_ids[0]).spelled if partner.as2_ids else "",
        "AS2-To": AS2Name.of(organization.as2_id).spelled,
        "Subject": "Test",
        "Disposition-Notification-To": "test",
        "Disposition-Notification-Options": ASK_FOR_MDN,
    }
    return (f"  --header {quote(f'{name}: {value}')} \\\n" for name, value in fields.items())


def _keytool(host: Host) -> Iterator[str]:
    """Imports each certificate of the chain into a trust store of Java."""
    for at in range(len(host.chain)):
        yield (
            "keytool -importcert -noprompt -keystore truststore.p12 -storetype PKCS12 -storepass:env STOREPASS \\\n"
            f"  -alias {quote(f'{host.name}-{at}')} -file {_cer(at)}\n"
        )


def _postman(host: Host) -> str:
    """The requests of a Postman collection, as JSON."""
    requests = [("Who am I", WHOAMI)]
    requests += [(f"AS2 {path} (GET is refused, which shows that TLS works)", path) for path, _ in host.routes]
    header = [{"key": "Accept", "value": "application/json"}]
    items = [
        {"name": name, "request": {"method": "GET", "header": header, "url": host.base + path}}
        for name, path in requests
    ]
    return indent(json.dumps(items, indent=2), "  ").lstrip()
