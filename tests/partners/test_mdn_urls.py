"""A target of an asynchronous MDN is allowed only where a listed prefix covers it, however it is spelled."""

from urllib.parse import unquote

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
        "https://acme.example/mdn/a%20b/.well-known/x..y/...z/%7Eacme/a%2Fb//c",
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
        "https://acme.example/mdn/..",
        "https://acme.example/mdn/.../x",  # Windows drops dots at the end of a name
        "https://acme.example/mdn/..;/x",  # a path parameter, which Java servers drop
        "https://acme.example/mdn/..;v=1/x",
        "https://acme.example/mdn/%2e%2e%3b/x",
        "https://acme.example/mdn/a;b=c",
        "https://acme.example/mdn/%252e%252e/x",  # encoded twice
        "https://acme.example/mdn/%25252e%25252e/x",
        "https://acme.example/mdn/%25%32%65%25%32%65/x",
        "https://acme.example/mdn/..%252fx",
        "https://acme.example/mdn/.%00./x",
        "https://acme.example/mdn/%00/x",
        "https://acme.example/mdn/..%00/x",
        "https://acme.example/mdn/.%0d%0a./x",
        "https://acme.example/mdn/..%09/x",
        "https://acme.example/mdn/..%20/x",
        "https://acme.example/mdn/%20../x",
        "https://acme.example/mdn/.%7f./x",
        "https://acme.example/mdn/a%5cb",
        "https://acme.example/mdn/%c0%ae%c0%ae/x",  # a dot in overlong UTF-8
        "https://acme.example/mdn/%ef%bc%8e%ef%bc%8e/x",  # dots of full width
        "https://acme.example/mdn/%e2%80%a5/x",
        "https://acme.example/mdn/%u002e%u002e/x",
        "https://acme.example/mdn/%2/x",
        "https://acme.example/mdn/%",
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


def test_what_is_listed_is_allowed_as_it_is_written() -> None:
    listed = ("https://acme.example/mdn;v=1", "https://acme.example/%C3%A4/")
    assert is_allowed("https://acme.example/mdn;v=1", listed)
    assert is_allowed("https://acme.example/mdn;v=1/x", listed)
    assert is_allowed("https://acme.example/%C3%A4/x", listed)
    assert not is_allowed("https://acme.example/mdn;v=1/..;/x", listed)


def test_an_empty_list_allows_nothing() -> None:
    assert not is_allowed("https://acme.example/mdn", ())


@given(rest=st.text(alphabet="/\\.%2eE5cCfF0;?#@:[]a", max_size=12) | st.text())
def test_no_spelling_leads_to_another_place(rest: str) -> None:
    target = f"https://acme.example/mdn{rest}"
    if is_allowed(target, LISTED):
        url = Backend.parse(target)
        assert (url.scheme, url.host, url.port) == ("https", "acme.example", 443)
        assert url.target == "/mdn" or url.target.startswith(("/mdn/", "/mdn?"))
        steps = unquote(unquote(url.target.partition("?")[0])).split("/")
        assert not {".", ".."} & {step.partition(";")[0].partition("\0")[0].strip() for step in steps}
