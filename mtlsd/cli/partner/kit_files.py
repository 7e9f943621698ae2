"""The files of a kit for a partner: our certificates, a settings sheet, and ready-to-run commands. Pure.

The module works with `Certificate`, which holds no private key. Names from the configuration are quoted for the program
that reads the line, because an AS2 id may contain a quote and a dollar sign.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from shlex import quote

from mtlsd.as2.cms.encrypt import ENCRYPT_ALGORITHMS
from mtlsd.as2.headers import AS2Name
from mtlsd.as2.mic import DIGESTS
from mtlsd.partners.partner import Partner
from mtlsd.pki.certificate import Certificate
from mtlsd.pki.formats import pkcs7

WHOAMI = "/.well-known/mtlsd/whoami"
SELFTEST = "/.well-known/mtlsd/as2-selftest"
ASK_FOR_MDN = "signed-receipt-protocol=optional, pkcs7-signature; signed-receipt-micalg=optional, sha-256"


@dataclass(frozen=True, slots=True)
class KitOrganization:
    """Our side of a route: the AS2 id, and our certificates by file name; the first is the one to encrypt to now."""

    name: str
    as2_id: str
    certificates: tuple[tuple[str, Certificate], ...]
    uses: tuple[tuple[str, str], ...] = ()  # the use of each, with its dates, by file name

    @property
    def encrypt_to(self) -> str:
        """The file of the certificate that messages to us are encrypted to."""
        return self.certificates[0][0]


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

    @property
    def place(self) -> tuple[str, int]:
        return self.connect or (self.name, self.port)


def kit_files(partner: Partner, hosts: tuple[Host, ...], now: datetime) -> dict[str, bytes]:
    """Every file of the kit by its name."""
    files = {"SETTINGS.txt": settings_sheet(partner, hosts, now).encode()}
    for host in hosts:
        files |= {f"{host.name}/{name}": data for name, data in _chain_files(host.chain)}
        files |= {f"{host.name}/{name}": text.encode() for name, text in _line_files(partner, host)}
        for _, organization in host.routes:
            for name, certificate in organization.certificates:
                files[f"as2/{name}.pem"] = certificate.pem
                files[f"as2/{name}.cer"] = certificate.der
    return files


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


def settings_sheet(partner: Partner, hosts: tuple[Host, ...], now: datetime) -> str:
    """The settings that a person enters into an AS2 product."""
    return "\n".join((*_ours(hosts), *_rules(partner), *_theirs(partner, now))) + "\n"


def _ours(hosts: tuple[Host, ...]) -> Iterator[str]:
    for host in hosts:
        yield f"HOST {host.name}"
        yield f"  TLS                  1.2 or 1.3; client certificate: {host.client_certificate}"
        if host.connect:
            yield f"  connect to           {host.connect[0]} port {host.connect[1]}, with the name {host.name} in SNI"
        for path, organization in host.routes:
            yield f"  AS2 URL              {host.base}{path}"
            yield f"  our AS2 id           {organization.as2_id}"
            for name, certificate in organization.certificates:
                yield f"  our AS2 certificate  as2/{name}.pem (.cer): {_certificate(certificate)}"
                for use in (each for file, each in organization.uses if file == name):
                    yield f"                       {use}"
        for certificate in host.chain:
            yield f"  our TLS certificate  {_certificate(certificate)}"
        yield f"  who am I             {host.base}{WHOAMI}  (GET: what we see of your certificate, and what to do)"
        yield f"  test your messages   {host.base}{SELFTEST}  (POST one: the MDN has a report; nothing is delivered)"
        yield ""


def _rules(partner: Partner) -> Iterator[str]:
    weak = sorted(partner.relax & {"sha1", "3des"})
    ciphers = ", ".join(each for each in ENCRYPT_ALGORITHMS if each != "3des")
    digests = ", ".join(each for each in DIGESTS if each != "sha1")
    yield "MESSAGES TO US"
    yield f"  your AS2 id          {', '.join(partner.as2_ids)}"
    yield f"  must be              {' and '.join(sorted(partner.require)) or 'anything'}"
    yield f"  signature            {digests}; RSA of 2048 bits or more (PKCS#1 v1.5 or PSS), or ECDSA"
    yield f"  encryption           {ciphers}"
    yield "  compression          before or after signing, or none"
    if weak:
        yield f"  also allowed         {', '.join(weak)}"
    yield f"  AS2-Version          {partner.as2_version}"
    yield ""
    yield "RECEIPTS (MDN)"
    yield "  synchronous          signed or unsigned, as you request"
    yield f"  asynchronous         {', '.join(partner.mdn_urls) or 'not set up: send us your URL'}"
    yield f"  Disposition-Notification-Options: {ASK_FOR_MDN}"
    yield ""


def _theirs(partner: Partner, now: datetime) -> Iterator[str]:
    yield "YOUR CERTIFICATES (compare the fingerprints by telephone)"
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

_OWN = """#!/bin/sh
# Runs in the folder of this file. Your own certificate and key, in PEM:
: "${CERT:=your-certificate.pem}" "${KEY:=your-key.pem}"
cd "$(dirname "$0")" || exit 1
"""


def _line_files(partner: Partner, host: Host) -> Iterator[tuple[str, str]]:
    yield "curl.sh", _curl(host)
    yield "openssl.sh", _openssl(host)
    for path, organization in host.routes[:1]:
        yield "message.sh", _message(partner, host, path, organization)
    yield "keytool.sh", _keytool(host)
    yield "dotnet.cs", _dotnet(host)
    yield "strust.txt", _strust(host)
    yield "postman_collection.json", _postman(host)


def _curl(host: Host) -> str:
    return f"{_OWN}\n{_curl_words(host)} \\\n  {quote(host.base + WHOAMI)}\n"


def _curl_words(host: Host) -> str:
    words = 'curl --silent --show-error --include --cacert chain.pem --cert "$CERT" --key "$KEY"'
    if host.connect:
        words += f" \\\n  --connect-to {quote(f'{host.name}:{host.port}:{host.connect[0]}:{host.connect[1]}')}"
    return words


def _openssl(host: Host) -> str:
    place, port = host.place
    return (
        f"{_OWN}\nopenssl s_client -connect {quote(f'{place}:{port}')} -servername {quote(host.name)} \\\n"
        f"  -CAfile chain.pem -partial_chain -verify_hostname {quote(host.name)} -verify_return_error \\\n"
        '  -cert "$CERT" -key "$KEY" -brief </dev/null\n'
    )


def _message(partner: Partner, host: Host, path: str, organization: KitOrganization) -> str:
    """Sends a signed and encrypted message with openssl and curl only."""
    fields = {
        "Content-Type": "application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m",
        "AS2-Version": "1.2",
        "AS2-From": AS2Name.of(partner.as2_ids[0]).spelled if partner.as2_ids else "",
        "AS2-To": AS2Name.of(organization.as2_id).spelled,
        "Subject": "Test",
        "Disposition-Notification-To": "test",
        "Disposition-Notification-Options": ASK_FOR_MDN,
    }
    headers = "".join(f"  --header {quote(f'{name}: {value}')} \\\n" for name, value in fields.items())
    return (
        f"{_OWN}# The certificate and key that sign your messages, if they differ from those for TLS; and a document.\n"
        ': "${SIGN_CERT:=$CERT}" "${SIGN_KEY:=$KEY}" "${DOCUMENT:=test.edi}"\n'
        "# The self-test delivers nothing. To send a real message:\n"
        f"# URL={quote(host.base + path)}\n"
        f': "${{URL:={host.base}{SELFTEST}}}"\n'
        '[ -e "$DOCUMENT" ] || printf "UNA:+.? \'\\r\\n" >"$DOCUMENT"\n'
        "\n"
        "(printf 'Content-Type: application/edifact\\r\\n\\r\\n' && cat \"$DOCUMENT\") >entity.txt\n"
        'openssl cms -sign -binary -crlfeol -md sha256 -signer "$SIGN_CERT" -inkey "$SIGN_KEY" \\\n'
        "  -in entity.txt -outform SMIME -out signed.txt &&\n"
        f"openssl cms -encrypt -binary -aes256 -in signed.txt -outform DER -out message.p7m "
        f"{quote(f'../as2/{organization.encrypt_to}.pem')} &&\n"
        f"{_curl_words(host)} \\\n"
        '  --data-binary @message.p7m --header "Message-ID: <$(date +%s).$$@test>" \\\n'
        f'{headers}  "$URL"\n'
    )


def _keytool(host: Host) -> str:
    lines = "".join(
        f"keytool -importcert -noprompt -keystore truststore.p12 -storetype PKCS12 -storepass:env STOREPASS \\\n"
        f"  -alias {quote(f'{host.name}-{at}')} -file {_cer(at)}\n"
        for at in range(len(host.chain))
    )
    return (
        "#!/bin/sh\n# A trust store for Java. Its passphrase is in the environment, not on the command line.\n"
        'cd "$(dirname "$0")" || exit 1\n'
        ': "${STOREPASS:?export STOREPASS first}"\n'
        f"{lines}\n"
        "# Your own key and certificate, from a .pfx:\n"
        "#   keytool -importkeystore -srckeystore your.pfx -srcstoretype PKCS12 -destkeystore keystore.p12 "
        "-deststoretype PKCS12\n"
        "# java -Djavax.net.ssl.trustStore=truststore.p12 -Djavax.net.ssl.keyStore=keystore.p12 ...\n"
    )


def _dotnet(host: Host) -> str:
    return f"""// .NET 5 and later. Your key and certificate are in your.pfx.
