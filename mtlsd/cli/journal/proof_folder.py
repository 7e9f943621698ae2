"""The folder of `mtlsd journal prove`: the files and the instructions with which a third party checks an exchange."""

import json
import shutil
import tomllib
from base64 import b64encode
from collections.abc import Iterator
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from shlex import quote
from textwrap import fill, indent

from mtlsd.as2.mime.multipart_signed import split_detached
from mtlsd.cli.output import iso
from mtlsd.cli.templates import filled
from mtlsd.errors import AS2MIMEMalformed, MtlsdError
from mtlsd.journal.documents import open_document
from mtlsd.journal.model import Message, Refusal
from mtlsd.journal.proof import checkpoints
from mtlsd.journal.proof.chain import Entry
from mtlsd.journal.proof.checkpoints import SignedCheckpoint
from mtlsd.journal.proof.digests import mdn_octets, record_of
from mtlsd.journal.proof.entries import facts_of
from mtlsd.journal.proof.verify import chain_entries, next_checkpoint
from mtlsd.journal.spool import Spool
from mtlsd.journal.sql.journal import Journal
from mtlsd.pki.certificate import Certificate, pem_of

BEGINNINGS = ("accepted", "refused")
CONTENT = "signed-content"  # the signed bytes; a command of the instructions writes this file
HERE = files("mtlsd.cli.journal")
STEPS = tomllib.loads((HERE / "proof_steps.toml").read_text())
LINE = 100  # characters
DIGESTS = ("sha1", "sha256", "sha384", "sha512")  # as openssl calls them


class CannotProve(MtlsdError):
    """There is no proof of this record, or not yet."""


class NotSigned(CannotProve):
    """No checkpoint covers this entry of a node yet."""

    def __init__(self, directory: Path, node: str, number: int) -> None:
        words = "the daemon signs one at the interval checkpoint_seconds, and when it stops; try again then"
        super().__init__(f"no checkpoint in {directory} covers entry {number} yet: {words}")
        self.node = node


def write_proof(journal: Journal, spool: Spool, directory: Path, about: Message | Refusal, output: Path) -> None:
    """Create the folder; raises CannotProve or OSError, and then leaves nothing behind."""
    entries = journal.proof.evidence(about.id).entries
    first = next((each for each in entries if each.kind in BEGINNINGS), None)
    if first is None:
        raise CannotProve(f"no chain has an entry for {about.id}: run mtlsd journal verify")
    needed = max(each.number for each in entries if each.node == first.node and _is_needed(each))
    checkpoint = _checkpoint(directory, first.node, needed)
    output.mkdir(mode=0o700)
    try:
        steps = [
            *_record(output, about),
            *_client(output, about),
            *_signature(journal, spool, output, about),
            *_mdn(output, about),
        ]
        steps += _mic(output, about)
        steps += _chain(journal, output, directory, first, checkpoint)
        (output / "INSTRUCTIONS.txt").write_text(_instructions(about, steps))
        (output / "verify.sh").write_text(_script(steps))
    except BaseException:
        shutil.rmtree(output)
        raise


Step = tuple[str, str]  # what the step shows, and its commands


def _step(name: str, **values: str) -> Step:
    return STEPS[name]["shows"], filled(STEPS[name]["commands"], values)


def _is_needed(entry: Entry) -> bool:
    return entry.kind in BEGINNINGS or "mdn" in facts_of(entry.facts)


def _checkpoint(directory: Path, node: str, number: int) -> SignedCheckpoint:
    signed = {each.checkpoint: each for each in checkpoints.read(directory, node)}
    found = next_checkpoint(list(signed), number)
    if found is None:
        raise NotSigned(directory, node, number)
    return signed[found]


# --- The files ------------------------------------------------------------------------------------------------


def _record(output: Path, about: Message | Refusal) -> Iterator[Step]:
    (output / "record.json").write_bytes(record_of(about))
    yield _step("record")


def _client(output: Path, about: Message | Refusal) -> Iterator[Step]:
    if isinstance(about, Message) and about.client_certificates:
        (output / "client.pem").write_bytes(b"".join(map(pem_of, about.client_certificates)))
        yield _step("client")


def _signature(journal: Journal, spool: Spool, output: Path, about: Message | Refusal) -> Iterator[Step]:
    if not isinstance(about, Message) or about.signer_sha256 is None:
        return
    der = journal.proof.certificate(about.signer_sha256)
    if der is not None:
        (output / "signer.pem").write_bytes(pem_of(der))
        yield _step("signer")
    if about.signature is None or not about.contents:
        return
    copy_document(journal, spool, about.signature, output / "signed-data.der")
    yield _step("signed_data", recorded=_recorded("p7s", "signed-data.der"))
    content = ""
    if about.signed is not None:
        copy_document(journal, spool, about.signed, output / "signed-entity")
        yield _step("signed_entity", recorded=_recorded("signed", "signed-entity"))
        content = f" -content {_as_signed(output, about.form)}"
    yield _step("signature", content=content, file=CONTENT)


def _recorded(suffix: str, name: str) -> str:
    """Match only inside `digests`, because header fields are also pairs, and the partner chooses them.

    No text can look like the key, because JSON escapes quotation marks in text with a backslash, and the pattern does
    not go beyond the end of the list.
    """
    before = r"\"digests\":\[\(\[\"[a-z0-9]*\",\"[0-9a-f]*\"\],\)*"
    return f'grep -q "{before}\\[\\"{suffix}\\",\\"$(openssl dgst -sha256 -r {name} | cut -c1-64)\\"\\]" record.json'


