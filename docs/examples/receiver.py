#!/usr/bin/env python3
"""A backend for mtlsd: stores each document once, and answers only when it is on disk. receiver.py DIRECTORY [PORT]"""

import base64
import hashlib
import os
import re
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

KEY = re.compile(r"[A-Za-z0-9_-]{43}")


class Receiver(BaseHTTPRequestHandler):
    directory = Path()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        digest = f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"
        key = self.headers.get("Idempotency-Key", "")
        if self.headers.get("Content-Digest") != digest:
            self.answer(503, "the body does not have the digest in Content-Digest")  # mtlsd logs this, and tries again
        elif not KEY.fullmatch(key):
            self.answer(400, "no Idempotency-Key")
        else:
            self.store(self.directory / key, body)
            self.answer(204)

    def store(self, path: Path, body: bytes) -> None:
        """Write and fsync, then rename; a document that is there already stays as it is."""
        if path.exists():
            return
        temporary = path.with_name(f".{path.name}.{os.getpid()}.{self.headers['Mtlsd-Attempt']}")
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
        directory = os.open(path.parent, os.O_RDONLY)
        os.fsync(directory)
        os.close(directory)
        print(f"{path.name}: {len(body)} bytes from {self.headers['Mtlsd-Partner']}", flush=True)

    def answer(self, status: int, words: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(words)))
        self.end_headers()
        self.wfile.write(words.encode())

    def log_message(self, *_: object) -> None:
        pass


if __name__ == "__main__":
    Receiver.directory = Path(sys.argv[1])
    port = int(sys.argv[2]) if len(sys.argv) > 2 else 9000
    server = ThreadingHTTPServer(("127.0.0.1", port), Receiver)
    print(f"listening on 127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()
