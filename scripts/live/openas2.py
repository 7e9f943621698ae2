"""OpenAS2 as a product, if `MTLSD_OPENAS2` is the directory of a built one, with its `lib` and `config`.

OpenAS2 has one partnership for two AS2 ids, so it starts anew for each form. It takes the document from a directory,
and moves it to another one once the receipt is there, or to a third one if anything fails.
"""

import os
import re
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from xml.sax.saxutils import quoteattr

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12

from scripts.live.exchange import SECONDS, ExchangeFailed, NotInstalled, certificate_file
from tests.interop.cells import Cell, Receipt
from tests.support.daemon import acme, keys
from tests.support.messages import EDI

VARIABLE = "MTLSD_OPENAS2"
LOG = "openas2.log"
PAUSE = 0.2  # seconds between two looks at a directory
CONFIGURATION = """\
<openas2>
  <properties storageBaseDir="{data}" as2_message_id_format="{message_id}"/>
  <certificates classname="org.openas2.cert.PKCS12CertificateFactory" filename="{home}/as2.p12" password="{password}"/>
  <partnerships classname="org.openas2.partner.XMLPartnershipFactory" filename="{home}/partnerships.xml"/>
  <commands classname="org.openas2.cmd.XMLCommandRegistry" filename="{commands}"/>
  <processor classname="org.openas2.processor.DefaultProcessor" pendingMDN="{data}/pending"
             pendingMDNinfo="{data}/pendinginfo">
    <module classname="org.openas2.processor.sender.AS2SenderModule" retries="0"/>
    <module classname="org.openas2.processor.sender.MDNSenderModule" retries="0"/>
    <module classname="org.openas2.processor.receiver.AS2DirectoryPollingModule" outboxdir="{data}/outbox"
            errordir="{data}/error" sentdir="{data}/sent" interval="1" mimetype="application/edifact"
            defaults="sender.as2_id=ACME, receiver.as2_id=EXAMPLE" sendfilename="true"/>
    <module classname="org.openas2.processor.storage.MDNFileModule" filename="{data}/mdn/$mdn.msg.headers.message-id$"
            protocol="as2" tempdir="{data}/temp"/>
    <module classname="org.openas2.processor.storage.MessageFileModule"
            filename="{data}/inbox/$msg.headers.message-id$" protocol="as2" tempdir="{data}/temp"/>
    <module classname="org.openas2.processor.receiver.AS2ReceiverModule" port="{port}" errordir="{data}/refused"
            errorformat="sender.as2_id, receiver.as2_id, headers.message-id"/>
    <module classname="org.openas2.processor.receiver.AS2MDNReceiverModule" port="{mdn_port}"/>
  </processor>
</openas2>
"""
PARTNERSHIPS = """\
<partnerships>
  <partner name="ACME" as2_id="ACME" x509_alias="acme" email="edi@acme.example"/>
  <partner name="EXAMPLE" as2_id="EXAMPLE" x509_alias="example" email="edi@example.com"/>
  <partnership name="out">
    <sender name="ACME"/>
    <receiver name="EXAMPLE"/>
{attributes}
  </partnership>
  <partnership name="in"><sender name="EXAMPLE"/><receiver name="ACME"/></partnership>
</partnerships>
"""


