"""The name of a document is data: its last segment, without what no name has."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtlsd.handlers.as2.filenames import MAX_NAME, filename_of


@pytest.mark.parametrize(
    ("disposition", "content_type", "name"),
    [
        ('attachment; filename="order.edi"', "", "order.edi"),
        ("attachment; filename=order.edi", "", "order.edi"),
        ('attachment; filename=""order.edi""', "", "order.edi"),
        ('attachment; filename="=?utf-8?Q?b=C3=BCcher.edi?="', "", "bücher.edi"),
        ('attachment; filename="=?utf-8?B?Li4vLi4veA==?="', "", "x"),
        ('attachment; filename="=?nonsense?B?!!!?="', "", "=?nonsense?B?!!!?="),
        (None, 'application/EDIFACT; name="order.edi"', "order.edi"),
        ('attachment; filename="a"', 'x/y; name="b"', "a"),
        ('attachment; filename="../../etc/passwd"', "", "passwd"),
        ('attachment; filename="C:\\\\Temp\\\\x.edi"', "", "x.edi"),
        ('attachment; filename=".."', "", None),
        ('attachment; filename="/"', "", None),
        ("attachment", "text/plain", None),
        (None, "", None),
        ("attachment; filename*=UTF-8''%E2%82%AC.edi", "", "€.edi"),
        ("attachment; filename*=UTF-8''..%2F..%2Fx", "", "x"),
        ("attachment; filename*=utf-16''x; filename=y", "", "y"),
        ('attachment; filename="a\x00\r\nb"', "", "ab"),
        ('attachment; filename="' + "x" * 300 + '"', "", "x" * MAX_NAME),
    ],
)
def test_the_name(disposition: str | None, content_type: str, name: str | None) -> None:
    assert filename_of(disposition, content_type) == name


@given(st.text(), st.text())
def test_any_text_gives_a_name_without_harm_or_none(disposition: str, content_type: str) -> None:
    for text in (disposition, f"attachment; filename={disposition}", f"attachment; filename*=UTF-8''{disposition}"):
        name = filename_of(text.encode("latin-1", "replace").decode("latin-1"), "")
        assert name is None or (0 < len(name) <= MAX_NAME and name not in (".", ".."))
        assert not name or not set(name) & set("/\\\x00\r\n")
