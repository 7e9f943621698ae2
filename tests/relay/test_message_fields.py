"""The header of a message for a backend that reads it once more has one reading."""

import json
from dataclasses import replace

import pytest

from mtlsd.journal.model import DeliveryKind, Message
from mtlsd.partners.as2_ids import as_field
from mtlsd.relay.file_drop import deposit_of
from mtlsd.relay.request import build_request
from tests.relay.test_request import DELIVERY, MESSAGE

AS_MESSAGE = replace(DELIVERY, kind=DeliveryKind.MESSAGE)


def with_headers(*headers: tuple[str, str], as2_from: str = "ALPHA") -> Message:
    return replace(MESSAGE, headers=headers, as2_from=as2_from)


def sent(message: Message, name: str) -> list[str]:
    return [value for each, value in build_request(message, AS_MESSAGE).headers if each.lower() == name]


def in_the_file(message: Message, name: str) -> list[str]:
    headers = json.loads(deposit_of(message, AS_MESSAGE).metadata)["headers"]
    return [value for each, value in headers if each == name]


@pytest.mark.parametrize(
    ("as2_id", "written"),
    [
        ("ALPHA", "ALPHA"),
        ("a,b;c<d>", "a,b;c<d>"),
        ("ALPHA CORP", '"ALPHA CORP"'),
        ('q"q\\', r'"q\"q\\"'),
        ("Ä", '"\xc3\x84"'),  # in UTF-8, decoded as Latin-1
    ],
)
def test_an_id_is_quoted_only_if_it_must_be(as2_id: str, written: str) -> None:
    assert as_field(as2_id) == written


@pytest.mark.parametrize("received", ["ALPHA", "ALPHA CORP", '"ALPHA"', "ALPHA \xff"])
def test_the_backend_reads_the_partner_that_was_proved(received: str) -> None:
    message = with_headers(("as2-from", received), ("as2-to", f"{received} x"))
    assert sent(message, "as2-from") == in_the_file(message, "as2-from") == ["ALPHA"]
    assert sent(message, "as2-to") == in_the_file(message, "as2-to") == ["EXAMPLE"]


def test_an_id_with_blanks_or_beyond_ascii_goes_in_quotes_and_in_its_octets() -> None:
    assert sent(with_headers(("as2-from", "x"), as2_from="ALPHA CORP"), "as2-from") == ['"ALPHA CORP"']
    assert sent(with_headers(("as2-from", "x"), as2_from="Ä"), "as2-from") == ['"\xc3\x84"']


@pytest.mark.parametrize("name", ["subject", "disposition-notification-options", "content-disposition", "date"])
def test_a_field_that_was_sent_twice_goes_once_as_it_was_read(name: str) -> None:
    message = with_headers((name, "first"), ("as2-version", "1.2"), (name.title(), "second"))
    assert sent(message, name) == ["first"]
    assert in_the_file(message, name) == ["first"]
    assert [each for each, _ in build_request(message, AS_MESSAGE).headers[1:3]] == [name, "as2-version"]


@pytest.mark.parametrize("message_id", ["<1@acme.example>", "<OPENAS2-1@My Company_Your, (x)>", "1%2F@x", "<\xe4@x>"])
def test_a_message_id_goes_as_it_was_received(message_id: str) -> None:
    message = replace(with_headers(("message-id", message_id)), message_id=message_id)
    assert sent(message, "message-id") == [message_id]
    assert sent(message, "mtlsd-message-id") == [message_id]


def test_no_id_looks_like_the_encoding_of_another() -> None:
    def fields(text: str) -> list[str]:
        message = replace(MESSAGE, as2_from=text, as2_to=text, partner=text)
        names = ("Mtlsd-Partner", "Mtlsd-As2-From", "Mtlsd-As2-To")
        return [value for name, value in build_request(message, DELIVERY).headers if name in names]

    assert fields("Ω") == ["%CE%A9"] * 3
    assert fields("%CE%A9") == ["%25CE%25A9"] * 3
    assert fields("100%") == ["100%"] * 3
