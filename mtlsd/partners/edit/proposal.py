"""A proposed partner: the files of its directory, the changes, and the conflicts with other partners. Pure."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from mtlsd.config.document import BYTE_ORDER_MARK, parse_toml
from mtlsd.errors import Problem
from mtlsd.files.writing import PUBLIC
from mtlsd.partners.partner import CONNECTIONS, MDN_SERVERS, MESSAGES, LoadedPartner, Partner
from mtlsd.partners.partner_toml import SETTINGS
from mtlsd.partners.trust_store import TrustStore, build_trust_store
from mtlsd.pki.certificate import Certificate
from mtlsd.pki.crl import RevocationList
from mtlsd.pki.dates import Dates
from mtlsd.pki.names import SHORT
from mtlsd.pki.revocation import BY_DEFAULT, Revocation

Description = Mapping[str, tuple[str, ...]]

REVOCATION, DATES, LISTS = "revocation", "dates", "revocation lists"  # headings of a description

BESIDE = ""  # the directory itself: for connections and messages
PLACES = {  # the directory for each option that gives a certificate
    "beside": BESIDE,
    "tls": CONNECTIONS,
    "as2": MESSAGES,
    "roots": CONNECTIONS,
    "mdn": MDN_SERVERS,
}
MAX_NAME = 100  # characters

_NAME = re.compile(r"[!-.0-~](?:[ -.0-~]*[!-.0-~])?")  # printable ASCII, no slash, no space at either end
_DISABLED = re.compile(r"(?m)^[ \t]*disabled[ \t]*=.*(?:\r?\n|\Z)")
_CERTIFICATES = {
    "connections": "public_certificates",
    "roots": "trusted_roots",
    "intermediates": "intermediates",
    "messages": "message_certificates",
    "MDN servers": "mdn_roots",
}


@dataclass(frozen=True, slots=True)
class Proposal:
    """A partner's settings, as in partner.toml, and its certificates, each with its directory."""

    settings: Mapping[str, object]
    certificates: tuple[tuple[str, Certificate], ...]
    more: Mapping[str, tuple[bytes, int]] = field(default_factory=dict)  # other files of the partner, with their modes

    def files(self) -> dict[str, tuple[bytes, int]]:
        """Data and mode by path."""
        found = {SETTINGS: (toml_of(self.settings).encode(), PUBLIC)}
        for directory, certificate in self.certificates:
            found[str(Path(directory) / file_name(certificate))] = certificate.pem, PUBLIC
        return found | dict(self.more)


def check_name(name: str) -> None:
    """Raises ValueError if a partner's directory cannot have this name."""
    if not _NAME.fullmatch(name) or len(name) > MAX_NAME or name.startswith(".") or name.endswith((".md", "~")):
        raise ValueError(
            f"expected 1 to {MAX_NAME} printable ASCII characters: no slash, no dot at the beginning, no space at "
            "either end, and neither .md nor ~ at the end"
        )


def places(use: str, certificates: tuple[Certificate, ...]) -> Iterator[tuple[str, Certificate]]:
    """The certificates of one file, each with the directory that it belongs to.

    A root is for connections only; otherwise it would also be a pin for messages. The same applies to the CAs of a file
    that also has an end-entity certificate. A file of CAs alone may be the self-signed certificate of an AS2 product.
    """
    leaves = [each for each in certificates if not each.is_ca]
    for each in certificates:
        yield CONNECTIONS if use == BESIDE and each.is_ca and leaves else use, each


def file_name(certificate: Certificate) -> str:
    """A file name for a certificate, made of its common name and the beginning of its fingerprint."""
    common = re.search(r"(?:^|,)CN=((?:[^,\\]|\\.)*)", certificate.subject)
    words = re.sub(r"[^A-Za-z0-9.-]+", "-", common[1] if common else certificate.subject).strip("-.")[:48]
    return f"{words or 'certificate'}-{certificate.sha256[:8]}.pem"


def toml_of(settings: Mapping[str, object]) -> str:
    """A TOML document of texts, numbers, moments and lists of texts, followed by its tables and arrays of tables."""
    plain = "".join(_line(key, value) for key, value in settings.items() if not list(_tables(key, value)))
    tables = [
        f"\n{head}\n" + "".join(_line(name, each) for name, each in table.items())
        for key, value in settings.items()
        for head, table in _tables(key, value)
    ]
    return "".join((plain, *tables))


