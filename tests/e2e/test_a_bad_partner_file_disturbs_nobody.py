"""Whatever lies in the directory of one partner, the others are served, and the log names the file."""

import shutil

import pytest

from tests.support.client import opened, request
from tests.support.daemon import Tree, acme, authority, certificate, globex, running
from tests.support.partner import disposition, message, send

BAD = {
    "an empty file": ("tls/x.pem", b""),
    "a private key": ("tls/x.pem", None),
    "half a certificate": ("x.pem", b"-----BEGIN CERTIFICATE-----\nMIIB"),
    "an HTML page": ("as2/x.cer", b"<html>"),
    "an error in partner.toml": ("partner.toml", b"as2_id = \n"),
    "an unknown key": ("partner.toml", b'as2_id = "BAD"\nrelaxed = []\n'),
    "no id": ("partner.toml", b""),
    "not UTF-8": ("partner.toml", b"\xff\xfe"),
}


@pytest.mark.parametrize("kind", BAD)
def test_the_others_are_served(tmp_path_factory: pytest.TempPathFactory, kind: str) -> None:
    tree = Tree(tmp_path_factory.mktemp("bad"))
    bad = certificate(authority("Bad"), "bad.example")
    name, content = BAD[kind]
    path = tree.add("bad", "BAD", bad) / name
    path.write_bytes(bad.key_pem if content is None else content)
    with running(tree) as daemon:
        line = daemon.wait_for("configuration_problem", file=str(path))
        assert line["level"] == "error"
        assert "PRIVATE KEY-----" not in str(line)
        sent = message("<bad@acme.example>")
        assert disposition(send(daemon, sent), sent) == "processed"
        for issued in (acme(), globex()):
            with opened(daemon.address, issued) as client:
                assert client.request(request("HEAD"), head=True).status == 200
        with opened(daemon.address, bad) as client:
            answer = client.request(request("HEAD"), head=True)
        assert answer.status == (400 if name == "partner.toml" else 200)


def test_no_partners_at_all(tmp_path_factory: pytest.TempPathFactory) -> None:
    tree = Tree(tmp_path_factory.mktemp("none"))
    shutil.rmtree(tree.certs / "partners")
    with running(tree) as daemon:
        with opened(daemon.address, acme()) as client:
            assert client.request(request()).reason == "cert_untrusted_issuer"
        tree.add("acme", "ACME", acme())
        daemon.wait_for("reloaded", partners=1)
        sent = message("<none@acme.example>")
        assert disposition(send(daemon, sent), sent) == "processed"
