"""Partners' connections: `listeners` accept, a `connection` serves one client over its `wire`."""
