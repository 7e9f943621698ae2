"""A CA's web server: lists and OCSP answers, as many bytes as slowly as a test wants."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cryptography.x509 import OCSPNonce, ocsp

Answer = tuple[int, bytes] | None  # None: none comes


@dataclass
class Authority:
    """`get` answers GET, by path; `ask` answers OCSP, by the question."""

    get: Callable[[str], Answer] = lambda _: (404, b"")
    ask: Callable[[bytes], Answer] = lambda _: (404, b"")
    asked: list[str] = field(default_factory=list)
    url: str = ""
    released: threading.Event = field(default_factory=threading.Event)


@contextmanager
def running() -> Iterator[Authority]:
    """The server, on a loopback address."""
    authority = Authority()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            authority.asked.append(f"GET {self.path}")
            self._answer(authority.get(self.path))

        def do_POST(self) -> None:
            authority.asked.append(f"POST {self.path}")
            self._answer(authority.ask(self.rfile.read(int(self.headers["Content-Length"]))))

        def _answer(self, answer: Answer) -> None:
            if answer is None:
                authority.released.wait(20)
                return
            self.send_response(answer[0])
            self.send_header("Content-Length", str(len(answer[1])))
            self.end_headers()
            with suppress(OSError):  # whoever asked may be gone
                self.wfile.write(answer[1])

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        authority.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield authority
        finally:
            authority.released.set()
            server.shutdown()
            thread.join()


def nonce_of(question: bytes) -> bytes:
    """The nonce that a request has."""
    return ocsp.load_der_ocsp_request(question).extensions.get_extension_for_class(OCSPNonce).value.nonce
