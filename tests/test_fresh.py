"""Both commands of the README pass on a minimal Debian, as an ordinary user; or it is said what that takes."""

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / "scripts" / "fresh"
PROGRAMS = ("debootstrap", "unshare", "git")
ORDINARY_USER = 65534 if os.geteuid() == 0 else None  # or whoever runs the tests


@pytest.mark.long
@pytest.mark.parametrize("distribution", ["bookworm", "trixie"])
def test_both_commands_pass_on_a_minimal_debian(distribution: str) -> None:
    """Needs root and debootstrap; without them it fails, and says so."""
    done = subprocess.run([SCRIPT, distribution], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def complaints(*arguments: str, programs: tuple[str, ...] = ()) -> list[str]:
    """What an ordinary user is told on a machine that has no more than these programs."""
    here = "".join(f"{program}() {{ :; }}\n" for program in programs)
    done = subprocess.run(
        ["/bin/bash", "-s", "-", *arguments],
        input=here + SCRIPT.read_text(),
        env={"PATH": "/nonexistent"},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
        user=ORDINARY_USER,
    )
    assert (done.returncode, done.stdout) == (2, "")
    return done.stderr.splitlines()


@pytest.mark.parametrize("distribution", ["12", "13", "bookworm", "trixie"])
def test_all_that_is_missing_is_said_at_once(distribution: str) -> None:
    root, *programs = complaints(distribution)
    assert "it needs root" in root
    assert [line.split()[1] for line in programs] == list(PROGRAMS)
    assert complaints(distribution, programs=PROGRAMS) == [root]


@pytest.mark.parametrize("arguments", [(), ("",), ("11",), ("sarge",), ("--help",)])
def test_a_distribution_has_to_be_named(arguments: tuple[str, ...]) -> None:
    assert complaints(*arguments)[0].startswith("scripts/fresh: usage: scripts/fresh bookworm|trixie")
