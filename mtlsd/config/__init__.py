"""TOML files, read into types that cannot be wrong; above all `virtualhosts.toml`, the configuration.

- `load.read_configuration` reads it, or raises `ConfigurationError` with every problem at once;
- `model.Configuration` and its parts are what it makes: frozen, comparable, all paths absolute;
- `schema.read_toml` reads any file against a model of ours, such as a partner's: the value, and every problem with its
  line. `fields` has the types of keys, `values` what a text may be; parsing is tomllib's, structure is pydantic's.

Section [server] of the file becomes `Configuration.server`, and so on; docs/configuration.md has the keys and the
defaults.
"""
