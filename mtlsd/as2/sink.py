"""The port between two layers of a message."""

from typing import Protocol


class Sink(Protocol):
    """Where the next layer takes its octets."""

    def write(self, data: bytes) -> None: ...

    def close(self) -> None: ...


class Nowhere:
    """Takes the octets of content that nobody needs."""

    def write(self, data: bytes) -> None:
        pass

    def close(self) -> None:
        pass
