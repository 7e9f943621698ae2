"""mtlsd: a mutual-TLS and AS2 gateway between trading partners and an EDI backend."""

__version__ = "0.1.0"
