"""A file becomes a `Configuration`, or a list of everything that is wrong with it.

Pydantic checks each key for itself. The checks between keys read the raw tables, so that they too report when
pydantic has found something else.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config

from mtlsd.config.document import Document, advise, read_document, shown
from mtlsd.config.locate import KeyPath
from mtlsd.config.model import (
    DIRECTORY,
    ClientCert,
    ClientCertificate,
    Configuration,
    Deliver,
    Delivery,
    Expiry,
    Limits,
    Mail,
    MDNMode,
    Proof,
    Retention,
    Route,
    Server,
    VirtualHost,
)
from mtlsd.errors import ConfigurationError, Problem


@with_config(ConfigDict(extra="forbid"))
@dataclass(frozen=True, slots=True)
class _Tables:
    """The top level of the file."""

    virtualhost: tuple[VirtualHost, ...]
    server: Server = field(default_factory=Server)
    limits: Limits = field(default_factory=Limits)
    delivery: Delivery = field(default_factory=Delivery)
    proof: Proof = field(default_factory=Proof)
    retention: Retention = field(default_factory=Retention)
    expiry: Expiry = field(default_factory=Expiry)


def _names(table: type[Any]) -> frozenset[str]:
    return frozenset({"routes": "route", "sender": "from"}.get(each.name, each.name) for each in fields(table))


_KEYS: dict[tuple[str, ...], frozenset[str]] = {
    (): _names(_Tables),
    ("server",): _names(Server),
    ("limits",): _names(Limits),
    ("delivery",): _names(Delivery),
    ("proof",): _names(Proof),
    ("retention",): _names(Retention),
    ("expiry",): _names(Expiry),
    ("expiry", "mail"): _names(Mail),
    ("virtualhost",): _names(VirtualHost),
    ("virtualhost", "route"): _names(Route),
}
_HEADERS: dict[tuple[str, ...], str] = {
    ("server",): "[server]",
    ("limits",): "[limits]",
    ("delivery",): "[delivery]",
    ("proof",): "[proof]",
    ("retention",): "[retention]",
    ("expiry",): "[expiry]",
    ("expiry", "mail"): "[expiry.mail]",
    ("virtualhost",): "[[virtualhost]]",
    ("virtualhost", "route"): "[[virtualhost.route]]",
}
_EXAMPLES = {
    "virtualhost": "[[virtualhost]]",
    "name": 'name = "as2.example.com"',
    "listen": 'listen = "0.0.0.0:8443"',
    "path": 'path = "/as2"',
    "handler": 'handler = "as2"',
    "organization": 'organization = "EXAMPLE"',
    "smtp": 'smtp = "mail.example.com:25"',
    "from": 'from = "mtlsd@example.com"',
    "to": 'to = "edi@example.com"',
    "backend": 'backend = "http://127.0.0.1:9000/inbound"',
}
_PARSER = TypeAdapter(_Tables)


def read_configuration(path: Path) -> Configuration:
    """Read the configuration; ConfigurationError holds every problem, in the order of the lines."""
    file = path.absolute()
    document = read_document(file)
    tables, problems = _parse(document)
    problems += _conflicts(document)
    if problems or tables is None:
        raise ConfigurationError(tuple(sorted(problems, key=lambda each: each.line or 0)))
    server, proof = _below(file.parent, tables.server), tables.proof
    place = file.parent / proof.checkpoints if proof.checkpoints else server.state / "checkpoints"
    proof = replace(proof, checkpoints=place)
    return Configuration(
        file, server, tables.limits, tables.delivery, tables.virtualhost, proof, tables.retention, tables.expiry
    )


def _below(directory: Path, server: Server) -> Server:
    """The server with absolute paths, and with the defaults that depend on other keys."""
    state, spool = directory / server.state, directory / server.spool_directory
    certs, inline_bytes = directory / server.certs, server.inline_limit
    return replace(server, state=state, certs=certs, spool=spool, inline_bytes=inline_bytes)


def _parse(document: Document) -> tuple[_Tables | None, list[Problem]]:
    try:
        return _PARSER.validate_python(document.tables), []
    except ValidationError as error:
        details = error.errors(include_url=False)
    problems = []
    for each in details:
        words = str(each["ctx"]["error"]) if each["type"] == "value_error" else each["msg"]
        message = _message(each["type"], _without_indexes(each["loc"]), shown(each["input"]), words)
        problems.append(document.problem(each["loc"], message))
    return None, problems


def _message(kind: str, names: tuple[str, ...], found: str, words: str) -> str:
    match kind:
        case "missing":
            return f"is missing: expected a line such as {_EXAMPLES[names[-1]]}"
        case "unexpected_keyword_argument":
            return _unknown(names)
        case "tuple_type":
            words = f"expected tables, each under {_HEADERS[names]}"
        case "dataclass_type":
            words = f"expected a table, {_HEADERS[names]}"
    return f"found {found}: {words}"


def _unknown(names: tuple[str, ...]) -> str:
    *table, key = names
    home = next((each for each, keys in _KEYS.items() if key in keys), ())
    if home:
        return f"unknown key here; it belongs under {_HEADERS[home]}"
    return advise(key, _KEYS[tuple(table)])


def _conflicts(document: Document) -> list[Problem]:
    """What no single key shows: no host at all, one name for two hosts, one path for two routes, half a setting."""
    names, problems = [], []
    if document.tables.get("virtualhost") == []:
        problems.append(document.problem(("virtualhost",), "is empty: expected at least one [[virtualhost]]"))
    for at, host in _elements((), document.tables, "virtualhost"):
        names.append(((*at, "name"), str(host.get("name", "")).lower()))
        paths = [((*below, "path"), str(route.get("path", ""))) for below, route in _elements(at, host, "route")]
        problems += _repeated(document, paths, "a path has one route in a host")
        for below, route in _elements(at, host, "route"):
            problems += [document.problem((*below, key), words) for key, words in _half_said(host, route)]
    return problems + _repeated(document, names, "a virtual host has one name and one listener")


def _half_said(host: dict[str, Any], route: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Settings of a route that need another one, or do not go with it."""
    written = route.get("backend")
    backends = written if isinstance(written, list) else [written]
    has_directory = any(str(each).startswith(DIRECTORY) for each in backends)
    if route.get("mdn") == MDNMode.BACKEND and route.get("deliver", Deliver.PAYLOAD) != Deliver.MESSAGE:
        yield (
            "mdn",
            'found "backend": only a backend that gets the AS2 message can make its MDN; add deliver = "message"',
        )
    if route.get("mdn") == MDNMode.BACKEND and has_directory:
        yield "mdn", 'found "backend": a directory makes no MDN; expected an http or https URL in backend'
    if has_directory and len(backends) > 1:
        yield "backend", "found a directory among others: a directory stands alone"
    if route.get("health") and has_directory:
        yield "health", "a directory has no health check: remove it"
    if route.get("client_cert") in (ClientCert.LEAF, ClientCert.CHAIN) and _asks_nobody(host):
        yield "client_cert", f'found "{route["client_cert"]}": this host asks no client for a certificate'


def _asks_nobody(host: dict[str, Any]) -> bool:
    return host.get("client_certificate") == ClientCertificate.NONE


def _repeated(document: Document, values: list[tuple[KeyPath, str]], rule: str) -> list[Problem]:
    first: dict[str, KeyPath] = {}
    problems = []
    for path, value in values:
        if value and first.setdefault(value, path) != path:
            line = document.line(first[value])
            message = f"found {shown(value)}, which line {line} has already: {rule}; remove or rename one"
            problems.append(document.problem(path, message))
    return problems


def _elements(parent: KeyPath, table: dict[str, Any], array: str) -> Iterator[tuple[KeyPath, dict[str, Any]]]:
    """The tables in an array of tables, as far as it is one, and where they stand."""
    elements = table.get(array)
    for index, element in enumerate(elements if isinstance(elements, list) else []):
        if isinstance(element, dict):
            yield (*parent, array, index), element


def _without_indexes(path: KeyPath) -> tuple[str, ...]:
    return tuple(part for part in path if isinstance(part, str))
