"""What a certificate chain may end at."""

from dataclasses import dataclass

from mtlsd.pki.certificate import Certificate

MAX_CHAIN = 8  # certificates above the client's own, the root included


@dataclass(frozen=True, slots=True)
class Anchors:
    """What a chain may end at. Empty anchors without a pin verify nothing."""

    roots: tuple[Certificate, ...] = ()
    intermediates: tuple[Certificate, ...] = ()
    pin: Certificate | None = None  # the registered certificate that was presented
    issuers: frozenset[str] = frozenset()  # subjects of CAs that stand in the partner's files

    @property
    def pinned(self) -> bool:
        """Whether the presented certificate is registered, byte for byte."""
        return self.pin is not None


NO_ANCHORS = Anchors()
