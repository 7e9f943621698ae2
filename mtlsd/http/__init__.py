"""Requests, responses, routes and the bodies of refusals. No sockets: h11 does the wire, in `net`."""

from mtlsd.http.messages import Fields, Request, Response, read_request
from mtlsd.http.problems import PRODUCT, phrase, respond
from mtlsd.http.routing import check_host, match

__all__ = ["PRODUCT", "Fields", "Request", "Response", "check_host", "match", "phrase", "read_request", "respond"]
