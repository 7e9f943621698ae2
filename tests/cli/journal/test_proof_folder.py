"""The commands of a proof look for a digest where nobody but us writes."""

import subprocess
from hashlib import sha256
from pathlib import Path

import pytest

from mtlsd.cli.journal.proof_folder import _recorded
from mtlsd.journal.proof.chain import canonical

TRUE, FALSE = (sha256(each).hexdigest() for each in (b"true", b"false"))
TEXTS = (f'"digests":[["p7s","{FALSE}"]]', f'","digests":[["p7s","{FALSE}"],["', f'\\"digests\\":[["p7s","{FALSE}"]')


@pytest.mark.parametrize(("data", "suffix", "code"), [(b"true", "p7s", 0), (b"true", "as2", 0), (b"false", "p7s", 1)])
def test_a_digest_counts_inside_of_digests_alone(tmp_path: Path, data: bytes, suffix: str, code: int) -> None:
    headers = [["p7s", FALSE], ["digests", FALSE], *([text, text] for text in TEXTS)]
    record = {"as2_from": TEXTS[0], "digests": [["as2", TRUE], ["p7s", TRUE]], "headers": headers, "subject": TEXTS[1]}
    (tmp_path / "record.json").write_text(canonical(record))
    (tmp_path / "file").write_bytes(data)
    done = subprocess.run(["sh", "-c", _recorded(suffix, "file")], cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == code