class OpenAS2:
    """See `scripts.live.exchange.Product`."""

    name = "OpenAS2"
    remarks = "It starts anew for each form, because it has one partnership for two AS2 ids."
    document = EDI * 20
    send_options: Mapping[str, str] = {}

    def __init__(self, installed: Path, folder: Path) -> None:
        self._lib = installed / "lib"
        self._commands = installed / "config" / "commands.xml"
        self._home = folder / "openas2"
        self._data = self._home / "data"
        self._port, self._mdn_port = _free_port(), _free_port()
        self._password = secrets.token_hex(16)  # of the key stores
        self._process: subprocess.Popen[bytes] | None = None
        self.version = _version(self._lib)
        self.url = f"http://127.0.0.1:{self._port}/"
        self.mdns = f"http://127.0.0.1:{self._mdn_port}/"

    def can_send(self, cell: Cell) -> bool:  # noqa: ARG002 - it has every form
        return True

    def can_take(self, cell: Cell) -> bool:  # noqa: ARG002 - the same
        return True

    def send(self, cell: Cell, address: tuple[str, int]) -> str:
        message_id = f"{cell.id}@acme.example"
        self._start(cell, message_id, address)
        _write(self._data / "outbox" / "order.edi", self.document)
        self._wait_for("sent", "error")
        if _files(self._data / "error"):
            raise ExchangeFailed(f"OpenAS2 could not send the message: {self._last_words()}")
        return f"<{message_id}>"

    def expect(self, cell: Cell) -> None:
        self._start(cell, f"{cell.id}@acme.example", ("127.0.0.1", 9))

    def taken(self) -> bytes:
        self._wait_for("inbox", "refused")
        if not (arrived := _files(self._data / "inbox")):
            raise ExchangeFailed(f"OpenAS2 refused the message: {self._last_words()}")
        return arrived[0].read_bytes()

    def stop(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _start(self, cell: Cell, message_id: str, address: tuple[str, int]) -> None:
        """Start OpenAS2 with empty directories and the partnership of a cell; returns when it listens."""
        self.stop()
        shutil.rmtree(self._home, ignore_errors=True)
        (self._data / "outbox").mkdir(parents=True)
        values = {"home": self._home, "data": self._data, "port": self._port, "mdn_port": self._mdn_port}
        values["commands"] = self._commands
        text = CONFIGURATION.format(**values, password=self._password, message_id=message_id)
        _write(self._home / "config.xml", text.encode())
        attributes = "\n".join(
            f"    <attribute name={quoteattr(name)} value={quoteattr(value)}/>"
            for name, value in _attributes(cell, address[1], self.mdns).items()
        )
        _write(self._home / "partnerships.xml", PARTNERSHIPS.format(attributes=attributes).encode())
        _write(self._home / "hosts", f"{address[0]} as2.example.com\n127.0.0.1 localhost\n".encode())
        self._write_keys()
        with (self._home / LOG).open("wb") as log:
            self._process = subprocess.Popen(self._command(), cwd=self._home, stdout=log, stderr=log)
        for port in (self._port, self._mdn_port):
            self._wait_until_listening(port)

    def _command(self) -> list[str]:
        """The command line: TLS has the client certificate, and trusts the certificate of the daemon."""
        properties = {
            "openas2.config.file": self._home / "config.xml",
            "jdk.net.hosts.file": self._home / "hosts",
            "javax.net.ssl.keyStore": self._home / "tls.p12",
            "javax.net.ssl.keyStorePassword": self._password,
            "javax.net.ssl.trustStore": self._home / "trust.p12",
            "javax.net.ssl.trustStorePassword": self._password,
        }
        options = [f"-D{name}={value}" for name, value in properties.items()]
        return ["java", *options, "-cp", f"{self._lib}/*", "org.openas2.app.OpenAS2Server"]

    def _write_keys(self) -> None:
        secret = BestAvailableEncryption(self._password.encode())
        ours, client = keys("ACME"), acme()
        assert isinstance(ours.private_key, RSAPrivateKey)
        own = pkcs12.serialize_key_and_certificates(b"acme", ours.private_key, ours.certificate.x509, None, secret)
        _write(self._home / "as2.p12", own)
        chain = [each.x509 for each in client.chain]
        tls = pkcs12.serialize_key_and_certificates(b"tls", client.key, client.certificate.x509, chain, secret)
        _write(self._home / "tls.p12", tls)
        folder = self._home.parent
        self._trust("as2.p12", "example", certificate_file(folder, "EXAMPLE"))
        self._trust("trust.p12", "mtlsd", folder / "daemon" / "certs" / "hosts" / "as2.example.com" / "chain.pem")

    def _trust(self, store: str, alias: str, certificate: Path) -> None:
        """Add a certificate to a key store; only keytool marks a certificate as trusted for Java."""
        command = ["keytool", "-importcert", "-noprompt", "-alias", alias, "-file", str(certificate)]
        command += ["-storetype", "PKCS12", "-keystore", str(self._home / store), "-storepass", self._password]
        subprocess.run(command, check=True, capture_output=True, timeout=SECONDS)

    def _wait_for(self, *directories: str) -> None:
        """Wait until there is a file in one of these; raises ExchangeFailed."""
        end = time.monotonic() + SECONDS
        while not any(_files(self._data / each) for each in directories):
            if time.monotonic() > end:
                raise ExchangeFailed(f"OpenAS2 did not finish: {self._last_words()}")
            time.sleep(PAUSE)

    def _wait_until_listening(self, port: int) -> None:
        assert self._process
        end = time.monotonic() + SECONDS
        while self._process.poll() is None and time.monotonic() < end:
            try:
                socket.create_connection(("127.0.0.1", port), PAUSE).close()
            except OSError:
                time.sleep(PAUSE)
            else:
                return
        raise ExchangeFailed(f"OpenAS2 did not start: {self._last_words()}")

    def _last_words(self) -> str:
        return (self._home / LOG).read_text(errors="replace").strip().rpartition("\n")[2]


def _attributes(cell: Cell, port: int, mdns: str) -> dict[str, str]:
    """The partnership of a cell, in the words of OpenAS2."""
    found = {
        "protocol": "as2",
        "content_transfer_encoding": "binary",
        "subject": "Orders",
        "as2_url": f"https://as2.example.com:{port}/as2",
        "resend_max_retries": "0",
    }
    if "c" in cell.layers:
        found["compression_type"] = "ZLIB"
        found["compression_mode"] = "compress-after-signing" if "sc" in cell.layers else "compress-before-signing"
    if "s" in cell.layers:
        found["sign"] = "SHA256"
    if "E" in cell.layers:
        found["encrypt"] = "AES256"
    if cell.receipt is not Receipt.NONE:
        found["as2_mdn_to"] = "edi@acme.example"
    if cell.receipt.is_signed:
        wanted = "signed-receipt-protocol=optional, pkcs7-signature; signed-receipt-micalg=optional, SHA256"
        found["as2_mdn_options"] = wanted
    if cell.receipt.is_asynchronous:
        found["as2_receipt_option"] = mdns
    return found


@contextmanager
def running(folder: Path) -> Iterator[OpenAS2]:
    """OpenAS2, which starts with the first exchange; raises NotInstalled."""
    installed = os.environ.get(VARIABLE)
    if not installed:
        raise NotInstalled(f"set {VARIABLE} to the directory of a built OpenAS2")
    if not (Path(installed) / "config" / "commands.xml").is_file() or not (Path(installed) / "lib").is_dir():
        raise NotInstalled(
            f"{installed} has no lib or no config/commands.xml: it is not the directory of a built OpenAS2"
        )
    if not (shutil.which("java") and shutil.which("keytool")):
        raise NotInstalled("java or keytool is missing: install a Java runtime")
    product = OpenAS2(Path(installed), folder)
    try:
        yield product
    finally:
        product.stop()


def _version(lib: Path) -> str:
    """The version in the name of OpenAS2's own archive."""
    names = [re.match(r"openas2-server-(.+)\.jar", each.name) for each in lib.iterdir()]
    return next((found[1] for found in names if found), "of unknown version")


def _files(directory: Path) -> list[Path]:
    return [each for each in directory.rglob("*") if each.is_file()] if directory.is_dir() else []


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port
