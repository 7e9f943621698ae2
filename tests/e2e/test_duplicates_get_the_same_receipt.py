"""The same message again gets the same receipt, byte for byte, and is delivered once; R-01 to R-05."""

import socket
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support import messages
from tests.support.backend import Backend
from tests.support.client import opened, request
from tests.support.daemon import Daemon, Tree, acme, globex, keys, running
from tests.support.messages import EDI
from tests.support.partner import disposition, kept, layered, message, send


def test_r01_the_same_message_again(daemon: Daemon, backend: Backend) -> None:
    sent = message("<r01@acme.example>")
    first, second = send(daemon, sent), send(daemon, sent)
    assert disposition(first, sent) == "processed"
    assert second.body == first.body
    assert unstamped(second.fields) == unstamped(first.fields)
    once(daemon, backend, "<r01@acme.example>")
    first_id = holder(daemon, "<r01@acme.example>")
    assert daemon.wait_for("exchange_finished", duplicate_of=first_id)["message_id"] == "<r01@acme.example>"


def test_r01_the_same_document_encrypted_anew(daemon: Daemon, backend: Backend) -> None:
    inner = layered("cs")
    first, second = (
        send(daemon, message("<r01-anew@acme.example>", messages.encrypt(inner, keys("EXAMPLE")))) for _ in range(2)
    )
    assert second.body == first.body
    once(daemon, backend, "<r01-anew@acme.example>")


def test_r02_the_same_message_after_the_answer_was_lost(daemon: Daemon, backend: Backend) -> None:
    sent = message("<r02@acme.example>")
    with opened(daemon.address, acme()) as client:
        client.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.send(request(fields=sent.fields, body=sent.body))
        backend.wait_for("<r02@acme.example>")  # so it was accepted; now comes a reset, and nobody reads the receipt
    answer = send(daemon, sent)
    found = kept(daemon.tree, "<r02@acme.example>")
    assert found
    assert found.message.mdn
    assert answer.body == found.message.mdn.body
    assert found.deliveries == 1


def test_r03_other_content_under_a_known_id(daemon: Daemon, backend: Backend) -> None:
    sent = message("<r03@acme.example>")
    first = send(daemon, sent)
    other = message("<r03@acme.example>", layered(payload=EDI + b"more"))
    answer = send(daemon, other)
    assert disposition(answer, other) == "processed/error: duplicate-document"
    assert answer.reason == "as2_duplicate_other_content"
    assert send(daemon, sent).body == first.body
    assert once(daemon, backend, "<r03@acme.example>") == EDI


def test_r04_a_refused_message_does_not_block_its_correction(daemon: Daemon, backend: Backend) -> None:
    bad = message("<r04@acme.example>", layered(recipient=keys("ANOTHER")))
    forged = message("<r04@acme.example>", layered(sender=keys("STRANGER")))
    good = message("<r04@acme.example>")
    assert disposition(send(daemon, bad), bad) == "processed/error: decryption-failed"
    assert disposition(send(daemon, forged), forged) == "processed/error: authentication-failed"
    assert disposition(send(daemon, good), good) == "processed"
    once(daemon, backend, "<r04@acme.example>")


@pytest.mark.parametrize("again", ["required,sha-512", "required,sha1"])
def test_the_same_content_with_another_mic_algorithm_is_the_same(daemon: Daemon, backend: Backend, again: str) -> None:
    message_id = f"<other-{again[9:]}@acme.example>"
    first = send(daemon, message(message_id))
    assert send(daemon, message(message_id, mdn=again)).body == first.body
    other = message(message_id, layered(payload=EDI + b"more"), mdn=again)
    assert disposition(send(daemon, other), other) == "processed/error: duplicate-document"
    once(daemon, backend, message_id)


def test_a_copy_that_asks_for_no_mdn_gets_none(daemon: Daemon, backend: Backend) -> None:
    send(daemon, message("<unasked@acme.example>"))
    answer = send(daemon, message("<unasked@acme.example>", mdn=None))
    assert (answer.status, answer.body) == (200, b"")
    once(daemon, backend, "<unasked@acme.example>")


