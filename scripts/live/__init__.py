"""Exchanges with other AS2 products, live: a real daemon, a real backend, the product, and sockets between them.

`exchange` runs the exchanges with one product and says how each ended. A product is one of the modules beside it.
"""
