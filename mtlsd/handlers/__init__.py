"""What a route does with a request: synchronous, no sockets."""
