"""The keys of `[revocation]` in `partner.toml`."""

from collections.abc import Mapping
from typing import Any

from mtlsd.config.model import Backend
from mtlsd.partners.toml_schema import Table, one_of
from mtlsd.pki.revocation import Check, Revocation


def read_revocation(values: Mapping[str, Any]) -> Revocation:
    """The settings, from what `KEYS` let through."""
    modes = {name: Check(values[name]) for name in ("crl", "ocsp") if name in values}
    return Revocation(**{**values, **modes})


def url(value: object) -> str:
    """An http or https URL."""
    try:
        return Backend.parse(value if isinstance(value, str) else "").url
    except ValueError as error:
        raise ValueError('a URL such as "http://pki.acme.example/ca.crl"') from error


def urls(value: object) -> tuple[str, ...]:
    """A list of them."""
    if not isinstance(value, list):
        raise ValueError('a list of URLs such as "http://pki.acme.example/ca.crl"')
    return tuple(dict.fromkeys(map(url, value)))


def flag(value: object) -> bool:
    """A boolean of TOML."""
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


KEYS: Table = {
    "crl": one_of(tuple(Check)),
    "fetch": flag,
    "crl_urls": urls,
    "ocsp": one_of(tuple(Check)),
    "ocsp_url": url,
}
