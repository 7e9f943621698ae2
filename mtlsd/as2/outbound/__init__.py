"""Messages that we send: a `draft` says what is wanted, `compose` builds the message."""