def with_disabled(text: str, *, disabled: bool) -> str:
    """The text of a partner.toml with this value of `disabled`, and otherwise unchanged.

    Raises ValueError if the text is not TOML, or if only a person can change the line.
    """
    before = parse_toml(text.removeprefix(BYTE_ORDER_MARK))
    if before.get("disabled", False) == disabled:
        return text
    text = text.removeprefix(BYTE_ORDER_MARK)
    head = re.search(r"(?m)^[ \t]*\[", text)
    end = head.start() if head else len(text)
    changed = _DISABLED.sub("", text[:end]) + text[end:]
    changed = f"disabled = true\n{changed}" if disabled else changed
    wanted = {key: value for key, value in before.items() if key != "disabled"}
    wanted |= {"disabled": True} if disabled else {}
    if parse_toml(changed) != wanted:
        raise ValueError("the spelling of `disabled` in this file is unusual: change it by hand")
    return changed


# --- Changes ----------------------------------------------------------------------------------------------------------


def describe(loaded: LoadedPartner | None) -> Description:
    """The content of a partner's directory as lines to compare; empty if an error disables the partner."""
    partner = (loaded.partner or loaded.held) if loaded else None
    if loaded is None or partner is None:
        return {}
    lines = {
        "as2_id": partner.as2_ids,
        "hosts": ("all",) if partner.hosts is None else tuple(sorted(partner.hosts)) or ("none",),
        "require": tuple(sorted(partner.require)) or ("nothing",),
        "relax": tuple(sorted(partner.relax)),
        "mic_profile": (partner.mic_profile.value,),
        "mdn_urls": partner.mdn_urls,
        "as2_version": (partner.as2_version,),
        "async_ack": (str(partner.async_ack),),
        "match": (partner.match.subject, *partner.match.san) if partner.match else (),
        "retention.days": _told(partner.retention_days),
        "retention.max_bytes": _told(partner.retention_max_bytes),
        "disabled": ("true",) if loaded.held else (),
        REVOCATION: tuple(revocation_lines(partner.revocation)),
        DATES: tuple(f"{_name(partner, sha256)} {_from_to(dates)}" for sha256, dates in partner.dates),
        LISTS: tuple(sorted(crl_line(each) for each in partner.crls)),
    }
    return lines | {use: _certificates(getattr(partner, name)) for use, name in _CERTIFICATES.items()}


def revocation_lines(revocation: Revocation) -> Iterator[str]:
    """The settings of revocation that differ from the defaults."""
    for key in Revocation.__slots__:
        value = getattr(revocation, key)
        if value != getattr(BY_DEFAULT, key):
            yield f"{key} = {_toml(value)}"


def crl_line(crl: RevocationList) -> str:
    """A revocation list on one line."""
    until = f" until {crl.next_update:%Y-%m-%d}" if crl.next_update else ""
    return f"{crl.issuer} ({crl.sha256[:SHORT]}) of {crl.this_update:%Y-%m-%d}{until}, {crl.size} revoked"


def differences(before: Description, after: Description) -> list[str]:
    """A line with a minus for each removed value, and one with a plus for each added value."""
    lines: list[str] = []
    for key in dict.fromkeys((*after, *before)):
        old, new = before.get(key, ()), after.get(key, ())
        lines += [f"- {key}: {each}" for each in old if each not in new]
        lines += [f"+ {key}: {each}" for each in new if each not in old]
    return lines


def renamed(loaded: LoadedPartner, staged: Path, target: Path) -> LoadedPartner:
    """A partner that was loaded from a staged directory, with the names of the target directory."""

    def moved(problems: Iterable[Problem]) -> tuple[Problem, ...]:
        return tuple(replace(each, file=target / each.file.relative_to(staged)) for each in problems)

    def named(partner: Partner | None) -> Partner | None:
        return partner and replace(partner, name=target.name)

    return replace(
        loaded,
        name=target.name,
        partner=named(loaded.partner),
        held=named(loaded.held),
        problems=moved(loaded.problems),
        warnings=moved(loaded.warnings),
    )


