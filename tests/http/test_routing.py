"""From a request to a route: the host of the handshake first, then the path exactly, then the method."""

from pathlib import Path

import pytest

from mtlsd.config.load import read_configuration
from mtlsd.errors import MethodNotAllowed, NoRoute, PeerError, SNIHostMismatch
from mtlsd.http.messages import Request
from mtlsd.http.routing import match
from tests.support.daemon import Tree


def request(method: str = "POST", target: str = "/as2", host: str | None = "as2.example.com") -> Request:
    return Request(method, target, (), "1.1", host)


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        (request(host="drop.example.com"), SNIHostMismatch),
        (request(target="/"), NoRoute),
        (request(target="/as2/"), NoRoute),
        (request(target="//as2"), NoRoute),
        (request("GET"), MethodNotAllowed),
        (request("post"), MethodNotAllowed),
        (request("GET", "/other"), NoRoute),
        (request("GET", "/other", "drop.example.com"), SNIHostMismatch),
    ],
)
def test_what_does_not_fit(tmp_path: Path, wrong: Request, error: type[PeerError]) -> None:
    host = read_configuration(Tree(tmp_path).configuration).virtualhosts[0]
    with pytest.raises(error):
        match(host, wrong)


@pytest.mark.parametrize("fit", [request(), request("HEAD"), request(target="/as2?x=y"), request(host=None)])
def test_what_fits(tmp_path: Path, fit: Request) -> None:
    host = read_configuration(Tree(tmp_path).configuration).virtualhosts[0]
    assert match(host, fit) is host.routes[0]
