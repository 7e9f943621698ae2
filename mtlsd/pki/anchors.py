"""The trust anchors of a certificate chain."""

from dataclasses import dataclass

from mtlsd.pki.certificate import Certificate

MAX_CHAIN = 8  # certificates above the client's own, the root included


@dataclass(frozen=True, slots=True)
class Anchors:
    """The trust anchors for one chain. Without a root and without a pin, nothing verifies."""

    roots: tuple[Certificate, ...] = ()
    intermediates: tuple[Certificate, ...] = ()
    pin: Certificate | None = None  # the registered certificate that was presented
    issuers: frozenset[str] = frozenset()  # subjects of the CAs in the partner's files

    @property
    def pinned(self) -> bool:
        """Whether the presented certificate is registered, byte for byte."""
        return self.pin is not None


NO_ANCHORS = Anchors()