def conflicts(
    directory: Path, loaded: Iterable[LoadedPartner], proposed: Iterable[LoadedPartner]
) -> tuple[tuple[Problem, ...], tuple[Problem, ...]]:
    """The problems and the warnings if the proposed partners were added.

    A problem is a new conflict between partners, or a partner that loses a public certificate. It is only a warning if
    the lost certificate is also a root under which others of the partner's certificates were issued.
    """
    now = {each.name: each for each in loaded}
    then = now | {each.name: each for each in proposed}
    before, after = (build_trust_store(directory, each.values()) for each in (now, then))
    known = before.problems()
    problems = [each for each in after.problems() if each not in known]
    warnings: list[Problem] = []
    for name in before.partners:
        lost, only_roots = _lost(directory, name, before, after)
        problems += lost
        warnings += only_roots
    return tuple(problems), tuple(warnings)


def lost_pins(store: TrustStore, name: str) -> Iterator[tuple[Certificate, tuple[str, ...]]]:
    """A partner's public certificates that it cannot use, because other partners have them as a root, with their names.

    A CA that issued another certificate of the partner is left out, because partners may share a root.
    """
    loaded = store.loaded[name]
    for each in loaded.public_certificates:
        others = tuple(holder for holder in store.sharers.get(each.sha256, ()) if holder != name)
        if others and not _issued_one(each, loaded):
            yield each, others


def pin_is_lost(certificate: Certificate, others: Iterable[str]) -> str:
    """The text of the problem that a certificate no longer identifies its partner."""
    return f"nobody can connect with {certificate.subject}: it is also a root of {', '.join(others)}"


def _issued_one(certificate: Certificate, loaded: LoadedPartner) -> bool:
    intermediates = loaded.partner.intermediates if loaded.partner else ()
    several = {*loaded.public_certificates, *intermediates} - {certificate}
    return any(each.issuer == certificate.subject for each in several)


def _lost(
    directory: Path, name: str, before: TrustStore, after: TrustStore
) -> tuple[tuple[Problem, ...], tuple[Problem, ...]]:
    """The problems and the warnings about the public certificates that a partner would lose."""
    had = before.partners[name].public_certificates
    pins = [(each, others) for each, others in lost_pins(after, name) if each in had]
    kept = {*(each for each, _ in pins), *(after.partners[name].public_certificates if name in after.partners else had)}
    roots = [
        (each, others)
        for each in had
        if each not in kept and (others := [holder for holder in after.holders(each) if holder != name])
    ]
    problems = tuple(Problem(directory / name, pin_is_lost(*each)) for each in pins)
    warnings = (
        Problem(directory / name, f"{each.subject} will only be a root: it is also a root of {', '.join(others)}")
        for each, others in roots
    )
    return problems, tuple(warnings)


def _tables(key: str, value: object) -> Iterator[tuple[str, Mapping[str, object]]]:
    if isinstance(value, Mapping):
        yield f"[{key}]", value
    elif isinstance(value, tuple):
        yield from ((f"[[{key}]]", each) for each in value if isinstance(each, Mapping))


def _line(key: str, value: object) -> str:
    return f"{key} = {_toml(value)}\n"


def _toml(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value, ensure_ascii=False)  # for texts, numbers and booleans TOML is as JSON


def _name(partner: Partner, sha256: str) -> str:
    several = (*partner.public_certificates, *partner.message_certificates)
    return next((f"{each.subject} ({sha256[:SHORT]})" for each in several if each.sha256 == sha256), sha256)


def _from_to(dates: Dates) -> str:
    words = (("active_from", dates.active_from), ("retire_after", dates.retire_after))
    return ", ".join(f"{key} {moment.isoformat()}" for key, moment in words if moment) or "at any time"


def _told(number: int | None) -> tuple[str, ...]:
    return () if number is None else (str(number),)


def _certificates(certificates: Iterable[Certificate]) -> tuple[str, ...]:
    lines = (f"{each.subject} ({each.sha256[:SHORT]}) until {each.not_after:%Y-%m-%d}" for each in certificates)
    return tuple(sorted(lines))
