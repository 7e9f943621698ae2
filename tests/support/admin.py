"""Asking the admin address, by hand: plain HTTP over a socket."""

import json
import socket
from collections.abc import Iterable
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.support.client import TIMEOUT, Answer, Client
from tests.support.daemon import Tree

Labels = tuple[tuple[str, str], ...]


def ask(address: tuple[str, int], data: bytes, *, head: bool = False) -> Answer:
    """Send octets over a connection of their own, and read the one answer."""
    with socket.create_connection(address, TIMEOUT) as stream:
        client = Client(stream)
        answer = client.request(data, head=head)
        assert client.rest() == b""  # it closes
        return answer


def get(tree: Tree, path: str, *fields: tuple[str, str]) -> Answer:
    """GET a path of a daemon's admin address."""
    host = "" if any(name == "Host" for name, _ in fields) else f"Host: {tree.admin[0]}:{tree.admin[1]}\r\n"
    header = "".join(f"{name}: {value}\r\n" for name, value in fields)
    return ask(tree.admin, f"GET {path} HTTP/1.1\r\n{host}{header}\r\n".encode())


def checks(answer: Answer) -> dict[str, dict[str, Any]]:
    """What /readyz says, by the name of the check."""
    return {each["check"]: each for each in json.loads(answer.body)["checks"]}


def failing(answer: Answer) -> list[str]:
    return [name for name, each in checks(answer).items() if each["status"] == "fail"]


def samples(answer: Answer) -> dict[tuple[str, Labels], float]:
    """Every sample of /metrics; labels without a value are left out."""
    families = text_string_to_metric_families(answer.body.decode())
    return {(each.name, _labels(each.labels.items())): each.value for family in families for each in family.samples}


def value(answer: Answer, name: str, **labels: str) -> float | None:
    return samples(answer).get((name, _labels(labels.items())))


def _labels(items: Iterable[tuple[str, str]]) -> Labels:
    return tuple(sorted((name, value) for name, value in items if value))
