"""`backend = "dir:/path"`: the document and our JSON file beside it, whole or not at all."""

import json
from pathlib import Path

import pytest

from tests.support import messages
from tests.support.daemon import Daemon, Tree, keys, running
from tests.support.messages import EDI
from tests.support.partner import disposition, kept, layered, message, send


def delivered(daemon: Daemon, message_id: str) -> tuple[bytes, dict[str, object]]:
    """What is in the directory for this message."""
    daemon.wait_for("delivery_finished", message_id=message_id, state="delivered")
    inbox = Path(daemon.tree.backend.removeprefix("dir:"))
    (metadata,) = [
        found
        for each in inbox.glob("*.mtlsd.json")
        if (found := json.loads(each.read_text()))["message_id"] == message_id
    ]
    return (inbox / metadata["file"]).read_bytes(), metadata


def names(tree: Tree) -> set[str]:
    return {each.name for each in (tree.root / "inbox").iterdir()}


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    (tmp_path / "inbox").mkdir()
    return Tree(tmp_path, f"dir:{tmp_path / 'inbox'}")


@pytest.mark.parametrize("payload", [EDI, EDI * 20_000], ids=["small", "large"])
def test_the_document_and_who_sent_it(tree: Tree, payload: bytes) -> None:
    sent = message("<dir@acme.example>", layered(payload=payload))
    with running(tree) as daemon:
        assert disposition(send(daemon, sent), sent) == "processed"
        content, metadata = delivered(daemon, "<dir@acme.example>")
    assert content == payload
    assert {name: metadata[name] for name in ("partner", "as2_from", "as2_to", "filename", "size")} == {
        "partner": "acme",
        "as2_from": "ACME",
        "as2_to": "EXAMPLE",
        "filename": "order.edi",
        "size": len(payload),
    }
    assert str(metadata["file"]).endswith("_order.edi")
    assert not [each for each in names(tree) if each.endswith(".part")]


@pytest.mark.parametrize("name", ["../../etc/passwd", "..", "a\\b", "ä ö.edi", "x" * 300, ".hidden", "-rf", "a.json"])
def test_a_name_of_the_partner_is_no_path(tree: Tree, name: str) -> None:
    inner = messages.entity(EDI, Content_Disposition=f'attachment; filename="{name}"')
    entity = messages.encrypt(messages.sign(inner, keys("ACME")), keys("EXAMPLE"))
    with running(tree) as daemon:
        send(daemon, message("<name@acme.example>", entity))
        content, metadata = delivered(daemon, "<name@acme.example>")
    assert content == EDI
    assert names(tree) == {str(metadata["file"]), f"{metadata['file']}.mtlsd.json"}
    assert len(str(metadata["file"])) < 200


FORGED = b'{"message_id": "<forged@acme.example>", "partner": "globex"}'


@pytest.mark.parametrize("name", ["evil.json", "evil.mtlsd.json", "x.MTLSD.JSON", ".mtlsd.json", "a.mtlsd.json."])
def test_no_document_passes_for_our_metadata(tree: Tree, name: str) -> None:
    inner = messages.entity(FORGED, Content_Disposition=f'attachment; filename="{name}"')
    entity = messages.encrypt(messages.sign(inner, keys("ACME")), keys("EXAMPLE"))
    with running(tree) as daemon:
        send(daemon, message("<forger@acme.example>", entity))
        content, metadata = delivered(daemon, "<forger@acme.example>")
    assert (content, metadata["partner"]) == (FORGED, "acme")
    assert len([each for each in names(tree) if each.lower().endswith(".mtlsd.json")]) == 1


def test_a_directory_that_is_not_there_is_waited_for(tree: Tree) -> None:
    inbox = tree.root / "inbox"
    inbox.rmdir()
    with running(tree) as daemon:
        send(daemon, message("<later@acme.example>"))
        line = daemon.wait_for("delivery_finished", message_id="<later@acme.example>", state="pending")
        assert (line["reason"], str(inbox) in line["detail"]) == ("upstream_unreachable", True)
        inbox.mkdir()
        assert delivered(daemon, "<later@acme.example>")[0] == EDI


def test_the_mdn_may_wait_for_the_file(tree: Tree) -> None:
    tree.route = 'mdn = "delivered"'
    tree.configure()
    sent = message("<sync@acme.example>")
    with running(tree) as daemon:
        assert disposition(send(daemon, sent), sent) == "processed"
        assert len(names(tree)) == 2
        found = kept(tree, "<sync@acme.example>")
        assert found
        assert found.state == "delivered"
        (tree.root / "inbox").rename(tree.root / "elsewhere")
        assert send(daemon, message("<gone@acme.example>")).status == 503


def test_a_message_goes_there_as_it_came(tree: Tree) -> None:
    tree.route = 'deliver = "message"'
    tree.configure()
    sent = message("<whole@acme.example>")
    with running(tree) as daemon:
        send(daemon, sent)
        daemon.wait_for("delivery_finished", message_id="<whole@acme.example>", state="delivered")
    (metadata,) = (tree.root / "inbox").glob("*.mtlsd.json")
    found = json.loads(metadata.read_text())
    assert (tree.root / "inbox" / found["file"]).read_bytes() == sent.body
    assert ["as2-from", "ACME"] in found["headers"]


def test_a_partner_cannot_have_its_mdn_put_into_a_directory(tree: Tree) -> None:
    sent = message("<ssrf@acme.example>", Receipt_Delivery_Option=f"dir:{tree.root / 'inbox'}")
    with running(tree) as daemon:
        answer = send(daemon, sent)
    assert (answer.status, answer.reason) == (403, "mdn_target_denied")
