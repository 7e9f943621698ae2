"""Finds the route for a request."""

from mtlsd.config.model import Route, VirtualHost
from mtlsd.errors import MethodNotAllowed, NoRoute, SNIHostMismatch
from mtlsd.http.messages import Request
from mtlsd.text import cut

METHODS = ("POST", "HEAD")  # HEAD: products probe with it


def match(host: VirtualHost, request: Request) -> Route:
    """The route for this request; raises SNIHostMismatch, NoRoute or MethodNotAllowed.

    `host` is the virtual host of the TLS handshake, and the Host field must name the same one.
    """
    check_host(host, request)
    for route in host.routes:
        if route.path == request.path:
            if request.method not in METHODS:
                raise MethodNotAllowed(f"{cut(request.method)} on an AS2 route")
            return route
    raise NoRoute(f"no route for {cut(request.path)!r} on {host.name}")


def check_host(host: VirtualHost, request: Request) -> None:
    """Refuse a request whose Host field is not the host of the handshake; raises SNIHostMismatch."""
    if request.host is not None and request.host != host.name:
        raise SNIHostMismatch(f"Host {cut(request.host)!r} over a connection to {host.name}")
