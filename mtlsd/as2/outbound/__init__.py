"""Messages that we send: a `draft` describes one, `compose` builds it."""
