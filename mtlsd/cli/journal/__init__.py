"""`mtlsd journal` and `mtlsd privacy`: the received messages, and their deliveries."""
