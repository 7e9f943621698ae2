"""`mtlsd send` against a real daemon: what it says, and what it exits with."""

import json
import socket
from pathlib import Path

import pytest

from mtlsd import as2
from mtlsd.cli import send
from tests.cli.site import Site, mtlsd


def test_a_good_message_is_processed_and_the_receipt_is_judged(site: Site) -> None:
    result = site.send(*site.tls, "--message-id", "<good@acme.example>", "--compress")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "HTTP status  200 OK" in result.stdout
    assert "automatic-action/MDN-sent-automatically; processed\n" in result.stdout
    assert "MIC          equal (" in result.stdout
    assert "signature    verified with CN=EXAMPLE (sha256 " in result.stdout
    assert result.stdout.endswith("OK\n")
    assert site.backend.wait_for("<good@acme.example>").body == b"UNB+UNOA:1+ACME+EXAMPLE'\r\n"


def test_the_json_says_the_same(site: Site) -> None:
    found = json.loads(site.send(*site.tls, "--message-id", "<json@acme.example>", "--json").stdout)
    assert (found["ok"], found["status"], found["failures"]) == (True, 200, [])
    assert found["mdn"]["original_message_id"] == found["message_id"] == "<json@acme.example>"
    assert found["mdn"]["signer"]["subject"] == "CN=EXAMPLE"


def test_each_message_gets_an_id_of_its_own(site: Site) -> None:
    sent = [json.loads(site.send(*site.tls, "--json").stdout)["message_id"] for _ in range(2)]
    assert len(set(sent)) == 2
    assert all(each.startswith("<") and each.endswith("@mtlsd.invalid>") for each in sent)


@pytest.mark.parametrize("sign", ["sha256", "sha384", "sha512"])
@pytest.mark.parametrize("encrypt", ["aes128-cbc", "aes192-cbc", "aes256-cbc"])
def test_every_strong_algorithm_is_processed(site: Site, sign: str, encrypt: str) -> None:
    assert site.send(*site.tls, "--sign", sign, "--encrypt", encrypt).stdout.endswith("OK\n")


def test_an_unsigned_receipt_is_enough_where_that_was_asked_for(site: Site) -> None:
    result = site.send(*site.tls, "--mdn", "unsigned")
    assert result.exit_code == 0
    assert "signature    none" in result.stdout


def test_no_receipt_is_fine_where_none_was_asked_for(site: Site) -> None:
    result = site.send(*site.tls, "--mdn", "none")
    assert (result.exit_code, result.stdout.splitlines()[-1]) == (0, "OK")


def test_another_mic_algorithm_than_the_signature_has_is_not_compared(site: Site) -> None:
    result = site.send(*site.tls, "--micalg", "sha512")
    assert "not compared: --micalg is another digest than --sign" in result.stdout
    assert result.exit_code == 0