using System.Net.Http;
using System.Net.Security;
using System.Security.Cryptography.X509Certificates;

var own = new X509Certificate2("your.pfx", Environment.GetEnvironmentVariable("PFX_PASSPHRASE"));
var trusted = new X509Certificate2Collection();
trusted.ImportFromPemFile("chain.pem");
var handler = new SocketsHttpHandler();
handler.SslOptions.ClientCertificates = new X509CertificateCollection {{ own }};
handler.SslOptions.CertificateChainPolicy = new X509ChainPolicy  // .NET 7 and later
{{
    TrustMode = X509ChainTrustMode.CustomRootTrust,
    RevocationMode = X509RevocationMode.NoCheck,
}};
handler.SslOptions.CertificateChainPolicy.CustomTrustStore.AddRange(trusted);
using var client = new HttpClient(handler);
Console.WriteLine(await client.GetStringAsync({json.dumps(host.base + WHOAMI)}));
"""


def _strust(host: Host) -> str:
    place, port = host.place
    imports = "\n".join(f"   - {_cer(at)}: {each.subject}" for at, each in enumerate(host.chain))
    return f"""SAP: transaction STRUST, and SM59 or the receiver channel.

1. STRUST: open "SSL client SSL Client (Standard)", or a separate identity for this partner (Environment,
   SSL Client Identities), and change to edit mode.
2. Your own certificate: double-click it, export it with its root, and send us both; or import one (PSE, Import, .pfx).
3. Our certificates: Certificate, Import, Binary; "Add to Certificate List" for each:
{imports}
4. Save. Then SMICM: Administration, ICM, Soft Restart.
5. SM59, type G: host {place}, port {port}, path {WHOAMI}; SSL active, with the identity of step 1. The name in the
   certificate is {host.name}. "Connection Test" shows what we see of your certificate.
"""


def _postman(host: Host) -> str:
    def request(name: str, method: str, path: str) -> dict[str, object]:
        header = [{"key": "Accept", "value": "application/json"}]
        return {"name": name, "request": {"method": method, "header": header, "url": host.base + path}}

    schema = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"
    hint = (
        f"Settings, Certificates: add a client certificate for {host.name}:{host.port} with your CRT and KEY (or PFX) "
        "files, and chain.pem as a CA certificate."
    )
    items = [request("Who am I", "GET", WHOAMI)]
    items += [
        request(f"AS2 {path} (GET is refused, which shows that TLS works)", "GET", path) for path, _ in host.routes
    ]
    return json.dumps(
        {"info": {"name": f"{host.name}", "description": hint, "schema": schema}, "item": items}, indent=2
    )
