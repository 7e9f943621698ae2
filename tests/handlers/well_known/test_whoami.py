"""Whatever a client calls itself, the page has no markup of its making, and the JSON is JSON."""

import json
from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from mtlsd.config.model import ClientCertificate
from mtlsd.handlers.well_known import whoami
from mtlsd.handlers.well_known.whoami_page import POLICY, STYLE
from mtlsd.http.messages import Request
from tests.support.pki import NOW

TEXT = st.text() | st.text("<>&\"'/=!-abcst \u202e\x00\x1b")


class Tags(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, tuple[tuple[str, str | None], ...]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, tuple(attrs)))


def seen(accept: str, sni: str, unreadable: str) -> whoami.Seen:
    return whoami.Seen(
        request=Request("GET", whoami.PATH, (("accept", accept),), "1.1", "as2.example.com"),
        request_id="r1",
        now=NOW,
        address="192.0.2.7",
        host="as2.example.com",
        client_certificate=ClientCertificate.OPTIONAL,
        tls="TLSv1.3",
        cipher="TLS_AES_256_GCM_SHA384",
        sni=sni,
        unreadable=unreadable,
    )


@given(TEXT, TEXT)
def test_no_markup_of_a_client_s_making(sni: str, unreadable: str) -> None:
    plain = Tags(whoami.answer(seen("text/html", "a", "b")).body.decode()).found
    page = whoami.answer(seen("text/html", sni, unreadable or "b")).body.decode()
    assert Tags(page).found == plain
    assert all(each.isprintable() or each == "\n" for each in page)


@given(TEXT, TEXT)
def test_json_is_json_in_ascii(sni: str, unreadable: str) -> None:
    answer = whoami.answer(seen("*/*", sni, unreadable))
    assert json.loads(answer.body.decode("ascii"))["connection"]["sni"] == sni


def test_the_policy_names_the_style_and_the_page_has_no_other() -> None:
    page = whoami.answer(seen("text/html", "a", "")).body.decode()
    assert page.count("<style>") == 1
    assert f"<style>{STYLE}</style>" in page
    assert "style-src 'sha256-" in POLICY
