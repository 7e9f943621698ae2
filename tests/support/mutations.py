"""Valid AS2 messages of every form, and how `test_mutations` changes them."""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from itertools import product

from hypothesis import strategies as st

from mtlsd.as2.receiver import VerifiedMessage
from mtlsd.partners.partner_toml import Require
from tests.support import messages
from tests.support.messages import Sent, key_pair

PAYLOADS = (messages.EDI * 2, b"<Order>\n<Line>7</Line>\r\n\x00\xff</Order>" * 5)
SIGNED = ("detached", "no attributes", "opaque DER", "opaque BER")
SEALED = ("CBC DER", "CBC BER", "GCM DER", "GCM BER", "GCM attributes")
TOKENS = (
    *(bytes.fromhex(token) for token in ("0000", "3080", "2480", "a080", "3084ffffffff", "04820100", "3100", "0400")),
    *(
        b"\r\n",
        b"\r\n\r\n",
        b"--signed-1\r\n",
        b"--signed-1--\r\n",
        b"Content-Type: text/plain\r\n\r\n",
        b"MIAG",
        b"==",
    ),
)


@dataclass(frozen=True, slots=True)
class Row:
    """How a message is made: its layers from the inside out, and the form of each."""

    layers: str
    signed: str
    sealed: str
    base64: bool  # the outermost body

    def __str__(self) -> str:
        return ", ".join(filter(None, (self.layers or "plain", self.signed, self.sealed, "base64" * self.base64)))

    @property
    def is_proved(self) -> bool:
        """Whether the content cannot be changed unseen: it is signed, or the envelope has a tag."""
        return bool(self.signed) or self.sealed.startswith("GCM")

    @property
    def require(self) -> frozenset[Require]:
        """What the agreement asks for: what the message is."""
        wanted = {Require.SIGN: "s", Require.ENCRYPT: "E"}
        return frozenset(require for require, layer in wanted.items() if layer in self.layers)


def rows() -> list[Row]:
    """Every order of layers, in every form of each, in binary and in base64."""
    found = []
    for layers in ("", "c", "s", "cs", "sc", "E", "cE", "sE", "csE", "scE"):
        signed = SIGNED if "s" in layers else ("",)
        sealed = SEALED if "E" in layers else ("",)
        found += [Row(layers, *forms) for forms in product(signed, sealed, (False, True))]
    return found


@dataclass(frozen=True, slots=True)
class Valid:
    """A valid message: the entity after each layer, the bare one first; and what must come out of it."""

    sent: Sent
    stages: tuple[bytes, ...]
    payload: bytes
    hashed: bytes  # what the MIC is over (RFC 4130, section 7.3.1)

    def gave(self, verified: VerifiedMessage, payload: bytes) -> bool:
        """Whether this is the message's own content, with the MIC of that content."""
        digest = hashlib.new(verified.mic.algorithm, self.hashed).digest()
        return (payload, verified.mic.digest) == (self.payload, digest)


@cache
def valid(row: Row, number: int = 0) -> Valid:
    """The message of this row around one of two documents."""
    stages = [messages.entity(PAYLOADS[number], Content_Disposition='attachment; filename="order.edi"')]
    for layer in row.layers:
        stages.append(wrap(row, layer, stages[-1]))
    sent = send(row, stages[-1], number)
    bare = stages[0] if row.layers else sent.body
    hashed = stages[row.layers.index("s")] if row.signed else bare
    return Valid(sent, tuple(stages), PAYLOADS[number], hashed)


def send(row: Row, entity: bytes, number: int = 0) -> Sent:
    """An AS2 message around the outermost entity."""
    sent = messages.message(entity, message_id=f"<{number}@acme.example>")
    if not row.base64:
        return sent
    fields = dict(sent.fields) | {"Content-Transfer-Encoding": "base64"}
    return Sent(tuple(fields.items()), base64.encodebytes(sent.body))


def wrap(row: Row, layer: str, inner: bytes) -> bytes:
    if layer == "c":
        return messages.compress(inner)
    return messages.smime("enveloped-data", _seal(row.sealed, inner)) if layer == "E" else _sign(row.signed, inner)


def _sign(form: str, inner: bytes) -> bytes:
    pair = key_pair("ACME")
    if form.startswith("opaque"):
        stream = ["-stream"] if form.endswith("BER") else []
        return messages.smime("signed-data", messages.openssl("-sign", "-nodetach", *stream, stdin=inner, signer=pair))
    return messages.sign(inner, pair, attributes=form == "detached")


def _seal(form: str, inner: bytes) -> bytes:
    recipient = key_pair("EXAMPLE")
    if form == "CBC DER":
        return messages.enveloped_data(inner, recipient)
    if form == "GCM attributes":
        return messages.with_authenticated_attributes(inner, recipient)
    cipher = "-aes-256-gcm" if form.startswith("GCM") else "-aes256"
    stream = ["-stream"] if form.endswith("BER") else []
    return messages.openssl("-encrypt", cipher, *stream, stdin=inner, recipient=recipient)


class Change(StrEnum):
    """A kind of mutation."""

    FLIP = "flip"
    INSERT = "insert"
    DELETE = "delete"
    DUPLICATE = "duplicate"
    MOVE = "move"
    TRUNCATE = "truncate"
    SPLICE = "splice"  # our beginning, the other's end
    SWAP = "swap"  # a slice of ours becomes one of the other's


@dataclass(frozen=True, slots=True)
class Mutation:
    """One change; places and lengths are taken modulo what there is."""

    change: Change
    at: int
    length: int
    to: int
    octets: bytes

    def apply(self, data: bytes, other: bytes) -> bytes:
        """`data` changed; `other` is another message of the same form."""
        at = self.at % (len(data) + 1)
        end = min(at + self.length, len(data))
        piece, rest = data[at:end], data[:at] + data[end:]
        to = self.to % (len(other) + 1)
        match self.change:
            case Change.FLIP:
                return data[:at] + bytes(octet ^ (self.to & 0xFF or 1) for octet in data[at : at + 1]) + data[at + 1 :]
            case Change.INSERT:
                return data[:at] + self.octets + data[at:]
            case Change.DELETE:
                return rest
            case Change.DUPLICATE:
                return data[:end] + piece + data[end:]
            case Change.MOVE:
                to %= len(rest) + 1
                return rest[:to] + piece + rest[to:]
            case Change.TRUNCATE:
                return data[:at]
            case Change.SPLICE:
                return data[:at] + other[to:]
            case Change.SWAP:
                return data[:at] + other[to : to + self.length] + data[end:]


PLACES = st.integers(0, 1 << 13)
MUTATION = st.builds(
    Mutation,
    change=st.sampled_from(Change),
    at=PLACES,
    length=st.one_of(st.integers(1, 8), st.integers(1, 1 << 11)),
    to=PLACES,
    octets=st.one_of(st.sampled_from(TOKENS), st.binary(min_size=1, max_size=16)),
)
MUTATIONS = st.lists(MUTATION, min_size=1, max_size=3)
CHUNKS = st.lists(st.sampled_from((1, 2, 3, 7, 16, 61, 500, 4096)), min_size=1, max_size=6)


def mutate(data: bytes, other: bytes, mutations: Sequence[Mutation]) -> bytes:
    for mutation in mutations:
        data = mutation.apply(data, other)
    return data
