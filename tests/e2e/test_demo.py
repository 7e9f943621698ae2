"""The first command of the README keeps its promise: scripts/demo runs every step and exits with 0."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support import standins

ROOT = Path(__file__).parent.parent.parent
DEMO = [sys.executable, str(ROOT / "scripts" / "demo.py")]
SECONDS = 100
MARKS = (
    "Mtlsd-Reason: client_cert_missing",
    "400 No required SSL certificate was sent",
    "Mtlsd-Reason: cert_self_signed_unknown",
    "400 The SSL certificate error",
    "✓ the log identifies the certificate",
    "✓ the receipt is signed (openssl verified it), and its MIC is the sender's",
    "✓ the backend received the order unchanged",
    "✓ the receipt is the same",
    "✓ there is no second delivery",
    "✓ NEWCO is accepted within 2 s",
    "✓ ACME's connection, open since c)",
    "reason=upstream_unreachable state=pending",
    "✓ it was delivered once",
    "as2_security_too_low",
    "✓ the signed message reached the backend",
    "Every step succeeded.",
)


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """The demo, run once, and the folder that it had for its temporary files."""
    temporary = tmp_path_factory.mktemp("demo")
    return temporary, subprocess.run(
        DEMO, capture_output=True, text=True, timeout=SECONDS, check=False, env=_environment(temporary)
    )


def test_exits_0_and_says_nothing_on_stderr(story: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    _, done = story
    assert (done.returncode, done.stderr) == (0, ""), done.stdout


@pytest.mark.parametrize("mark", MARKS)
def test_the_story_has_every_step(story: tuple[Path, subprocess.CompletedProcess[str]], mark: str) -> None:
    assert mark in story[1].stdout


def test_leaves_no_file_and_no_colour_codes(story: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    temporary, done = story
    assert list(temporary.iterdir()) == []
    assert "\x1b" not in done.stdout


def test_serve_prints_commands_that_work_and_stops_on_ctrl_c(tmp_path: Path) -> None:
    (temporary := tmp_path / "demo").mkdir()
    with _serving(temporary) as demo:
        assert demo.stdout is not None
        commands = _commands(demo.stdout)
        bare, known, mutual, signed, _ = commands
        for send in (mutual, signed):
            assert b"MIC          equal" in _output(send)
        for replaced in standins.ways("curl"):
            path = standins.path(tmp_path, replaced)
            assert b"400 No required SSL certificate was sent" in _output(bare, PATH=path)
            assert b"HTTP/1.1 200 OK" in _output(known, PATH=path)
        demo.send_signal(signal.SIGINT)
        assert demo.wait(SECONDS) == 0
    assert list(temporary.iterdir()) == []


@contextmanager
def _serving(temporary: Path) -> Iterator[subprocess.Popen[str]]:
    command = [*DEMO, "--serve"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=_environment(temporary)) as demo:
        try:
            yield demo
        finally:
            demo.terminate()


def _commands(lines: Iterator[str]) -> list[str]:
    """What stands below each heading with a `#`, up to the line about the backend."""
    commands: list[str] = []
    for line in lines:
        if line.startswith("The backend receives"):
            break
        if line.startswith("#"):
            commands.append("")
        elif commands:
            commands[-1] += line
    return [command.strip() for command in commands]


def _output(command: str, **environment: str) -> bytes:
    """What the command prints, run by a shell as it stands."""
    shell, env = ["bash", "-c", command], os.environ | environment
    done = subprocess.run(shell, env=env, capture_output=True, timeout=SECONDS, check=True)
    return done.stdout


def _environment(temporary: Path) -> dict[str, str]:
    return {**os.environ, "TMPDIR": str(temporary), "PYTHONUTF8": "1"}
