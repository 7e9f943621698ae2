"""libas2 of npm as a product: `libas2.js` runs in node, and this module tells it what to do."""

import base64
import json
import os
import queue
import shutil
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from scripts.live.exchange import SECONDS, ExchangeFailed, NotInstalled, certificate_file, key_file, tls_files
from tests.interop.cells import Cell, Receipt
from tests.support.messages import EDI

VERSION = "0.8.2"
# libas2 allows later versions of these two, which cannot sign with its keys any more.
PACKAGES = (f"libas2@{VERSION}", "pkijs@2.1.90", "asn1js@2.0.26")
SCRIPT = Path(__file__).with_suffix(".js")
INSTALL_SECONDS = 300


class LibAS2:
    """See `scripts.live.exchange.Product`."""

    name = "libas2"
    version = VERSION
    remarks = (
        f"It ran with {PACKAGES[1]}, because it cannot sign with later versions. It cannot compress, and always "
        "requests a signed receipt. `openssl cms` does not verify the signatures of its MDNs either. It adds a line "
        "end to the document of a signed message that it takes. The key of an envelope for it was encrypted with "
        "RSAES-OAEP, because Node no longer decrypts RSA PKCS #1 v1.5."
    )
    document = EDI * 20
    # Node no longer decrypts with RSA PKCS #1 v1.5.
    send_options: Mapping[str, str] = {"--encrypt-key": "oaep-sha1"}

    def __init__(self, process: "subprocess.Popen[str]", folder: Path) -> None:
        self._process = process
        self._folder = folder
        self._lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        chain, key = tls_files(folder)
        settings = {
            "certificate": certificate_file(folder, "ACME").read_text(),
            "key": key_file(folder, "ACME").read_text(),
            "theirs": certificate_file(folder, "EXAMPLE").read_text(),
            "document": self.document.decode(),
            "tls": {"cert": chain.read_text(), "key": key.read_text(), "rejectUnauthorized": False},
        }
        origin = self._ask(settings)["origin"]
        self.url = f"{origin}/as2"
        self.mdns = f"{origin}/mdn"

    def can_send(self, cell: Cell) -> bool:
        return "c" not in cell.layers and (cell.receipt is Receipt.NONE or cell.receipt.is_signed)

    def can_take(self, cell: Cell) -> bool:
        return "c" not in cell.layers

    def send(self, cell: Cell, address: tuple[str, int]) -> str:
        message_id = f"<{cell.id}@acme.example>"
        self._ask({"send": {**_form(cell), "id": message_id, "address": address}})
        return message_id

    def expect(self, cell: Cell) -> None:
        self._ask({"expect": _form(cell)})

    def taken(self) -> bytes:
        return base64.b64decode(self._ask({"take": True})["document"])

    def _ask(self, command: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._lines.get(timeout=SECONDS))
        if "error" in answer:
            raise ExchangeFailed(answer["error"])
        return answer

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self._lines.put(line)


def _form(cell: Cell) -> dict[str, Any]:
    """A cell, as the script takes it."""
    receipt = {"signed": cell.receipt.is_signed, "later": cell.receipt.is_asynchronous}
    return {
        "layers": {"sign": "s" in cell.layers, "encrypt": "E" in cell.layers},
        "receipt": None if cell.receipt is Receipt.NONE else receipt,
    }


@contextmanager
def running(folder: Path) -> Iterator[LibAS2]:
    """libas2, listening; raises NotInstalled."""
    command = ["node", str(SCRIPT), str(_installed())]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield LibAS2(process, folder)
        finally:
            process.kill()


def _installed() -> Path:
    """The folder in which libas2 is installed: in the user's cache, by npm, once."""
    if not (shutil.which("node") and shutil.which("npm")):
        raise NotInstalled("node or npm is missing: install both")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "mtlsd-interop" / "-".join(PACKAGES)
    if (folder / "node_modules" / "libas2" / "package.json").exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    command = ["npm", "install", "--prefix", str(folder), "--no-audit", "--no-fund", "--ignore-scripts", *PACKAGES]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=INSTALL_SECONDS)
    except subprocess.SubprocessError as error:
        raise NotInstalled(f"npm could not install {PACKAGES[0]}: {error}") from error
    return folder
