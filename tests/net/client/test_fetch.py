"""What a CA publishes is fetched within bounds, and from nowhere inside unless the operators wrote it down."""

from collections.abc import Iterator

import pytest

from mtlsd.net.client.fetch import FetchFailed, fetch, is_public
from tests.support import authority
from tests.support.authority import Authority


@pytest.fixture
def server() -> Iterator[Authority]:
    with authority.running() as listening:
        yield listening


async def get(url: str, *, listed: bool = True, limit: int = 1000, seconds: float = 10) -> bytes:
    return await fetch(url, listed=listed, limit=limit, seconds=seconds)


@pytest.mark.parametrize(
    "address",
    [
        "93.184.215.14",
        "2606:2800:21f:cb07:6820:80da:af6b:8b2c",
        "64:ff9b::5db8:d70e",
        "2002:5db8:d70e::1",
        "::ffff:93.184.215.14",
    ],
)
def test_an_address_out_in_the_world(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.0.0.7",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",  # noqa: S104  # nobody listens there
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1",
        "fd00::1",
        "ff02::1",
        "::ffff:10.0.0.7",
        "::ffff:127.0.0.1",
        "2002:7f00:1::",
        "2002:0a00:0007::",
        "64:ff9b::a00:7",
        "64:ff9b::7f00:1",
        "64:ff9b:1::a00:7",
        "64:ff9b:1::5db8:d70e",
        "::10.0.0.7",
        "::93.184.215.14",
        "::ffff:0:10.0.0.7",
        "fec0::1",
        "fe80::1%1",
        "2001:0:a00:7::f5ff:fff8",
        "2001:0:5db8:d70e::f5ff:fff8",
        "2001:db8::1",
        "100::1",
        "4000::1",
    ],
)
def test_an_address_inside(address: str) -> None:
    assert not is_public(address)


async def test_what_is_there_comes(server: Authority) -> None:
    server.get = lambda path: (200, path.encode())
    assert await get(f"{server.url}/ca.crl") == b"/ca.crl"
    server.get = lambda _: (200, bytes(1000))
    assert len(await get(server.url)) == 1000


@pytest.mark.parametrize("status", [204, 301, 302, 404, 500])
async def test_no_other_status_counts_and_no_redirect_is_followed(server: Authority, status: int) -> None:
    server.get = lambda _: (status, b"")
    with pytest.raises(FetchFailed, match=f"the server said {status}"):
        await get(server.url)
    assert len(server.asked) == 1


@pytest.mark.parametrize("size", [1001, 100_000])
async def test_nothing_larger_than_the_limit_is_taken(server: Authority, size: int) -> None:
    server.get = lambda _: (200, bytes(size))
    with pytest.raises(FetchFailed, match="more than"):
        await get(server.url)


async def test_nobody_waits_longer_than_the_deadline(server: Authority) -> None:
    server.get = lambda _: None
    with pytest.raises(FetchFailed, match="no whole answer within"):
        await get(server.url, seconds=0.2)


async def test_a_private_address_is_gone_to_only_where_it_is_listed(server: Authority) -> None:
    with pytest.raises(FetchFailed, match="a private address"):
        await get(server.url, listed=False)
    with pytest.raises(FetchFailed, match="a private address"):
        await get(server.url.replace("127.0.0.1", "localhost"), listed=False)
    assert server.asked == []


@pytest.mark.parametrize("url", ["ldap://x.example/", "http://", "file:///etc/passwd", "http://127.0.0.1:1/"])
async def test_a_url_that_leads_nowhere_is_a_failure(url: str) -> None:
    with pytest.raises(FetchFailed):
        await get(url)
