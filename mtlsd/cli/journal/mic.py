"""`mtlsd journal show --mic`: the digests that a partner may have computed as the MIC of a message."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import BinaryIO

import click

from mtlsd.as2.agreement import Agreement, MessageLimits
from mtlsd.as2.explain import Candidate, explain
from mtlsd.as2.headers import AS2Headers
from mtlsd.cli.options import load_configuration, problems
from mtlsd.cli.output import say, say_table
from mtlsd.config.model import Configuration
from mtlsd.journal.integrity import open_intact
from mtlsd.journal.model import Message
from mtlsd.journal.spool import Spool
from mtlsd.journal.sql.journal import Journal
from mtlsd.partners.ours.organization import load_organization
from mtlsd.partners.partner import load_partner

PIECE = 256 * 1024


def candidates(file: Path, opened: Journal, message: Message) -> list[Candidate]:
    """Read the message again, as it was received, with the current keys and certificates."""
    configuration = load_configuration(file)
    limits = MessageLimits(configuration.limits.max_expanded_bytes, configuration.limits.max_expansion_ratio)
    now = datetime.fromtimestamp(message.received_at, UTC)
    spool = Spool(configuration.server.spool_directory)
    with open_intact(opened, spool, message, message.original) as original:
        headers = AS2Headers.parse(message.headers)
        return explain(headers, _agreement(configuration, message), limits, now, _pieces(original))


def _agreement(configuration: Configuration, message: Message) -> Agreement:
    routes = {(host.name, route.path): route for host in configuration.virtualhosts for route in host.routes}
    route = routes.get((message.host, message.route))
    if route is None:
        raise click.ClickException(
            f"{message.host}{message.route} is no longer a route in the configuration, so the keys are unknown"
        )
    certs, credentials = configuration.server.certs, os.environ.get("CREDENTIALS_DIRECTORY")
    with problems():
        directory = certs / "organizations" / route.organization
        organization = load_organization(directory, Path(credentials) if credentials else None).value
    loaded = load_partner(certs / "partners" / message.partner)
    if loaded.partner is None:
        raise click.ClickException(f"the partner {message.partner} is not in use: {loaded.problems[0].message}")
    return Agreement(organization, loaded.partner, frozenset(), is_proven=True)  # it was accepted


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    return iter(partial(file.read, PIECE), b"")


def say_candidates(found: list[Candidate], ours: str | None, theirs: str) -> None:
    """Write all candidates, ours marked; or those with the partner's value, which may have spaces and an algorithm."""
    value = theirs.partition(",")[0].replace(" ", "")
    if not value:
        rows = [_row(each, "ours" if each.mic.value == ours else "") for each in found]
        say_table(("WHAT WAS HASHED", "FORM", "ALGORITHM", "VALUE", ""), rows, fold="VALUE")
        return
    matching = [each for each in found if each.mic.value == value]
    for each in matching:
        say(f"this value is the {each.mic.algorithm} of: {each.what}, {each.form}")
    if not matching:
        say("no layer of this message has this value, in any form, with any algorithm: the partner hashed other bytes")


def _row(candidate: Candidate, mark: str) -> tuple[object, ...]:
    return candidate.what, candidate.form, candidate.mic.algorithm, candidate.mic.value, mark
