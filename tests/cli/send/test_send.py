"""`mtlsd send` against a real daemon: what it says, and what it exits with."""

import json
import socket
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from mtlsd.as2.cms.encrypt import ENCRYPT_ALGORITHMS, KEY_ALGORITHMS
from mtlsd.as2.mic import DIGESTS
from mtlsd.as2.outbound.draft import Compression
from mtlsd.cli.send import options as send
from mtlsd.config.addresses import Address
from mtlsd.net.client.http import Answer
from mtlsd.net.server.mdn_receiver import MDNListener, send_and_listen
from tests.support import pki
from tests.support.daemon import LONG, Tree, acme, running
from tests.support.pki import CLIENT, SERVER, Issued
from tests.support.site import Site, mtlsd


def test_a_good_message_is_processed_and_the_receipt_is_judged(site: Site) -> None:
    result = site.send(*site.tls, "--message-id", "<good@acme.example>", "--compress", "before")
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
@pytest.mark.parametrize("encrypt", ["aes128-cbc", "aes256-gcm"])
def test_every_strong_algorithm_is_processed(site: Site, sign: str, encrypt: str) -> None:
    assert site.send(*site.tls, "--sign", sign, "--encrypt", encrypt).stdout.endswith("OK\n")


def test_an_unsigned_receipt_is_enough_where_that_was_asked_for(site: Site) -> None:
    result = site.send(*site.tls, "--mdn", "unsigned")
    assert result.exit_code == 0
    assert "signature    none" in result.stdout


def test_no_receipt_is_fine_where_none_was_asked_for(site: Site) -> None:
    result = site.send(*site.tls, "--mdn", "none")
    assert (result.exit_code, result.stdout.splitlines()[-1]) == (0, "OK")


FORMS: dict[str, tuple[str, ...]] = {
    "another MIC algorithm": ("--micalg", "sha512"),
    "compressed after signing": ("--compress", "after"),
    "opaque, with PSS": ("--opaque", "--pss"),
    "OAEP": ("--encrypt-key", "oaep-sha256"),
}


@pytest.mark.parametrize("name", FORMS)
def test_every_form_is_processed_and_its_mic_compared(site: Site, name: str) -> None:
    result = site.send(*site.tls, *FORMS[name])
    assert (result.exit_code, "MIC          equal (" in result.stdout) == (0, True), result.stdout


def test_several_documents_arrive_as_one(site: Site) -> None:
    more = ("--attach", site.folder / "order.edi", "application/edifact")
    assert site.send(*site.tls, *more, "--message-id", "<two@acme.example>").exit_code == 0
    delivered = site.backend.wait_for("<two@acme.example>")
    assert (delivered.get("Content-Type") or "").startswith("multipart/related; ")
    assert delivered.body.count(b"UNB+UNOA:1+ACME+EXAMPLE'\r\n") == 2


