"""Stand-ins for curl and keytool, in Python: the lines that we show are run on a machine that has neither.

Each knows the options that our lines have, and ends at any other. They run as files, with `python -P`: without it
`tests/http` would hide Python's own `http`.
"""

import argparse
import os
import shutil
import socket
import ssl
import sys
from collections.abc import Sequence
from http.client import HTTPSConnection
from pathlib import Path
from shlex import quote
from urllib.parse import SplitResult, urlsplit

from cryptography.hazmat.primitives.serialization import BestAvailableEncryption
from cryptography.hazmat.primitives.serialization.pkcs12 import (
    PKCS12Certificate,
    load_pkcs12,
    serialize_java_truststore,
)
from cryptography.x509 import load_der_x509_certificate

SECONDS = 20  # that a server may take


def ways(program: str) -> list[tuple[str, ...]]:
    """What to replace in a test of lines that need the program: always the program, and nothing if it is here."""
    return [(program,), ()] if shutil.which(program) else [(program,)]


def path(folder: Path, replaced: Sequence[str]) -> str:
    """A PATH on which these programs are their stand-ins, which are put into the folder."""
    for program in replaced:
        script = folder / "programs" / program
        script.parent.mkdir(exist_ok=True)
        script.write_text(f'#!/bin/sh\nexec {quote(sys.executable)} -P {quote(__file__)} {program} "$@"\n')
        script.chmod(0o755)
    return f"{folder / 'programs'}{os.pathsep}{os.environ['PATH']}"


def curl(arguments: Sequence[str]) -> None:
    """One request over TLS; the answer goes to stdout."""
    parser = argparse.ArgumentParser("curl", allow_abbrev=False)
    parser.add_argument("url")
    for name in ("--silent", "--show-error", "--include", "--head"):
        parser.add_argument(name, action="store_true")
    for name in ("--cacert", "--cert", "--key", "--connect-to", "--resolve", "--data-binary"):
        parser.add_argument(name)
    parser.add_argument("--header", action="append", default=[])
    options = parser.parse_args(arguments)
    url = urlsplit(options.url)
    connection = HTTPSConnection(url.hostname or "", url.port)
    connection.sock = _secured(options, url)
    body = Path(options.data_binary.removeprefix("@")).read_bytes() if options.data_binary else None
    method = "HEAD" if options.head else "POST" if body else "GET"
    fields = dict(each.split(": ", 1) for each in options.header)
    connection.request(method, url.path, body, fields)
    answer = connection.getresponse()
    if options.include or options.head:
        print(f"HTTP/1.1 {answer.status} {answer.reason}\n{answer.headers}", flush=True)
    sys.stdout.buffer.write(answer.read())


def _secured(options: argparse.Namespace, url: SplitResult) -> ssl.SSLSocket:
    context = ssl.create_default_context(cafile=options.cacert)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # as curl does
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # Python's own since 3.13
    if options.cert:
        context.load_cert_chain(options.cert, options.key)
    tcp = socket.create_connection(_place(options, url), SECONDS)
    return context.wrap_socket(tcp, server_hostname=url.hostname)


def _place(options: argparse.Namespace, url: SplitResult) -> tuple[str, int]:
    """The address to connect to, with its port."""
    place = url.hostname or "", url.port or 443
    for option in filter(None, (options.connect_to, options.resolve)):
        host, port, there, *its_port = option.split(":")
        if (host, int(port)) == place:
            return there, int(*its_port or [port])
    return place


def keytool(arguments: Sequence[str]) -> None:
    """Put one certificate into a trust store."""
    parser = argparse.ArgumentParser("keytool", allow_abbrev=False)
    for name in ("-importcert", "-noprompt"):
        parser.add_argument(name, action="store_true", required=True)
    parser.add_argument("-storetype", choices=["PKCS12"], required=True)
    parser.add_argument("-storepass:env", dest="variable", required=True)
    for name in ("-keystore", "-alias", "-file"):
        parser.add_argument(name, required=True)
    options = parser.parse_args(arguments)
    store, passphrase = Path(options.keystore), os.environ[options.variable].encode()
    held = load_pkcs12(store.read_bytes(), passphrase).additional_certs if store.exists() else []
    new = PKCS12Certificate(load_der_x509_certificate(Path(options.file).read_bytes()), options.alias.encode())
    if new.friendly_name in {each.friendly_name for each in held}:
        sys.exit(f"keytool: {options.alias} is there already")
    store.write_bytes(serialize_java_truststore([*held, new], BestAvailableEncryption(passphrase)))


if __name__ == "__main__":
    {"curl": curl, "keytool": keytool}[sys.argv[1]](sys.argv[2:])