REFUSALS: dict[str, tuple[tuple[str, ...], int, str]] = {
    "no client certificate": ((), 400, "client_cert_missing"),
    "not signed": (("tls", "--sign", "none"), 200, "as2_security_too_low"),
    "not encrypted": (("tls", "--encrypt", "none"), 200, "as2_security_too_low"),
    "signed with SHA-1": (("tls", "--sign", "sha1"), 200, "as2_security_too_low"),
    "not our id": (("tls", "--as2-to", "NOBODY"), 200, "as2_to_unknown"),
    "not its own id": (("tls", "--as2-from", "GLOBEX"), 403, "as2_from_mismatch_cert"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_refusal_fails_with_its_reason_and_advice(site: Site, name: str) -> None:
    options, status, reason = REFUSALS[name]
    given = [each for option in options for each in (site.tls if option == "tls" else (option,))]
    result = site.send(*given)
    assert result.exit_code == 1
    assert f"HTTP status  {status} " in result.stdout
    assert f"reason       {reason}\n" in result.stdout
    assert "FAILED: " in result.stdout
    assert ("advice       " in result.stdout) == (status != 200)  # else the MDN's text has it


def test_a_signature_of_another_is_not_accepted(site: Site) -> None:
    result = site.send(*site.tls, "--mdn-cert", site.folder / "other.pem")
    assert result.exit_code == 1
    assert "FAILED: the MDN is not accepted: signed by none of --mdn-cert (default: --encrypt-to); " in result.stdout
    assert "(as2_signer_unknown)" in result.stdout
    assert "\ntext of the MDN, not verified:\n  The AS2 message " in result.stdout
    assert "disposition" not in result.stdout


def test_a_path_that_nobody_serves_is_not_found(site: Site) -> None:
    result = site.send(*site.tls, path="/nowhere")
    assert (result.exit_code, "reason       no_route" in result.stdout) == (1, True)


def test_a_host_without_client_certificates_takes_a_signed_message(site: Site) -> None:
    assert site.send(host="drop.example.com").exit_code == 0


def test_a_server_that_the_roots_do_not_vouch_for_gets_nothing(site: Site) -> None:
    other = site.tree.certs / "hosts" / "drop.example.com" / "chain.pem"
    result = site.send(*site.tls, "--ca", other)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "CERTIFICATE_VERIFY_FAILED" in result.stderr
    assert "Hint: name the server's root, or its self-signed certificate, with --ca." in result.stderr


def test_a_server_of_another_name_gets_no_hint_at_roots(site: Site) -> None:
    arguments = [*site.arguments(*site.tls)]
    arguments[1] = str(arguments[1]).replace("as2.example.com", "nobody.example.com")
    result = mtlsd(*arguments)
    assert (result.exit_code, "--ca" in result.stderr) == (1, False)


def test_nobody_at_the_address_is_said(site: Site) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # without listening: a connection is refused
        arguments = list(site.arguments())
        arguments[1] = f"http://127.0.0.1:{taken.getsockname()[1]}/as2"
        result = mtlsd(*arguments)
    assert result.exit_code == 1
    assert "(upstream_unreachable)" in result.stderr


def test_the_exchange_is_saved_octet_for_octet(site: Site, tmp_path: Path) -> None:
    assert site.send(*site.tls, "--save", tmp_path / "new" / "folder").exit_code == 0
    request = (tmp_path / "new" / "folder" / "request.http").read_bytes()
    answer = (tmp_path / "new" / "folder" / "answer.http").read_bytes()
    header, _, body = request.partition(b"\r\n\r\n")
    assert header.startswith(b"POST /as2 HTTP/1.1\r\nHost: as2.example.com:8443\r\n")
    assert f"Content-Length: {len(body)}".encode() in header
    assert answer.startswith(b"HTTP/1.1 200\r\n")
    assert b"multipart/signed" in answer


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"--encrypt-to": None}, "--encrypt-to is missing"),
        ({"--sign-key": None}, "belong together"),
        ({"--sign-cert": None, "--sign-key": None}, "A key pair is needed"),
        ({"--sign-key": "other.key"}, "does not belong to CN=ACME"),
        ({"--encrypt-to": "order.edi"}, "neither PEM nor DER"),
        ({"--encrypt-to": "as2.key"}, "as2.key: a private key, not a certificate\n"),
        ({"--sign-cert": "as2.key"}, "as2.key: a private key, not a certificate\n"),
        ({"--ca": "order.edi"}, "no certificates in PEM"),
        ({"--as2-from": None}, "Missing option '--as2-from'"),
        ({"--message-id": "a\nb"}, "not the value of a header field"),
        ({"--sign": "md5"}, "'md5' is not one of"),
        ({"--cert": "tls.pem"}, "--cert and --key belong together"),
    ],
    ids=str,
)
def test_wrong_usage_is_said_before_anything_is_sent(site: Site, change: dict[str, str | None], words: str) -> None:
    command, url, document, *rest = site.arguments()
    options = dict(zip(rest[::2], rest[1::2], strict=True))
    for name, value in change.items():
        options.pop(name, None)
        if value is not None:
            options[name] = site.folder / value if (site.folder / value).exists() else value
    result = mtlsd(command, url, document, *(each for option in options.items() for each in option))
    assert (result.exit_code, words in result.stderr) == (2, True), result.stderr


@pytest.mark.parametrize(
    "url", ["ftp://example.com/", "example.com", "https://user:pw@example.com/as2", "https:///as2"]
)
def test_a_url_that_is_none_is_wrong_usage(site: Site, url: str) -> None:
    command, _, *rest = site.arguments()
    result = mtlsd(command, url, *rest)
    assert (result.exit_code, "Invalid value for URL" in result.stderr) == (2, True)


def test_the_choices_are_those_that_as2_has() -> None:
    assert as2.SIGN_ALGORITHMS == send.SIGN
    assert tuple(as2.ENCRYPT_ALGORITHMS) == send.ENCRYPT
