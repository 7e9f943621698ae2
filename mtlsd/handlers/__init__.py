"""The handling of requests to routes: synchronous, no sockets."""
