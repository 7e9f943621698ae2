"""The configuration: one TOML file, read into types that cannot be wrong.

- `read_configuration` reads a file, or raises `ConfigurationError` with every problem at once;
- `Configuration` and its parts are what it makes: frozen, comparable, all paths absolute;
- `read_document` is for the other TOML files (a partner's, an organization's): it reads one and knows the
  line of every key. `shown` renders a value for a message, without passwords; `advise` a key that is unknown.

Parsing is tomllib's, structure is pydantic's, what a single value may be is in `values`. Section [server] of
the file becomes `Configuration.server`, and so on; docs/configuration.md has the keys and the defaults.
"""

from mtlsd.config.document import Document, advise, read_document, shown
from mtlsd.config.load import read_configuration
from mtlsd.config.locate import KeyPath
from mtlsd.config.model import (
    DIRECTORY,
    Address,
    Backend,
    Balance,
    ClientCert,
    ClientCertificate,
    Configuration,
    Deliver,
    Delivery,
    Directory,
    Expiry,
    Handler,
    Keep,
    Limits,
    Mail,
    MDNMode,
    OnUntrusted,
    Proof,
    Retention,
    Route,
    Server,
    VirtualHost,
    parse_backend,
    without_query,
)

__all__ = [
    "DIRECTORY",
    "Address",
    "Backend",
    "Balance",
    "ClientCert",
    "ClientCertificate",
    "Configuration",
    "Deliver",
    "Delivery",
    "Directory",
    "Document",
    "Expiry",
    "Handler",
    "Keep",
    "KeyPath",
    "Limits",
    "MDNMode",
    "Mail",
    "OnUntrusted",
    "Proof",
    "Retention",
    "Route",
    "Server",
    "VirtualHost",
    "advise",
    "parse_backend",
    "read_configuration",
    "read_document",
    "shown",
    "without_query",
]
