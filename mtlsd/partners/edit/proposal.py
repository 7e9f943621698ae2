"""A partner that is to be: its directory as files, what it would change, and with whom it would conflict. Pure."""

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
PLACES = {  # by what a certificate is given as
    "beside": BESIDE,
    "tls": CONNECTIONS,
    "as2": MESSAGES,
    "roots": CONNECTIONS,
    "mdn": MDN_SERVERS,
}
MAX_NAME = 100  # characters

_NAME = re.compile(r"[!-.0-~](?:[ -.0-~]*[!-.0-~])?")  # printable ASCII, no slash, no blank at either end
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
    """A partner's settings, as in partner.toml, and its certificates with the directory of each."""

    settings: Mapping[str, object]
    certificates: tuple[tuple[str, Certificate], ...]
    more: Mapping[str, tuple[bytes, int]] = field(default_factory=dict)  # other files of it, with their modes

    def files(self) -> dict[str, tuple[bytes, int]]:
        """Data and mode by path."""
        found = {SETTINGS: (toml_of(self.settings).encode(), PUBLIC)}
        for directory, certificate in self.certificates:
            found[str(Path(directory) / file_name(certificate))] = certificate.pem, PUBLIC
        return found | dict(self.more)


def check_name(name: str) -> None:
    """Raises ValueError where this can be no partner's directory."""
    if not _NAME.fullmatch(name) or len(name) > MAX_NAME or name.startswith(".") or name.endswith((".md", "~")):
        raise ValueError(
            f"expected 1 to {MAX_NAME} printable ASCII characters: no slash, no dot at the beginning, no blank at "
            "either end, and neither .md nor ~ at the end"
        )


def places(use: str, certificates: tuple[Certificate, ...]) -> Iterator[tuple[str, Certificate]]:
    """Where the certificates of one file belong.

    A root is for connections alone, or it would be a pin for messages, too. So are the CAs of a bundle that has
    another certificate; a file of CAs alone may be the self-signed certificate of an AS2 product.
    """
    leaves = [each for each in certificates if not each.is_ca]
    for each in certificates:
        yield CONNECTIONS if use == BESIDE and each.is_ca and leaves else use, each


def file_name(certificate: Certificate) -> str:
    """A file for a certificate: its common name, as far as it suits, and some of its fingerprint."""
    common = re.search(r"(?:^|,)CN=((?:[^,\\]|\\.)*)", certificate.subject)
    words = re.sub(r"[^A-Za-z0-9.-]+", "-", common[1] if common else certificate.subject).strip("-.")[:48]
    return f"{words or 'certificate'}-{certificate.sha256[:8]}.pem"


def toml_of(settings: Mapping[str, object]) -> str:
    """A TOML document of texts, numbers, moments, lists of texts, and tables and rows of these, which come last."""
    plain = "".join(_line(key, value) for key, value in settings.items() if not list(_tables(key, value)))
    tables = [
        f"\n{head}\n" + "".join(_line(name, each) for name, each in table.items())
        for key, value in settings.items()
        for head, table in _tables(key, value)
    ]
    return "".join((plain, *tables))


def with_disabled(text: str, *, disabled: bool) -> str:
    """The text of a partner.toml with this value of `disabled`, all else as it was.

    Raises ValueError where it is no TOML, or the line is written in a way that is left to people.
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
        raise ValueError("`disabled` is written there in a way of its own: change it by hand")
    return changed


# --- What it would change ---------------------------------------------------------------------------------------------


def describe(loaded: LoadedPartner | None) -> Description:
    """What a directory means, in lines to compare; nothing where there is none, or it is out of use by mistake."""
    partner = (loaded.partner or loaded.held) if loaded else None
    if loaded is None or partner is None:
        return {}
    lines = {
        "as2_id": partner.as2_ids,
        "hosts": ("all",) if partner.hosts is None else tuple(sorted(partner.hosts)) or ("none",),
        "require": tuple(sorted(partner.require)) or ("nothing",),
        "relax": tuple(sorted(partner.relax)),
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
    """The settings of revocation that are not as for most partners."""
    for key in Revocation.__slots__:
        value = getattr(revocation, key)
        if value != getattr(BY_DEFAULT, key):
            yield f"{key} = {_toml(value)}"


def crl_line(crl: RevocationList) -> str:
    """A revocation list, as one knows it again."""
    until = f" until {crl.next_update:%Y-%m-%d}" if crl.next_update else ""
    return f"{crl.issuer} ({crl.sha256[:SHORT]}) of {crl.this_update:%Y-%m-%d}{until}, {len(crl.serials)} revoked"


def differences(before: Description, after: Description) -> list[str]:
    """A line for each thing that goes, with a minus, and for each that comes, with a plus."""
    lines: list[str] = []
    for key in dict.fromkeys((*after, *before)):
        old, new = before.get(key, ()), after.get(key, ())
        lines += [f"- {key}: {each}" for each in old if each not in new]
        lines += [f"+ {key}: {each}" for each in new if each not in old]
    return lines


def renamed(loaded: LoadedPartner, staged: Path, target: Path) -> LoadedPartner:
    """What was loaded beside its place, as if it were there already."""

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
    """What two partners would claim that no two claim now, if the proposed ones were there, and who would lose a pin.

    The doubts are who would lose what is a root anyway.
    """
    now = {each.name: each for each in loaded}
    then = now | {each.name: each for each in proposed}
    before, known = build_trust_store(directory, tuple(now.values()))
    after, problems = build_trust_store(directory, tuple(then.values()))
    lost = [_lost(directory, name, before, after) for name in before.partners]
    taken = tuple(each for pair in lost for each in pair[0])
    return (*(each for each in problems if each not in known), *taken), tuple(each for pair in lost for each in pair[1])


def lost_pins(store: TrustStore, name: str) -> Iterator[tuple[Certificate, tuple[str, ...]]]:
    """What a partner has for its connections and cannot use, since it is the root of others, too: of whom.

    A CA that issued another of its certificates is left out: to share that is what roots are for.
    """
    loaded = store.loaded[name]
    for each in loaded.public_certificates:
        others = tuple(holder for holder in store.sharers.get(each.sha256, ()) if holder != name)
        if others and not _issued_one(each, loaded):
            yield each, others


def pin_is_lost(certificate: Certificate, others: Iterable[str]) -> str:
    """What that means, in words."""
    return f"{certificate.subject} is a root only, and nobody connects with it: {', '.join(others)} has it, too"


def _issued_one(certificate: Certificate, loaded: LoadedPartner) -> bool:
    intermediates = loaded.partner.intermediates if loaded.partner else ()
    several = {*loaded.public_certificates, *intermediates} - {certificate}
    return any(each.issuer == certificate.subject for each in several)


def _lost(
    directory: Path, name: str, before: TrustStore, after: TrustStore
) -> tuple[tuple[Problem, ...], tuple[Problem, ...]]:
    """What a partner would lose that it connects with, and what it would lose that it hardly does."""
    had = before.partners[name].public_certificates
    pins = [(each, others) for each, others in lost_pins(after, name) if each in had]
    kept = {*(each for each, _ in pins), *(after.partners[name].public_certificates if name in after.partners else had)}
    roots = [
        (each, others)
        for each in had
        if each not in kept and (others := [holder for holder in after.holders.get(each.sha256, ()) if holder != name])
    ]
    problems = tuple(Problem(directory / name, pin_is_lost(*each)) for each in pins)
    doubts = (
        Problem(directory / name, f"{each.subject} is a root only from now on: {', '.join(others)} has it, too")
        for each, others in roots
    )
    return problems, tuple(doubts)


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
