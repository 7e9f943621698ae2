"""A tiny SMTP server that keeps what it is given (RFC 5321), on a thread; it can refuse or say nothing."""

import queue
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from email import message_from_bytes
from email.message import Message

TIMEOUT = 15  # seconds; only a failing test waits so long


class SMTPServer:
    """Listens on loopback."""

    def __init__(self) -> None:
        self.mails: queue.Queue[Message] = queue.Queue()
        self.refusals: list[bytes] = []  # for the next senders
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.address = "{}:{}".format(*self._listening.getsockname())
        threading.Thread(target=self._serve, daemon=True).start()

    def stop(self) -> None:
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                with closing(connection), suppress(OSError):
                    connection.settimeout(TIMEOUT)
                    self._converse(connection)

    def _converse(self, connection: socket.socket) -> None:
        file = connection.makefile("rb")
        connection.sendall(b"220 here\r\n")
        for line in file:
            command = line[:4].upper().strip()
            if command == b"MAIL" and self.refusals:
                connection.sendall(self.refusals.pop(0) + b"\r\n")
            elif command == b"DATA":
                connection.sendall(b"354 go on\r\n")
                data = b"".join(iter(file.readline, b".\r\n"))
                self.mails.put(message_from_bytes(data))
                connection.sendall(b"250 kept\r\n")
            elif command == b"QUIT":
                connection.sendall(b"221 bye\r\n")
                return
            else:
                connection.sendall(b"250 fine\r\n")


@contextmanager
def smtp_server() -> Iterator[SMTPServer]:
    server = SMTPServer()
    try:
        yield server
    finally:
        server.stop()
