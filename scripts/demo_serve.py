"""`scripts/demo --serve`: keeps everything running, and prints commands to try in another terminal."""

import shlex
import sys
import time
from pathlib import Path

from mtlsd.config.model import VirtualHost
from scripts.demo_backend import Backend
from scripts.demo_daemon import Daemon, DaemonGone
from scripts.demo_partner import LOOPBACK, Partner
from scripts.demo_site import Site

MTLSD = Path(sys.executable).with_name("mtlsd")


def serve(site: Site, daemon: Daemon, backend: Backend) -> None:
    """Print the commands, then each request to the backend, until Ctrl-C; raises DaemonGone if the daemon exits."""
    acme = site.partner("ACME")
    document = site.folder / "order.edi"
    document.write_bytes(acme.order(4711))
    print(f"mtlsd is running. Its files are in {site.folder}. Press Ctrl-C to stop mtlsd and to remove the files.")
    for title, command in _commands(site, acme, document):
        print(f"\n# {title}\n{command}")
    print(f"\nThe backend receives at {backend.url}:", flush=True)
    shown = 0
    while True:
        while not backend.wait_for(shown + 1, 1):
            if not daemon.is_running:
                raise DaemonGone("mtlsd exited unexpectedly")
        received = backend.received[shown]
        shown += 1
        words = [f"{name}: {received.headers.get(name, '-')}" for name in ("mtlsd-partner", "mtlsd-message-id")]
        print(f"{time.strftime('%H:%M:%S')}  {len(received.body)} bytes, {', '.join(words)}", flush=True)


def _commands(site: Site, acme: Partner, document: Path) -> list[tuple[str, str]]:
    mutual, signed = site.mutual_tls, site.signed_only
    tls = ["--cert", str(acme.folder / "tls-cert.pem"), "--key", str(acme.folder / "tls-key.pem")]
    return [
        ("Without a certificate: 400, with the reason", _curl(site, mutual)),
        ("With ACME's certificate: 200", _curl(site, mutual, "--head", *tls)),
        ("An AS2 message from ACME, with its receipt", _send(site, acme, mutual, document, *tls)),
        ("The same message to the host that requests no client certificate", _send(site, acme, signed, document)),
        ("The daemon's log", _joined("tail", "-n", "20", str(site.folder / "mtlsd.log"))),
    ]


def _curl(site: Site, host: VirtualHost, *options: str) -> str:
    resolve = f"{host.name}:{host.listen.port}:{LOOPBACK}"
    known = ["--cacert", str(site.server_ca), "--resolve", resolve]
    return _joined("curl", _url(host), "--include", *known, *options)


def _send(site: Site, acme: Partner, host: VirtualHost, document: Path, *options: str) -> str:
    ids = ["--as2-from", acme.as2_id, "--as2-to", acme.receiver_as2_id]
    sign = ["--sign-cert", str(acme.folder / "as2-cert.pem"), "--sign-key", str(acme.folder / "as2-key.pem")]
    encrypt = ["--encrypt-to", str(acme.receiver_certificate)]
    known = ["--ca", str(site.server_ca), "--resolve", LOOPBACK]
    return _joined(str(MTLSD), "send", _url(host), str(document), *ids, *options, *sign, *encrypt, *known)


def _joined(*words: str) -> str:
    """A shell command, with each option on a separate line."""
    lines = [""]
    for word in words:
        if word.startswith("--"):
            lines.append("   ")
        lines[-1] = f"{lines[-1]} {shlex.quote(word)}"
    return " \\\n".join(lines).strip()


def _url(host: VirtualHost) -> str:
    return f"https://{host.name}:{host.listen.port}{host.routes[0].path}"
