"""`partner.toml`: the settings of a partner."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from mtlsd.config import fields, values
from mtlsd.config.document import TOMLDocument
from mtlsd.config.fields import choice, choices, key, number, size, text, texts
from mtlsd.config.schema import Schema, read_toml
from mtlsd.errors import Problem
from mtlsd.partners.dates import CertificateRow
from mtlsd.partners.mdn_urls import url_prefix
from mtlsd.pki.certificate import Certificate
from mtlsd.pki.names import alternative_name, subject
from mtlsd.pki.relaxations import RELAXATIONS
from mtlsd.pki.revocation import BY_DEFAULT, Revocation

SETTINGS = "partner.toml"

DEFAULT_VERSION = "1.2"
VERSIONS = (DEFAULT_VERSION, "1.3")  # 1.3: draft-ietf-ediint-rfc4130bis
ACKNOWLEDGEMENTS = (200, 202, 204)
BROKEN = {"sha1", "3des"}  # algorithms that AS2 1.3 removed

NO_AS2_ID = 'is missing: expected a line such as as2_id = "ACME"'

_HOSTS = texts(values.host_reference, "a list of host names", into=frozenset)


class Require(StrEnum):
    """A protection that a message must have."""

    SIGN = "sign"
    ENCRYPT = "encrypt"


EVERYTHING = frozenset(Require)


class MICProfile(StrEnum):
    """What the partner's product hashes as the MIC of a message that is not signed; docs/as2.md has the table."""

    RFC = "rfc"
    OPENAS2 = "openas2"
    MENDELSON = "mendelson"
    WITH_HEADERS = "with-headers"


@fields.table
@dataclass(frozen=True, slots=True)
class Match:
    """The unregistered certificates that belong to the partner, by subject and alternative names."""

    subject: Annotated[str, text(subject), key(example='"CN=edi.acme.example,O=ACME"')]  # as `Certificate.subject`
    san: Annotated[tuple[str, ...], texts(alternative_name, "a list of alternative names")] = ()  # all are required

    def holds(self, certificate: Certificate) -> bool:
        """Whether the certificate has the subject and the names; its chain must prove that they are true."""
        return self.subject == certificate.subject and set(self.san) <= set(certificate.san)


@fields.table
@dataclass(frozen=True, slots=True)
class PartnerRetention:
    """How long the contents of a partner's messages are kept, and how much of them; None: as for all partners."""

    days: Annotated[int | None, number(0, 36_500)] = None
    max_bytes: Annotated[int | None, size(0, 1 << 50)] = None


@fields.table
@dataclass(frozen=True, slots=True)
class PartnerSettings:
    """The keys of the file. `as2_id` is mandatory; it has a default so that the other keys of a file are still read."""

    as2_id: fields.AS2Ids = ()
    hosts: Annotated[frozenset[str] | None, _HOSTS] = None  # None: all
    require: Annotated[frozenset[Require], choices(Require)] = EVERYTHING
    relax: Annotated[frozenset[str], choices(RELAXATIONS)] = frozenset()
    mic_profile: Annotated[MICProfile, choice(MICProfile)] = MICProfile.RFC
    mdn_urls: Annotated[tuple[str, ...], texts(url_prefix, "a list of URLs")] = ()
    as2_version: Annotated[str, choice(VERSIONS)] = DEFAULT_VERSION
    async_ack: Annotated[int | None, choice(ACKNOWLEDGEMENTS)] = None  # None: depends on as2_version
    certificate: tuple[CertificateRow, ...] = ()
    disabled: fields.Flag = False
    match: Match | None = None
    revocation: Revocation = BY_DEFAULT
    retention: PartnerRetention = PartnerRetention()


SCHEMA = Schema(PartnerSettings)


def read_partner_toml(directory: Path) -> tuple[PartnerSettings, TOMLDocument, tuple[Problem, ...]]:
    """The valid settings of a partner's file, the file, and the problems; never raises."""
    file = directory / SETTINGS
    reading = read_toml(file, SCHEMA, within=directory)
    document, settings, problems = reading
    if settings:
        problems = (*problems, *_beside(settings, document))
    elif not os.path.lexists(file):
        problems = (Problem(file, NO_AS2_ID),)
    if not directory.name.isascii() or not directory.name.isprintable():
        problems = (*problems, Problem(directory, "a partner's name is printable ASCII"))
    return settings or PartnerSettings(), document, problems


def _beside(settings: PartnerSettings, document: TOMLDocument) -> Iterator[Problem]:
    """The problems that concern several keys, or a missing key."""
    if "as2_id" not in document.tables:
        yield document.problem(("as2_id",), NO_AS2_ID)
    if settings.as2_version == "1.3" and BROKEN & settings.relax:
        yield document.problem(("relax",), 'AS2 1.3 has neither SHA-1 nor 3DES: remove "sha1" and "3des"')
