"""The exchanges with one product: it sends to a running daemon, and takes what `mtlsd send` sends."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import Empty
from typing import Protocol

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from mtlsd.errors import PeerError
from tests.interop.cells import PERMUTATIONS, PROCESSED, Cell, Receipt
from tests.interop.gateway import site
from tests.support import backend as backends
from tests.support.backend import Backend
from tests.support.daemon import Daemon, acme, keys, running

SECONDS = 60  # for one exchange
MAX_WORDS = 200  # characters of what went wrong
COMPRESS = {"": "none", "s": "none", "c": "before", "cs": "before", "sc": "after"}  # by the layers inside


class ExchangeFailed(Exception):
    """The exchange did not end as it should; the message says how it ended."""


class NotInstalled(Exception):
    """The product is not here; the message says why, and what to do."""


class Product(Protocol):
    """Another AS2 product, running. It is the partner ACME, and mtlsd is EXAMPLE."""

    name: str
    version: str
    remarks: str  # sentences for the page
    url: str  # at which it takes messages
    mdns: str  # the beginning of the URLs at which it takes asynchronous MDNs
    document: bytes
    send_options: Mapping[str, str]  # of `mtlsd send`, for what it cannot do otherwise

    def can_send(self, cell: Cell) -> bool:
        """Whether it can build such a message and ask for such a receipt."""

    def can_take(self, cell: Cell) -> bool:
        """Whether it can open such a message and make such a receipt."""

    def send(self, cell: Cell, address: tuple[str, int]) -> str:
        """Send the document to the daemon and judge the receipt; returns the Message-ID, raises ExchangeFailed."""

    def expect(self, cell: Cell) -> None:
        """Prepare for such a message from mtlsd."""

    def taken(self) -> bytes:
        """The document of the message that arrived last; raises ExchangeFailed if it could not be opened."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the two exchanges of one cell ended: `processed`, what went wrong, or None if the product cannot do it."""

    cell: str
    to_mtlsd: str | None
    from_mtlsd: str | None


def exchange(product: Product, folder: Path, cells: Iterable[Cell] = PERMUTATIONS) -> Iterator[Outcome]:
    """Run the exchanges with a product; the files of the daemon, of the product and of `mtlsd send` are in `folder`."""
    with backends.running() as backend, running(site(folder / "daemon", backend.url, product.mdns)) as daemon:
        for cell in cells:
            to_mtlsd = partial(_to_mtlsd, product, cell, daemon, backend)
            from_mtlsd = partial(_from_mtlsd, product, cell, folder)
            yield Outcome(
                cell.id,
                _ended(to_mtlsd) if product.can_send(cell) else None,
                _ended(from_mtlsd) if product.can_take(cell) else None,
            )


def _ended(run: Callable[[], None]) -> str:
    try:
        run()
    except (ExchangeFailed, subprocess.SubprocessError, AssertionError, OSError, EOFError, Empty, PeerError) as failure:
        return " ".join(str(failure).split())[:MAX_WORDS] or type(failure).__name__
    return PROCESSED


def _to_mtlsd(product: Product, cell: Cell, daemon: Daemon, backend: Backend) -> None:
    message_id = product.send(cell, daemon.address)
    if backend.wait_for(message_id).body != product.document:
        raise ExchangeFailed("the backend got another document")


def _from_mtlsd(product: Product, cell: Cell, folder: Path) -> None:
    product.expect(cell)
    (folder / "order.edi").write_bytes(product.document)
    sent = subprocess.run(_command(product, cell, folder), capture_output=True, text=True, timeout=SECONDS, check=False)
    if sent.returncode == 1:
        product.taken()
        raise ExchangeFailed(", ".join(json.loads(sent.stdout)["failures"]))
    sent.check_returncode()
    if (taken := product.taken()) != product.document:
        sizes = f"{len(taken)} bytes instead of {len(product.document)}"
        raise ExchangeFailed(f"{product.name} got another document, of {sizes}")


def _command(product: Product, cell: Cell, folder: Path) -> list[str]:
    command = [sys.executable, "-m", "mtlsd", "send", "--json", product.url, str(folder / "order.edi")]
    receipt = "none" if cell.receipt is Receipt.NONE else "signed" if cell.receipt.is_signed else "unsigned"
    options = {
        "--as2-from": "EXAMPLE",
        "--as2-to": "ACME",
        "--sign": cell.digest or "none",
        "--compress": COMPRESS[cell.layers.removesuffix("E")],
        "--encrypt": cell.cipher or "none",
        "--encrypt-to": certificate_file(folder, "ACME"),
        "--mdn": receipt,
        "--sign-cert": certificate_file(folder, "EXAMPLE"),
        "--sign-key": key_file(folder, "EXAMPLE"),
        "--timeout": SECONDS / 4,
        **product.send_options,
        **({"--listen": "127.0.0.1:0"} if cell.receipt.is_asynchronous else {}),
    }
    return [*command, *(str(each) for option in options.items() for each in option)]


def certificate_file(folder: Path, name: str) -> Path:
    """The AS2 certificate of ACME or EXAMPLE, in PEM."""
    path = folder / f"{name}.pem"
    path.write_bytes(keys(name).certificate.x509.public_bytes(Encoding.PEM))
    return path


def key_file(folder: Path, name: str) -> Path:
    """The private key to this certificate, in PEM."""
    path = folder / f"{name}.key"
    path.touch(mode=0o600)
    path.write_bytes(keys(name).private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return path


def tls_files(folder: Path) -> tuple[Path, Path]:
    """The client certificate of ACME with its chain, and its key, in PEM."""
    chain, key = folder / "tls.pem", folder / "tls.key"
    chain.write_bytes(acme().chain_pem)
    key.touch(mode=0o600)
    key.write_bytes(acme().key_pem)
    return chain, key
