"""What is odd about a header is said in a sentence, and nothing is said of a good one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtlsd.as2.header_lint import oddities

GOOD = {
    "AS2-Version": "1.2",
    "AS2-From": "ACME",
    "AS2-To": '"EX AMPLE"',
    "Message-ID": "<1@acme.example>",
    "MIME-Version": "1.0",
    "Content-Type": "application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m",
    "Disposition-Notification-To": "edi@acme.example",
    "Disposition-Notification-Options": "signed-receipt-protocol=optional, pkcs7-signature; "
    "signed-receipt-micalg=optional, sha-256, sha1",
    "Content-Length": "7",
}
ODD: dict[str, tuple[dict[str, str | None], str]] = {
    "no version": ({"AS2-Version": None}, "AS2-Version is missing"),
    "another version": ({"AS2-Version": "2.0"}, "AS2-Version is not"),
    "an id without brackets": ({"Message-ID": "1@acme.example"}, "<left@right>"),
    "a long id": ({"Message-ID": f"<{'1' * 300}@a>"}, "longer than 255"),
    "needless quotes": ({"AS2-From": '"ACME"'}, "As2-From: quotes are not needed"),
    "a blank without quotes": ({"AS2-To": "EX AMPLE"}, "As2-To: an id with a blank"),
    "no MIME-Version": ({"MIME-Version": None}, "MIME-Version"),
    "base64": ({"Content-Transfer-Encoding": "base64"}, "Content-Transfer-Encoding"),
    "the old name": ({"Content-Type": "application/x-pkcs7-mime; smime-type=enveloped-data"}, "old name"),
    "no smime-type": ({"Content-Type": "application/pkcs7-mime"}, "smime-type"),
    "a bare multipart/signed": ({"Content-Type": "multipart/signed; boundary=b"}, "lacks micalg, protocol"),
    "a type in quotes": ({"Content-Type": r'"multipart/signed; boundary=\"b\""'}, "in quotes"),
    "no receipt": ({"Disposition-Notification-To": None}, "no receipt"),
    "an unsigned receipt": ({"Disposition-Notification-Options": None}, "not be signed"),
    "SHA-1": ({"Disposition-Notification-Options": "signed-receipt-micalg=required,sha1"}, "SHA-1 first"),
    "MD5": ({"Disposition-Notification-Options": "signed-receipt-micalg=optional,md5"}, "no supported algorithm"),
    "two framings": ({"Transfer-Encoding": "chunked"}, "both present"),
    "a password": ({"Authorization": "Basic x"}, "Authorization: not needed"),
}


def changed(changes: dict[str, str | None]) -> list[tuple[str, str]]:
    return [(name, value) for name, value in {**GOOD, **changes}.items() if value is not None]


def test_of_a_good_header_nothing_is_said() -> None:
    assert oddities(changed({})) == ()


@pytest.mark.parametrize("kind", ODD)
def test_what_is_odd_is_said(kind: str) -> None:
    changes, words = ODD[kind]
    (said,) = oddities(changed(changes))
    assert words in said


def test_what_stands_twice_is_named() -> None:
    (said,) = oddities([*changed({}), ("content-length", "7"), ("Accept", "a"), ("accept", "b")])
    assert said.startswith("Content-Length: appears more than once")


NAMES = st.sampled_from([*GOOD, "Content-Transfer-Encoding", "Authorization", "Transfer-Encoding", "X"])


@given(st.lists(st.tuples(NAMES, st.text() | st.text('signed-receipt-micalg=;, "<>@'))))
def test_whatever_the_header_nothing_escapes(fields: list[tuple[str, str]]) -> None:
    assert all(each.endswith(".") for each in oddities(fields))
