"""Requests, responses, routes and the bodies of refusals. No sockets: `engine` takes bytes and gives events."""
