"""Reads the configuration file: returns a `Configuration`, or raises a list of all problems.

The schema checks each key alone. The checks of several keys read the raw tables, so that they report their problems
even if the schema has found other problems.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mtlsd.config import model
from mtlsd.config.addresses import DIRECTORY
from mtlsd.config.document import TOMLDocument, read_document, shown
from mtlsd.config.fields import table
from mtlsd.config.locate import KeyPath
from mtlsd.config.schema import Schema
from mtlsd.errors import ConfigurationError, Problem


@table
@dataclass(frozen=True, slots=True)
class _Tables:
    """The top level of the file."""

    virtualhost: tuple[model.VirtualHost, ...]
    server: model.Server = field(default_factory=model.Server)
    limits: model.Limits = field(default_factory=model.Limits)
    delivery: model.DeliverySettings = field(default_factory=model.DeliverySettings)
    proof: model.ProofSettings = field(default_factory=model.ProofSettings)
    retention: model.Retention = field(default_factory=model.Retention)
    expiry: model.Expiry = field(default_factory=model.Expiry)


_SCHEMA = Schema(_Tables)


def read_configuration(path: Path) -> model.Configuration:
    """Read the configuration; raises ConfigurationError with every problem, in the order of the lines."""
    file = path.absolute()
    document = read_document(file)
    tables, mistakes = _SCHEMA.check(document)
    problems = [*mistakes, *_conflicts(document)]
    if problems or tables is None:
        raise ConfigurationError(tuple(sorted(problems, key=lambda each: each.line or 0)))
    server = _below(file.parent, tables.server)
    checkpoints = file.parent / (tables.proof.checkpoints or server.state / "checkpoints")
    proof = replace(tables.proof, checkpoints=checkpoints)
    return model.Configuration(
        file, server, tables.limits, tables.delivery, tables.virtualhost, proof, tables.retention, tables.expiry
    )


def _below(directory: Path, server: model.Server) -> model.Server:
    """The server with absolute paths, and with the defaults that depend on other keys."""
    state, spool = directory / server.state, directory / server.spool_directory
    certs, inline_bytes = directory / server.certs, server.inline_limit
    return replace(server, state=state, certs=certs, spool=spool, inline_bytes=inline_bytes)


def _conflicts(document: TOMLDocument) -> list[Problem]:
    """The problems that concern several keys: no host, a repeated name or path, and settings that do not fit."""
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
    """The settings of a route that need another setting, or do not fit another setting."""
    written = route.get("backend")
    backends = written if isinstance(written, list) else [written]
    host_requests_none = host.get("client_certificate") == model.ClientCertificate.NONE
    has_directory = any(str(each).startswith(DIRECTORY) for each in backends)
    needs_backends_mdn = route.get("mdn") == model.MDNMode.BACKEND
    if needs_backends_mdn and route.get("deliver") != model.Deliver.MESSAGE:
        yield "mdn", 'found "backend": only a backend that gets AS2 messages can make MDNs; add deliver = "message"'
    if needs_backends_mdn and has_directory:
        yield "mdn", 'found "backend": a directory makes no MDN; expected an http or https URL in backend'
    if has_directory and len(backends) > 1:
        yield "backend", "found a directory in a list: expected one directory, or only URLs"
    if route.get("health") and has_directory:
        yield "health", "a directory has no health check: remove it"
    if route.get("client_cert") in (model.ClientCert.LEAF, model.ClientCert.CHAIN) and host_requests_none:
        yield "client_cert", f'found "{route["client_cert"]}": this host asks no client for a certificate'


def _repeated(document: TOMLDocument, values: list[tuple[KeyPath, str]], rule: str) -> list[Problem]:
    first: dict[str, KeyPath] = {}
    problems = []
    for path, value in values:
        if value and first.setdefault(value, path) != path:
            line = document.line(first[value])
            message = f"found {shown(value)}, which is also in line {line}: {rule}; remove or rename one"
            problems.append(document.problem(path, message))
    return problems


def _elements(parent: KeyPath, table: dict[str, Any], array: str) -> Iterator[tuple[KeyPath, dict[str, Any]]]:
    """The tables in an array of tables, with their paths; values that are not tables are skipped."""
    elements = table.get(array)
    for index, element in enumerate(elements if isinstance(elements, list) else []):
        if isinstance(element, dict):
            yield (*parent, array, index), element
