"""Requests, responses, routes and the bodies of refusals. No sockets: h11 does the wire, in `net`."""
