"""A target of an asynchronous MDN is allowed only where a listed prefix covers it, however it is spelled."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtlsd.config.addresses import Backend
from mtlsd.partners.mdn_urls import MAX_URL, is_allowed

LISTED = ("https://acme.example/mdn", "http://acme.example:8080", "http://[2001:db8::1]/in/")
LONG = "https://acme.example/mdn?" + "x" * 200


@pytest.mark.parametrize(
    "target",
    [
        "https://acme.example/mdn",
        "https://acme.example/mdn/",
        "https://acme.example/mdn/a/b",
        "https://acme.example/mdn?id=1&to=..",
        "https://acme.example:443/mdn",
        "HTTPS://ACME.example/mdn",
        LONG,
        "http://acme.example:8080",
        "http://acme.example:8080/",
        "http://acme.example:8080?id=1",
        "http://acme.example:8080/anything",
        "http://[2001:db8::1]/in/x",
        "http://[2001:0DB8:0:0::1]:80/in/x",
    ],
)
def test_what_a_prefix_covers_is_allowed(target: str) -> None:
    assert is_allowed(target, LISTED)


@pytest.mark.parametrize(
    "target",
    [
        "https://acme.example/mdnx",
        "https://acme.example/MDN",
        "https://acme.example/",
        "https://acme.example",
        "https://acme.example/mdn/../admin",
        "https://acme.example/mdn/%2e%2E/admin",
        "https://acme.example/mdn/..%2fadmin",
        "https://acme.example/mdn/..%5cadmin",
        "https://acme.example/mdn/./x",
        "https://acme.example:8443/mdn",
        "https://acme.example./mdn",
        "https://acme.example.evil.example/mdn",
        "https://acme.example@evil.example/mdn",
        "https://user:secret@acme.example/mdn",
        "https://acme.example/mdn#fragment",
        "https://acme.example\\@evil.example/mdn",
        "https://acme.example/mdn\r\nX: y",
        "https://acme.example /mdn",
        "http://acme.example/mdn",
        "http://acme.example",
        "http://[2001:db8::1]/in",
        "http://[2001:db8::2]/in/x",
        "http://127.0.0.1/mdn",
        "http://169.254.169.254/mdn",
        "mailto:edi@acme.example",
        "ftp://acme.example/mdn",
        "//acme.example/mdn",
        "https:///mdn",
        "https://acme.example:0/mdn",
        "https://acme.example:99999/mdn",
        "https://acme.example/mdn?" + "x" * MAX_URL,
        "nonsense",
        "",
    ],
)
def test_everything_else_is_denied(target: str) -> None:
    assert not is_allowed(target, LISTED)


def test_an_empty_list_allows_nothing() -> None:
    assert not is_allowed("https://acme.example/mdn", ())


@given(rest=st.text(alphabet="/\\.%2eE5cCfF?#@:[]a", max_size=12) | st.text())
def test_no_spelling_leads_to_another_place(rest: str) -> None:
    target = f"https://acme.example/mdn{rest}"
    if is_allowed(target, LISTED):
        url = Backend.parse(target)
        assert (url.scheme, url.host, url.port) == ("https", "acme.example", 443)
        assert url.target == "/mdn" or url.target.startswith(("/mdn/", "/mdn?"))
