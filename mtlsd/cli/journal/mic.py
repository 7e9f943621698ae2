"""`mtlsd journal show --mic`: the digests that a partner may have computed as the MIC of a message."""

from datetime import UTC, datetime
from functools import partial

import click

from mtlsd.as2.agreement import Agreement, MessageLimits
from mtlsd.as2.explain import Candidate, explain
from mtlsd.as2.headers import AS2Headers
from mtlsd.cli.options import credentials, problems
from mtlsd.cli.output import say, say_table
from mtlsd.config.model import Configuration
from mtlsd.journal.integrity import open_intact
from mtlsd.journal.model import Message
from mtlsd.journal.spool import Spool
from mtlsd.journal.sql.journal import Journal
from mtlsd.partners.ours.organization import load_organization
from mtlsd.partners.partner import load_partner

PIECE = 256 * 1024


def candidates(configuration: Configuration, opened: Journal, message: Message) -> list[Candidate]:
    """Read the message again, as it was received, with the current keys and certificates."""
    limits = MessageLimits(configuration.limits.max_expanded_bytes, configuration.limits.max_expansion_ratio)
    now = datetime.fromtimestamp(message.received_at, UTC)
    spool = Spool(configuration.server.spool_directory)
    with open_intact(opened, spool, message, message.original) as original:
        # The journal has the names of fields in lower case; senders mostly write them as RFC 2045 does.
        headers = AS2Headers.parse([(name.title(), value) for name, value in message.headers])
        pieces = iter(partial(original.read, PIECE), b"")
        return explain(headers, _agreement(configuration, message), limits, now, pieces)


def _agreement(configuration: Configuration, message: Message) -> Agreement:
    routes = {(host.name, route.path): route for host in configuration.virtualhosts for route in host.routes}
    route = routes.get((message.host, message.route))
    if route is None:
        raise click.ClickException(
            f"{message.host}{message.route} is no longer a route in the configuration, so the keys are unknown"
        )
    certs = configuration.server.certs
    with problems():
        organization = load_organization(certs / "organizations" / route.organization, credentials()).value
    loaded = load_partner(certs / "partners" / message.partner)
    if loaded.partner is None:
        raise click.ClickException(f"the partner {message.partner} is not in use: {loaded.problems[0].message}")
    return Agreement(organization, loaded.partner, frozenset(), is_proven=True)  # it was accepted


def say_candidates(found: list[Candidate], ours: str | None, theirs: str) -> None:
    """Write all candidates, ours marked; or those with the partner's value, which may have spaces and an algorithm."""
    value = theirs.partition(",")[0].replace(" ", "")
    if not value:
        rows = [
            (
                each.what,
                each.form,
                each.mic.algorithm,
                each.mic.value,
                ", ".join(each.profiles),
                "ours" if each.mic.value == ours else "",
            )
            for each in found
        ]
        say_table(("WHAT WAS HASHED", "FORM", "ALGORITHM", "VALUE", "PROFILE", ""), rows, fold="VALUE")
        return
    matching = [each for each in found if each.mic.value == value]
    for each in matching:
        say(f"this value is the {each.mic.algorithm} of: {each.what}, {each.form}")
        if each.profiles and value != ours:
            several = " or ".join(f'mic_profile = "{profile}"' for profile in each.profiles)
            say(f"it would be our MIC with {several} in the partner's partner.toml")
    if not matching:
        say("no layer of this message has this value, in any form, with any algorithm: the partner hashed other bytes")


def as_json(candidate: Candidate) -> dict[str, object]:
    mic = candidate.mic
    return {
        "what": candidate.what,
        "form": candidate.form,
        "algorithm": mic.algorithm,
        "value": mic.value,
        "profiles": list(candidate.profiles),
    }
