"""The MDNs that we build."""

import pytest

from mtlsd.as2.headers import AS2Name
from mtlsd.as2.mdn.build import Receipt, build_mdn
from mtlsd.as2.mdn.disposition import Disposition
from mtlsd.as2.mic import MIC


@pytest.mark.parametrize("mic", [MIC(b"\x01" * 32, "sha256", "sha-256"), None])
def test_an_empty_line_follows_the_last_field_of_our_notification(mic: MIC | None) -> None:
    """phpas2 looks for it, and finds no Disposition otherwise."""
    names = AS2Name.parse("ACME"), AS2Name.parse("EXAMPLE")
    receipt = Receipt(*names, "<1@acme.example>", Disposition.of(None), mic, "All is well.", "b1")
    body = build_mdn(receipt, now=1e9, host="x.example", signing=None, product="mtlsd/1").body
    assert b"\r\nDisposition: automatic-action/MDN-sent-automatically; processed\r\n\r\n\r\n--report-b1--" in body
