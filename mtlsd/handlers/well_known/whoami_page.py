"""The page of whoami for people: one document, without scripts and without external resources.

Everything that a client sent is escaped as text, and characters that are not printable are shown as escapes.
"""

import base64
from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from html import escape
from typing import Any

from mtlsd.text import printable

STYLE = """
:root { color-scheme: light dark; }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .3rem .6rem .3rem 0; border-bottom: 1px solid #8888; }
td, code { overflow-wrap: anywhere; }
.wide { overflow-x: auto; }
"""
POLICY = (
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    f"style-src 'sha256-{base64.b64encode(sha256(STYLE.encode()).digest()).decode()}'"
)
_VERDICTS = {
    "accepted": "Your certificate is accepted",
    "refused": "Your requests would be refused",
    "anonymous": "You are connected without a client certificate",
}


def page(told: Mapping[str, Any]) -> bytes:
    """The document, from the values of the report."""
    return "\n".join(_document(told)).encode()


def _document(told: Mapping[str, Any]) -> Iterator[str]:
    title = _VERDICTS[told["verdict"]]
    yield "<!DOCTYPE html>"
    yield '<html lang="en"><head><meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>Who am I: {_text(title)}</title><style>{STYLE}</style></head><body><main>"
    yield f"<h1>{_text(title)}</h1>"
    if told["reason"]:
        yield f"<p>The reason code is <code>{_text(told['reason'])}</code>.</p>"
    yield "<h2>What to do</h2><ul>"
    yield from (f"<li>{_text(each)}</li>" for each in told["next"])
    yield "</ul>"
    yield from _partner(told)
    yield from _rules(told["rules"])
    yield "<h2>Your connection</h2>"
    yield from _pairs({**told["connection"], "time": told["time"], "request id": told["request_id"]})
    yield from _certificates(told)
    yield "</main></body></html>\n"


def _partner(told: Mapping[str, Any]) -> Iterator[str]:
    if not told["partner"]:
        return
    yield "<h2>Your registration</h2>"
    yield from _pairs({"partner": told["partner"], "AS2 ids (AS2-From)": ", ".join(told["as2_ids"])})
    if told["routes"]:
        rows = [(each["path"], each["handler"], each["as2_to"]) for each in told["routes"]]
        yield from _table("Routes that you may use", ("Path", "Kind", "Our AS2 id (AS2-To)"), rows)


def _rules(rules: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    rows = [
        (each["rule"], each["result"], each["reason"], ". ".join(filter(None, (each["remark"], each["advice"]))))
        for each in rules
    ]
    if rows:
        yield from _table("Your certificate, rule by rule", ("Rule", "Result", "Reason", "What to do"), rows)


def _certificates(told: Mapping[str, Any]) -> Iterator[str]:
    yield "<h2>The certificates that you sent</h2>"
    if told["unreadable"]:
        yield f"<p>They cannot be read: {_text(told['unreadable'])}</p>"
    elif not told["certificates"]:
        yield "<p>None.</p>"
    for number, each in enumerate(told["certificates"]):
        yield f"<h3>{'Your own' if number == 0 else f'Also sent, number {number}'}</h3>"
        yield from _pairs(each)


def _pairs(values: Mapping[str, Any]) -> Iterator[str]:
    yield "<table><tbody>"
    for name, value in values.items():
        yield f'<tr><th scope="row">{_text(name.replace("_", " "))}</th><td>{_text(value)}</td></tr>'
    yield "</tbody></table>"


def _table(caption: str, heads: Iterable[str], rows: Iterable[Iterable[Any]]) -> Iterator[str]:
    yield f'<h2>{_text(caption)}</h2><div class="wide"><table><thead><tr>'
    yield "".join(f'<th scope="col">{_text(head)}</th>' for head in heads)
    yield "</tr></thead><tbody>"
    for first, *others in rows:
        cells = "".join(f"<td>{_text(each)}</td>" for each in others)
        yield f'<tr><th scope="row">{_text(first)}</th>{cells}</tr>'
    yield "</tbody></table></div>"


def _text(value: object) -> str:
    """Text from any source, without markup, and without characters that are invisible or change the direction."""
    if value is None:
        return ""
    words = {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
    return escape(printable(words))