def test_r05_copies_at_the_same_time(daemon: Daemon, backend: Backend) -> None:
    for round_ in range(5):
        sent = message(message_id := f"<r05-{round_}@acme.example>")
        with ThreadPoolExecutor(8) as threads:
            answers = list(threads.map(lambda _, sent=sent: send(daemon, sent), range(8)))
        assert disposition(answers[0], sent) == "processed"
        assert {answer.body for answer in answers} == {answers[0].body}
        once(daemon, backend, message_id)


def test_r15_across_a_restart(tmp_path_factory: pytest.TempPathFactory, backend: Backend) -> None:
    tree = Tree(tmp_path_factory.mktemp("restart"), backend.url)
    sent = message("<r15@acme.example>")
    with running(tree) as daemon:
        first = send(daemon, sent)
        backend.wait_for("<r15@acme.example>")
    with running(tree) as daemon:
        assert send(daemon, sent).body == first.body
        once(daemon, None, "<r15@acme.example>")


@pytest.mark.parametrize("before", ["rfc", "openas2", "mendelson"])
@pytest.mark.parametrize("after", ["rfc", "openas2", "mendelson", "with-headers"])
@pytest.mark.parametrize("payload", [EDI, EDI * 5000], ids=["small", "large"])
def test_a_duplicate_is_known_by_its_content_after_the_profile_changed(
    loose: Daemon, backend: Backend, before: str, after: str, payload: bytes
) -> None:
    message_id = f"<{before}-{after}-{len(payload)}@acme.example>"
    sent, other = (message(message_id, layered("c", each), as2_from="LOOSE") for each in (payload, payload + b"other"))
    use_profile(loose, before)
    first = send(loose, sent, globex())
    assert disposition(first, sent) == "processed"
    use_profile(loose, after)
    assert send(loose, sent, globex()).body == first.body
    assert disposition(send(loose, other, globex()), other) == "processed/error: duplicate-document"
    once(loose, backend, message_id)


@pytest.fixture(scope="module")
def loose(tmp_path_factory: pytest.TempPathFactory, backend: Backend) -> Iterator[Daemon]:
    """A daemon with a partner that need not sign."""
    tree = Tree(tmp_path_factory.mktemp("loose"), backend.url, limits="max_failures_per_hour = 100_000")
    tree.add("loose", "LOOSE", globex(), "require = []")
    (tree.certs / "partners" / "globex" / "tls" / "client.pem").unlink()
    (tree.certs / "partners" / "loose" / "partner.toml").write_text(settings_with("rfc"))
    with running(tree) as daemon:
        yield daemon


def settings_with(profile: str) -> str:
    return f'as2_id = "LOOSE"\nrequire = []\nmic_profile = "{profile}"\n'


def use_profile(daemon: Daemon, profile: str) -> None:
    settings, file = settings_with(profile), daemon.tree.certs / "partners" / "loose" / "partner.toml"
    if file.read_text() != settings:
        new = daemon.tree.root / "partner.toml"
        new.write_text(settings)
        daemon.forget()
        new.replace(file)
        daemon.wait_for("reloaded", changed=["loose"])


def once(daemon: Daemon, backend: Backend | None, message_id: str) -> bytes:
    """Delivered once, by the backend's count and by the journal's; what was delivered."""
    body = backend.wait_for(message_id).body if backend else b""
    found = kept(daemon.tree, message_id)
    assert found
    assert found.deliveries == 1
    assert backend is None or found.message.size == len(body)
    return body


def holder(daemon: Daemon, message_id: str) -> str:
    found = kept(daemon.tree, message_id)
    assert found
    return found.message.id


def unstamped(fields: tuple[tuple[str, str], ...]) -> list[tuple[str, str]]:
    return [field for field in fields if field[0] not in ("Date", "Mtlsd-Request-Id")]
