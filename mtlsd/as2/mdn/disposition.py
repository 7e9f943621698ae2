"""The Disposition field of an MDN (RFC 4130, section 7.4.3; RFC 8098, section 3.2.6)."""

from dataclasses import dataclass

AUTOMATIC = "automatic-action/MDN-sent-automatically"


@dataclass(frozen=True, slots=True)
class Disposition:
    """`processed` or `failed`, and the modifier, such as `error: decryption-failed`, or None."""

    type: str
    modifier: str | None = None

    @classmethod
    def of(cls, text: str | None) -> "Disposition":
        """Parse the form of the error table, `processed/error: x`; None means success."""
        kind, _, modifier = (text or "processed").partition("/")
        return cls(kind, modifier or None)

    def __str__(self) -> str:
        modifier = f"/{self.modifier}" if self.modifier else ""
        return f"{AUTOMATIC}; {self.type}{modifier}"