REFUSALS: dict[str, tuple[tuple[str, ...], int, str]] = {
    "no client certificate": ((), 400, "client_cert_missing"),
    "not signed": (("tls", "--sign", "none", "--encrypt", "none"), 200, "as2_security_too_low"),
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
    assert (
        "FAILED: the MDN is not accepted: it is not signed by a certificate of --mdn-cert (default: --encrypt-to); "
        in result.stdout
    )
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
    assert "the server's certificate is not trusted" in result.stderr
    assert "Hint: give the server's root, or its self-signed certificate, with --ca." in result.stderr


def test_a_server_of_another_name_gets_the_hint_at_resolve(site: Site) -> None:
    arguments = [*site.arguments(*site.tls)]
    arguments[1] = str(arguments[1]).replace("as2.example.com", "nobody.example.com")
    result = mtlsd(*arguments)
    assert (result.exit_code, "--ca" in result.stderr, "--resolve" in result.stderr) == (1, False, True)


def test_nobody_at_the_address_is_said(site: Site) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # without listening: a connection is refused
        arguments = list(site.arguments())
        arguments[1] = f"http://127.0.0.1:{taken.getsockname()[1]}/as2"
        result = mtlsd(*arguments)
    assert (result.exit_code, "upstream" in result.stderr) == (1, False)  # a code of deliveries, not of clients
    assert "Hint: nothing listens on that port" in result.stderr


def test_a_message_in_the_clear_to_a_port_that_speaks_tls_is_told_so(site: Site) -> None:
    arguments = list(site.arguments())
    arguments[1] = str(arguments[1]).replace("https:", "http:")
    result = mtlsd(*arguments)
    assert (result.exit_code, "<html>" in result.stdout) == (1, False)
    assert "advice       that port speaks TLS: use https:// in the URL\n" in result.stdout


def test_a_name_without_an_address_is_told_so(site: Site) -> None:
    arguments = list(site.arguments())
    arguments[arguments.index("--resolve") + 1] = "nobody.invalid"
    result = mtlsd(*arguments)
    assert (result.exit_code, "Hint: this machine cannot resolve that name" in result.stderr) == (1, True), (
        result.stderr
    )


# --- Without layers, and later --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lenient(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A daemon that asks ACME for no layer, and posts MDNs to one port of this machine."""
    tree = Tree(tmp_path_factory.mktemp("lenient"), site.backend.url)
    tree.add("acme", "ACME", acme(), f'require = []\nmdn_urls = ["http://{here()}", "https://{here()}"]')
    ours = pki.issue("as2.example.com", eku=(SERVER, CLIENT), san=("dns:as2.example.com",), **LONG)
    ours.write(tree.certs / "hosts" / "as2.example.com")
    with running(tree) as daemon:
        yield replace(site, tree=tree, daemon=daemon)


@cache
def here() -> str:
    """An address with a port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


@cache
def listening_tls() -> Issued:
    """The server certificate of ACME's listener, by ACME's root."""
    options = {"key": pki.rsa_key("mdn.acme.example"), "eku": (SERVER,), "san": ("ip:127.0.0.1",), **LONG}
    return pki.issue("mdn.acme.example", issuer=acme().issuers[0], **options)


def test_a_message_without_any_layer_needs_no_key(lenient: Site) -> None:
    options = ("--sign", "none", "--encrypt", "none", "--mdn", "unsigned")
    arguments = [*lenient.arguments(*lenient.tls, *options)]
    for option in ("--sign-cert", "--sign-key", "--encrypt-to"):
        at = arguments.index(option)
        del arguments[at : at + 2]
    result = mtlsd(*arguments)
    assert (result.exit_code, "MIC          equal (" in result.stdout) == (0, True), result.stdout


@pytest.mark.parametrize("mdn", ["signed", "unsigned"])
def test_an_asynchronous_mdn_is_waited_for_and_judged(lenient: Site, tmp_path: Path, mdn: str) -> None:
    result = lenient.send(*lenient.tls, "--mdn", mdn, "--listen", here(), "--save", tmp_path)
    assert (result.exit_code, result.stderr) == (0, ""), result.stdout
    assert result.stdout.startswith(f"listening on {here()} for the MDN to http://{here()}/\n")
    assert "MDN from     127." in result.stdout
    assert "MIC          equal (" in result.stdout
    assert ("signature    verified with CN=EXAMPLE" in result.stdout) == (mdn == "signed")
    assert (tmp_path / "mdn.http").read_bytes().startswith(b"POST / HTTP/1.1\r\n")
    assert b"Content-Length: 0" in (tmp_path / "answer.http").read_bytes()


def test_an_asynchronous_mdn_comes_over_tls_with_a_client_certificate(lenient: Site) -> None:
    listening_tls().write(lenient.folder, "listen.pem", "listen.key")
    files = {name: lenient.folder / f"listen.{end}" for name, end in (("cert", "pem"), ("key", "key"))}
    roots = lenient.tree.certs / "hosts" / "as2.example.com" / "chain.pem"
    options = ("--listen", here(), "--listen-cert", files["cert"], "--listen-key", files["key"])
    result = lenient.send(*lenient.tls, *options, "--listen-ca", roots, "--json")
    found = json.loads(result.stdout)
    assert (found["ok"], found["posted_by"]["certificate"]["subject"]) == (True, "CN=as2.example.com"), found


def test_a_receiver_that_does_not_accept_our_certificate_is_guessed_at(lenient: Site, tmp_path: Path) -> None:
    """It only goes away in the handshake."""
    options = {"eku": (SERVER,), "san": ("ip:127.0.0.1",), **LONG}
    pki.issue("stranger.example", **options).write(tmp_path, "cert.pem", "key.pem")
    listening = ("--listen", here(), "--listen-cert", tmp_path / "cert.pem", "--listen-key", tmp_path / "key.pem")
    result = lenient.send(*lenient.tls, *listening, "--timeout", "2")
    assert "the TLS handshake broke: " in result.stdout, result.stdout
    assert "the client may not accept the certificate of --listen-cert" in result.stdout


def test_an_mdn_that_never_comes_is_a_failure(lenient: Site) -> None:
    elsewhere = f"http://{here()}/"  # where nobody listens
    result = lenient.send(*lenient.tls, "--listen", "127.0.0.1:0", "--async-url", elsewhere, "--timeout", "0.5")
    assert result.exit_code == 1
    assert result.stdout.endswith("FAILED: no MDN for this message arrived within 0.5 s\n")


def test_a_url_that_the_receiver_does_not_post_to_is_said(site: Site) -> None:
    result = site.send(*site.tls, "--listen", "127.0.0.1:0")
    assert (result.exit_code, "FAILED: " in result.stdout) == (1, True)


async def test_an_interrupted_wait_ends_at_once() -> None:
    """Ctrl-C while it listens is click's to say, not a traceback."""
    listener = MDNListener(Address("127.0.0.1", 0), None, 1000)

    async def interrupted() -> Answer:
        raise KeyboardInterrupt

    with listener, pytest.raises(KeyboardInterrupt):
        await send_and_listen(interrupted, listener, None, promised=None, timeout=1)  # type: ignore[arg-type]


# --- What is saved, and wrong usage ---------------------------------------------------------------------------


def test_the_exchange_is_saved_octet_for_octet(site: Site, tmp_path: Path) -> None:
    assert site.send(*site.tls, "--save", tmp_path / "new" / "folder").exit_code == 0
    request = (tmp_path / "new" / "folder" / "request.http").read_bytes()
    answer = (tmp_path / "new" / "folder" / "answer.http").read_bytes()
    header, _, body = request.partition(b"\r\n\r\n")
    assert header.startswith(b"POST /as2 HTTP/1.1\r\nHost: as2.example.com:8443\r\n")
    assert f"Content-Length: {len(body)}".encode() in header
    assert answer.startswith(b"HTTP/1.1 200 OK\r\nServer: ")
    assert b"multipart/signed" in answer


def test_nothing_of_an_earlier_exchange_stays_beside_it(site: Site, tmp_path: Path) -> None:
    for name in ("request.http", "answer.http", "mdn.http", "notes.txt"):
        (tmp_path / name).write_bytes(b"old")
    assert site.send(*site.tls, "--save", tmp_path).exit_code == 0
    assert sorted(each.name for each in tmp_path.iterdir()) == ["answer.http", "notes.txt", "request.http"]
    assert (tmp_path / "request.http").read_bytes().startswith(b"POST ")


@pytest.mark.parametrize(("version", "product"), [("1.2", False), ("1.3", True)])
def test_the_version_is_a_choice(site: Site, tmp_path: Path, version: str, product: bool) -> None:
    assert site.send(*site.tls, "--as2-version", version, "--save", tmp_path).exit_code == 0
    header = (tmp_path / "request.http").read_bytes().partition(b"\r\n\r\n")[0]
    assert f"\r\nAS2-Version: {version}\r\n".encode() in header
    assert (b"\r\nAS2-Product: mtlsd:" in header) == product


def test_a_key_that_everybody_may_read_is_a_warning(site: Site, tmp_path: Path) -> None:
    for name in ("tls.pem", "tls.key"):
        (tmp_path / name).write_bytes((site.folder / name).read_bytes())
    (tmp_path / "tls.key").chmod(0o644)
    result = site.send("--cert", tmp_path / "tls.pem", "--key", tmp_path / "tls.key")
    assert (result.exit_code, result.stderr.count("warning: ")) == (0, 1), result.stderr
    assert "tls.key: everybody can access the private key (mode 0644)" in result.stderr


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"--content-type": "garbage"}, "not a content type"),
        ({"--content-type": "a/b c"}, "not a content type"),
        ({"--content-type": ""}, "not the value of a header field"),
        ({"--message-id": ""}, "not the value of a header field"),
        ({"--as2-version": "2"}, "'2' is not one of"),
        ({"--encrypt-to": None}, "--encrypt-to is missing"),
        ({"--sign-key": None}, "--sign-cert and --sign-key must be given together"),
        ({"--sign-cert": None, "--sign-key": None}, "Signing needs a key pair"),
        ({"--sign-key": "other.key"}, "does not belong to CN=ACME"),
        ({"--encrypt-to": "order.edi"}, "neither PEM nor DER"),
        ({"--encrypt-to": "as2.key"}, "as2.key: a private key, not a certificate\n"),
        ({"--sign-cert": "as2.key"}, "as2.key: a private key, not a certificate\n"),
        ({"--ca": "order.edi"}, "no certificates in PEM"),
        ({"--as2-from": None}, "Missing option '--as2-from'"),
        ({"--message-id": "a\nb"}, "not the value of a header field"),
        ({"--sign": "md5"}, "'md5' is not one of"),
        ({"--cert": "tls.pem"}, "--cert and --key must be given together"),
        ({"--encrypt-key": "ecdh-sha256"}, "does not support ecdh-sha256"),
        ({"--async-url": "http://127.0.0.1/"}, "--async-url needs --listen"),
        ({"--listen": "127.0.0.1"}, "expected an IP address and a port"),
        ({"--listen": "127.0.0.1:0", "--mdn": "none"}, "--mdn none requests none"),
        ({"--listen": "0.0.0.0:0"}, "--async-url is missing"),
        ({"--listen": "127.0.0.1:0", "--async-url": "x"}, "Invalid value for --async-url"),
        ({"--listen": "127.0.0.1:0", "--listen-key": "as2.key"}, "--listen-cert is missing"),
        (
            {"--listen": "127.0.0.1:0", "--listen-cert": "as2.pem"},
            "--listen-cert and --listen-key must be given together",
        ),
        ({"--listen": "192.0.2.1:1"}, "cannot listen on 192.0.2.1:1"),
    ],
    ids=str,
)
def test_wrong_usage_is_said_before_anything_is_sent(site: Site, change: dict[str, str | None], words: str) -> None:
    command, url, document, *rest = site.arguments()
    options = dict(zip(rest[::2], rest[1::2], strict=True))
    for name, value in change.items():
        options.pop(name, None)
        if value is not None:
            options[name] = site.folder / value if (site.folder / value).is_file() else value
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
    assert send.SIGN == DIGESTS
    assert tuple(ENCRYPT_ALGORITHMS) == send.ENCRYPT
    assert send.KEYS == KEY_ALGORITHMS
    assert tuple(Compression) == send.COMPRESS
