#!/usr/bin/env python3
"""Render docs/errors.md from mtlsd/errors.py; with --check, say whether it is up to date and write nothing."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from mtlsd import errors  # noqa: E402 - the line above makes it run without an installation
from mtlsd.errors import AS2HeaderMissing, PeerError, UpstreamFailed  # noqa: E402

SOURCE = ROOT / "mtlsd" / "errors.py"
TARGET = ROOT / "docs" / "errors.md"
COMMAND = "scripts/errors_doc.py"
SECTION = re.compile(r"# --- (?P<title>.+?) -+\s*")

INTRODUCTION = f"""\
# Reasons

<!-- Rendered from mtlsd/errors.py by {COMMAND}. Edit that module, then run the script. -->

Every way to fail has a stable reason code. It is in the header `Mtlsd-Reason` of the answer, in the body of a
refusal, in the text of the MDN, and in the log as `reason`. A code never changes its meaning.

- **HTTP** is the status of the answer; a dash means that no HTTP answer is possible, so only the log has the reason.
- **MDN** is the disposition if the partner requested an MDN: the MDN then has the status 200. A reason
  without a disposition is always answered with its HTTP status, and so is `{AS2HeaderMissing.reason}`, because without
  those fields no MDN can be addressed.
- **Log** is the level of the log event.
- **Advice** is what the partner is told, in the body of the refusal or in the MDN.
"""


def main() -> int:
    """Write the document, or compare it; the exit code is 1 if they differ."""
    text = render()
    if "--check" not in sys.argv[1:]:
        TARGET.write_text(text, encoding="utf-8")
        return 0
    if TARGET.exists() and TARGET.read_text(encoding="utf-8") == text:
        return 0
    print(f"docs/errors.md is not what mtlsd/errors.py says: run {COMMAND}")
    return 1


def render() -> str:
    """The whole document."""
    parts = [INTRODUCTION]
    for title, names in sections():
        classes = [getattr(errors, name) for name in names]
        rows = [*_rows(classes), *_upstream_rows(classes)]
        if rows:
            parts.append(f"## {title}\n\n" + "\n".join(rows) + "\n")
    return "\n".join(parts)


def sections() -> Iterator[tuple[str, list[str]]]:
    """The sections of the source, and the names of the classes in each, in its order."""
    text = SOURCE.read_text(encoding="utf-8")
    starts = [(n, found["title"]) for n, line in enumerate(text.splitlines(), 1) if (found := SECTION.fullmatch(line))]
    classes = [(each.lineno, each.name) for each in ast.parse(text).body if isinstance(each, ast.ClassDef)]
    ends = [line for line, _ in starts[1:]] + [sys.maxsize]
    for (start, title), end in zip(starts, ends, strict=True):
        yield title, [name for line, name in classes if start < line < end]


def _rows(classes: list[type[object]]) -> list[str]:
    causes = [each for each in classes if issubclass(each, PeerError) and hasattr(each, "reason")]
    rows = [_row(each) for each in causes]
    head = ["| reason | HTTP | MDN | log | what happened | advice |", "|---|---|---|---|---|---|"]
    return [*head, *rows] if rows else []


def _row(cause: type[PeerError]) -> str:
    status = str(cause.http_status or "–")
    if cause.retry_after is not None:
        status += f", `Retry-After: {cause.retry_after}`"
    disposition = f"`{cause.disposition}`" if cause.disposition else "–"
    return _cells(f"`{cause.reason}`", status, disposition, cause.log_level, _happened(cause), cause.advice)


def _upstream_rows(classes: list[type[object]]) -> list[str]:
    causes = [each for each in classes if issubclass(each, UpstreamFailed) and hasattr(each, "reason")]
    rows = [_cells(f"`{each.reason}`", "yes" if each.retryable else "no", _happened(each)) for each in causes]
    return ["| reason | tried again | what happened |", "|---|---|---|", *rows] if rows else []


def _happened(cause: type[object]) -> str:
    return " ".join((cause.__doc__ or "").split())


def _cells(*cells: str) -> str:
    escaped = (each.replace("|", "\\|") for each in cells)
    return f"| {' | '.join(escaped)} |"


if __name__ == "__main__":
    sys.exit(main())
