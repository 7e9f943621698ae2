"""A Content-Type that is no media type, and documents that are messages themselves: read or refused, never passed on
as if somebody had read them."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtlsd.as2.mime.parser import ContentType, unquoted
from mtlsd.as2.receiver import VerifiedMessage
from mtlsd.errors import AS2DecompressFailed, AS2DecryptFailed, AS2MIMEMalformed, AS2Refused, AS2SecurityTooLow
from tests.as2.test_receiver import NOTHING, agreement, receive
from tests.support import messages
from tests.support.messages import EDI, Sent, build, key_pair

LAYERS = ["c", "s", "cs", "E", "sE", "csE"]


def retyped(entity: bytes, change: Callable[[str], str]) -> bytes:
    """The entity with another spelling of its Content-Type."""
    header, blank, body = entity.partition(b"\r\n\r\n")
    lines = header.decode("latin-1").split("\r\n")
    lines = [f"Content-Type: {change(each[14:])}" if each.startswith("Content-Type: ") else each for each in lines]
    return "\r\n".join(lines).encode("latin-1") + blank + body


def in_quotes(mark: str) -> Callable[[str], str]:
    return lambda text: f"{mark}{text}{mark}"


def type_in_quotes(text: str) -> str:
    kind, semicolon, rest = text.partition(";")
    return f'"{kind}"{semicolon}{rest}'


def as_a_quoted_string(text: str) -> str:
    """The way of phase2 4.4.2."""
    return '"' + text.replace('"', r"\"") + '"'


SAFE = {
    "double": in_quotes('"'),
    "single": in_quotes("'"),
    "the type alone": type_in_quotes,
    "a quoted-string": as_a_quoted_string,
}
UNSAFE: dict[str, Callable[[str], str]] = {
    "one quote": lambda text: f'"{text}',
    "one single quote": lambda text: f"'{text}",
    "a single quote at the end": lambda text: text.partition(";")[0] + "'",
    "half of another pair": lambda text: f"'{text}; name=\"it's\"'",
    "other quotes": lambda text: f"\"{text}'",
    "twice": lambda text: f"\"'{text}'\"",
    "blanks around the slash": lambda text: text.replace("/", " / ", 1),
    "one word": lambda _: "edi",
    "a word in quotes": lambda _: '"edi"',
    "two slashes": lambda text: text.replace("/", "//", 1),
    "no subtype": lambda text: text.partition("/")[0] + "/",
}


def around(layers: str, change: Callable[[str], str], where: str) -> bytes:
    """A message whose outer or innermost entity has the changed type."""
    inner = messages.entity(EDI)
    if where == "inside":
        inner = retyped(inner, change)
    for layer in layers:
        if layer == "c":
            inner = messages.compress(inner)
        elif layer == "s":
            inner = messages.sign(inner, key_pair("ACME"))
        else:
            inner = messages.encrypt(inner, key_pair("EXAMPLE"))
    return retyped(inner, change) if where == "outside" else inner


@pytest.mark.parametrize("name", SAFE)
@pytest.mark.parametrize("layers", ["", *LAYERS])
@pytest.mark.parametrize("where", ["outside", "inside"])
def test_quotes_around_a_media_type_are_removed(name: str, layers: str, where: str) -> None:
    verified, payload = receive(messages.message(around(layers, SAFE[name], where)), agreement(NOTHING))
    assert payload == EDI
    assert verified.content_type == "application/EDIFACT"
    assert len(verified.layers) == len(layers)


@pytest.mark.parametrize("name", UNSAFE)
@pytest.mark.parametrize("layers", ["", *LAYERS])
@pytest.mark.parametrize("where", ["outside", "inside"])
def test_what_is_no_media_type_is_refused(name: str, layers: str, where: str) -> None:
    hidden = "E" in layers and where == "inside"  # the sender must not learn what an envelope holds
    with pytest.raises(AS2DecryptFailed if hidden else AS2MIMEMalformed, match="not a media type"):
        receive(messages.message(around(layers, UNSAFE[name], where)), agreement(NOTHING))


def test_a_backend_that_reads_the_message_itself_gets_no_quotes() -> None:
    agreed = replace(agreement(NOTHING), passed_on=True)
    with pytest.raises(AS2MIMEMalformed, match="in quotes"):
        receive(messages.message(around("s", SAFE["double"], "outside")), agreed)


@given(st.text(max_size=80) | st.from_regex(r"""["']?[a-z]+ ?/ ?[a-z]+["']?(; ?[a-z]+="?[a-z]*"?)*["']?"""))
def test_the_reader_of_types_takes_any_text(text: str) -> None:
    inner = unquoted(text)
    assert inner == text or ContentType.parse(inner).is_media_type
    assert ContentType.parse(text).value == ContentType.parse(inner).value


# --- A document that is a message itself ------------------------------------------------------------------------------


def within(inner: bytes, content_type: str = "application/EDI-Consent") -> Sent:
    """A message whose body is this entity, behind the type of a document."""
    return messages.message(messages.entity(inner, content_type))


@pytest.mark.parametrize("layers", LAYERS)
@pytest.mark.parametrize("chunk", [1, 50, 1 << 20])
@pytest.mark.parametrize("first", [b"", b"MIME-Version: 1.0\r\n"])
def test_an_entity_behind_the_type_of_a_document_is_read(layers: str, chunk: int, first: bytes) -> None:
    """mendelson sends compressed messages so."""
    verified, payload = receive(within(first + build(layers)), agreement(NOTHING), chunk)
    plain, _ = receive(messages.message(build(layers)), agreement(NOTHING))
    assert payload == EDI
    assert (verified.layers, verified.mic.digest) == (plain.layers, plain.mic.digest)


def test_it_is_held_to_what_the_partner_must_do() -> None:
    with pytest.raises(AS2SecurityTooLow, match="not signed"):
        receive(within(build("c")), agreement())
    with pytest.raises(AS2DecompressFailed, match="twice"):
        receive(messages.message(messages.compress(messages.entity(build("c")))), agreement(NOTHING))


def test_a_backend_that_reads_the_message_itself_does_not_get_it() -> None:
    with pytest.raises(AS2MIMEMalformed, match="a MIME header of its own"):
        receive(within(build("c")), replace(agreement(NOTHING), passed_on=True))


MAIL = b"From: edi@acme.example\r\nSubject: Orders\r\nMIME-Version: 1.0\r\n"
DOCUMENTS = {
    "an e-mail": (MAIL + build("s"), "application/octet-stream"),
    "an e-mail by its type": (build("s"), "message/rfc822"),
    "a mail that begins with MIME": (b"MIME-Version: 1.0\r\nFrom: a@acme.example\r\n" + build("s"), "text/plain"),
    "a header of a document": (b"Content-Type: application/EDIFACT\r\n\r\n" + EDI, "application/EDI-Consent"),
    "fields without end": (b"Content-Type: application/pkcs7-mime\r\n" * 4000, "text/plain"),
    "many fields": (b"Content-X: 1\r\n" * 190 + b"\r\n" + build("c"), "text/plain"),
    "a header alone": (b"Content-Type: application/pkcs7-mime\r\n", "text/plain"),
    "the beginning of a prefix": (b"Cont", "text/plain"),
    "no octet": (b"", "text/plain"),
    "a form": (b"--x\r\n" + build("c"), "text/plain"),
}


@pytest.mark.parametrize("name", DOCUMENTS)
@pytest.mark.parametrize("chunk", [1, 999, 1 << 20])
def test_a_document_is_delivered_as_it_is(name: str, chunk: int) -> None:
    document, content_type = DOCUMENTS[name]
    verified, payload = receive(within(document, content_type), agreement(NOTHING), chunk)
    assert payload == document
    assert verified.layers == ""


def test_more_fields_than_a_header_may_have_are_refused() -> None:
    with pytest.raises(AS2MIMEMalformed, match="fields"):
        receive(within(b"Content-X: 1\r\n" * 300 + build("c")), agreement(NOTHING))


@given(st.binary(max_size=200) | st.builds(lambda a, b: a + b, st.just(b"Content-Type: "), st.binary(max_size=99)))
def test_any_document_is_read_or_refused(document: bytes) -> None:
    try:
        verified, payload = receive(within(document), agreement(NOTHING), 7)
    except AS2Refused:
        return
    assert isinstance(verified, VerifiedMessage)
    assert verified.layers or payload == document
