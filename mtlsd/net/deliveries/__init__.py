"""Deliveries to backends and asynchronous MDNs: the `worker` claims one, an `attempt` makes it."""
