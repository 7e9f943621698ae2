"""The configuration: one TOML file, read into types that cannot be wrong.

- `read_configuration` reads a file, or raises `ConfigurationError` with every problem at once;
- `Configuration` and its parts are what it makes: frozen, comparable, all paths absolute;
- `read_document` is for the other TOML files (a partner's, an organization's): it reads one and knows the
  line of every key. `shown` renders a value for a message, without passwords; `advise` a key that is unknown.

Parsing is tomllib's, structure is pydantic's, what a single value may be is in `values`. Section [server] of
the file becomes `Configuration.server`, and so on; docs/configuration.md has the keys and the defaults.
"""
