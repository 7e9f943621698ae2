"""TOML files, read into types that cannot hold an invalid value; above all the configuration, `virtualhosts.toml`.

- `load.read_configuration` reads the configuration, or raises `ConfigurationError` with every problem;
- `model.Configuration` and its parts are the result: frozen, comparable, with absolute paths;
- `schema.read_toml` reads any file with a model of ours, such as a partner's: the value, and every problem with its
  line. `fields` has the types of keys, and `values` the types of texts. tomllib parses, pydantic checks the structure.

Section [server] of the file becomes `Configuration.server`, and so on; docs/configuration.md has the keys and the
defaults.
"""