def _as_signed(output: Path, form: str | None) -> str:
    """The file in the form that was signed: line ends that changed in transit were restored before verification."""
    if form in (None, "raw"):
        return "signed-entity"
    with (output / "signed-entity").open("rb") as source, (output / "signed-entity-crlf").open("wb") as sink:
        in_header = True
        for line in source:
            if in_header or form == "full-crlf":
                line = line.removesuffix(b"\n").removesuffix(b"\r") + b"\r\n" if line.endswith(b"\n") else line
            sink.write(line)
            in_header = in_header and line.strip() != b""
    return "signed-entity-crlf"


def _mdn(output: Path, about: Message | Refusal) -> Iterator[Step]:
    if about.mdn is None:
        return
    (output / "mdn").write_bytes(mdn_octets(about.mdn))
    yield _step("mdn")
    with suppress(AS2MIMEMalformed):
        entity, signed_data = split_detached(about.mdn.headers, about.mdn.body)
        (output / "mdn-entity").write_bytes(entity)
        (output / "mdn-signed-data.der").write_bytes(signed_data)
        if b64encode(signed_data) in about.mdn.body.replace(b"\r\n", b""):
            yield _step("mdn_signed_data")
        yield _step("mdn_signature")


def _mic(output: Path, about: Message | Refusal) -> Iterator[Step]:
    if not isinstance(about, Message) or about.mic is None:
        return
    mdn = next((each for each in ("mdn-entity", "mdn") if (output / each).exists()), None)
    if mdn and b"\nReceived-Content-MIC: " in (output / mdn).read_bytes():
        yield _step("mic_returned", mdn=mdn)
    algorithm = (about.mic_algorithm or "").lower().replace("-", "")
    if (output / "signed-data.der").exists() and algorithm in DIGESTS:
        yield _step("mic", algorithm=algorithm, file=CONTENT)


def _chain(
    journal: Journal, output: Path, directory: Path, first: Entry, checkpoint: SignedCheckpoint
) -> Iterator[Step]:
    with (output / "entries.jsonl").open("wb") as file:
        for entry in chain_entries(journal, first.node, first.number - 1):
            if entry.number > checkpoint.checkpoint.number:
                break
            file.write(entry.line + b"\n")
    (output / "checkpoint.json").write_bytes(checkpoint.checkpoint.text)
    (output / "checkpoint.sig").write_bytes(checkpoint.signature)
    public = checkpoints.public_key(directory, first.node)
    (output / "node.pem").write_bytes(checkpoints.pem_of(public))
    yield from map(_step, ("chain", "checkpoint", "node"))


def copy_document(journal: Journal, spool: Spool, name: str, path: Path) -> None:
    """Write a stored document to a new file; raises JournalUnavailable or OSError."""
    with open_document(journal, spool, name) as source, path.open("xb") as sink:
        shutil.copyfileobj(source, sink)


# --- The instructions -----------------------------------------------------------------------------------------


def _instructions(about: Message | Refusal, steps: list[Step]) -> str:
    known = json.loads(record_of(about))
    values: dict[str, object] = {name: ascii(known[name]) for name in ("message_id", "as2_from", "as2_to")}
    values |= {
        "id": about.id,
        "time": iso(about.received_at if isinstance(about, Message) else about.refused_at),
        "decision": "accepted" if isinstance(about, Message) else f"refused ({about.reason})",
        "client": fill(_client_words(about), LINE),
        "missing": "".join(f"{why}\n\n" for why in _missing(about)),
        "steps": "".join(_numbered(number, *each) for number, each in enumerate(steps, 1)),
    }
    return filled((HERE / "proof_instructions.txt").read_text(), values)


def _numbered(number: int, shows: str, commands: str) -> str:
    return f"{number}. {shows}\n\n{indent(commands, '    ')}\n\n"


def _client_words(about: Message | Refusal) -> str:
    """The client of the TLS connection, as far as the journal knows it."""
    log = f"The address of the client is not stored; the log of mtlsd has it under the request id {about.request_id}."
    if not isinstance(about, Message) or not about.client_certificates:
        return f"TLS client: the message arrived for the host {about.host}. The certificate is not stored. {log}"
    certificate = Certificate.from_der(about.client_certificates[0])
    subject, digest = ascii(certificate.subject), certificate.sha256
    place = f"connected to the host {about.host}; the file client.pem has the certificate"
    return f"TLS client: the client with the certificate {subject}, SHA-256 {digest}, {place}. {log}"


def _script(steps: list[Step]) -> str:
    """A shell script of all steps, which names the step that fails."""
    lines = [
        "# Runs the commands of INSTRUCTIONS.txt, and names the first step that fails.",
        "set -eu",
        """trap 'test $? -eq 0 || echo "FAILED: step $step" >&2' EXIT""",
    ]
    for number, (shows, commands) in enumerate(steps, 1):
        lines += [f"step={quote(f'{number}. {shows}')}", commands.strip(), 'echo "ok: step $step"']
    return "\n".join([*lines, f"echo 'All {len(steps)} steps succeeded.'", ""])


def _missing(about: Message | Refusal) -> Iterator[str]:
    """What is missing from the folder, and why."""
    if not isinstance(about, Message):
        yield "The message was refused: its content was not stored, and the MDN has the reason."
    elif about.signer_sha256 is None:
        yield "The message is not signed: only the connection shows who sent it."
    elif not about.contents:
        yield "The contents have been deleted since, as the retention says: the record has their digests."
    elif about.signature is None:
        yield (
            "Only the digests of the signature were stored: anyone who has the message can compare it with the record."
        )
