"""`client_cert`: the backend gets the client's certificate by RFC 9440, ours alone, whenever the delivery is made."""

import base64
import json
import re
import ssl
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support import backend as backends
from tests.support.backend import Delivered
from tests.support.client import VERSIONS, chunked, opened, request
from tests.support.daemon import Tree, acme, globex, keys, running
from tests.support.messages import Sent
from tests.support.partner import disposition, layered, message, send

FORGED = ":Zm9yZ2Vk:"
HOSTS = {"as2.example.com": "required", "maybe.example.com": "optional"}  # a host that asks nobody cannot say so
COPIES = (
    ("Client-Cert", FORGED),
    ("client-cert", FORGED),
    ("Client_Cert", FORGED),
    ("CLIENT_CERT_CHAIN", FORGED),
    ("Client-Cert-Chain", FORGED),
    ("Connection", "Client-Cert, Client-Cert-Chain"),
)


def byte_sequences(value: str) -> list[bytes]:
    """A List of Byte Sequences, read as RFC 8941, section 4.2, says; nothing else is allowed in it."""
    members, rest = [], value.strip(" ")
    while True:
        assert rest.startswith(":"), value
        encoded, _, rest = rest[1:].partition(":")
        assert re.fullmatch(r"[A-Za-z0-9+/=]+", encoded), encoded
        members.append(base64.b64decode(encoded, validate=True))
        rest = rest.lstrip(" \t")
        if not rest:
            return members
        assert rest.startswith(","), rest
        rest = rest[1:].lstrip(" \t")


def certificates(delivered: Delivered) -> tuple[list[bytes], list[bytes]]:
    """What the two fields hold; each stands once at most."""
    leaf, chain = delivered.all("Client-Cert"), delivered.all("Client-Cert-Chain")
    assert len(leaf) <= 1
    assert len(chain) <= 1
    assert not [name for name, _ in delivered.fields if "_" in name or name.startswith(":")]
    return byte_sequences(leaf[0]) if leaf else [], byte_sequences(chain[0]) if chain else []


def sent_by(message_id: str, as2_id: str = "ACME") -> Sent:
    """A message with every copy of the fields that a client may think of."""
    sent = message(message_id, layered(sender=keys(as2_id)), as2_from=as2_id)
    return replace(sent, fields=(*COPIES, *sent.fields))


@pytest.mark.parametrize("deliver", ["payload", "message"])
@pytest.mark.parametrize("setting", ["off", "leaf", "chain"])
def test_the_backend_gets_what_the_route_says_and_no_copy_of_the_clients(
    tmp_path: Path, setting: str, deliver: str
) -> None:
    route = f'deliver = "{deliver}"\nclient_cert = "{setting}"'
    with backends.running() as backend, running(Tree(tmp_path, backend.url, route=route, hosts=HOSTS)) as daemon:
        for who, name, as2_id in ((acme(), "acme", "ACME"), (globex(), "globex", "GLOBEX")):
            message_id = f"<{name}-{setting}@example>"
            sent = sent_by(message_id, as2_id)
            assert disposition(send(daemon, sent, who), sent) == "processed"
            leaf, chain = certificates(backend.wait_for(message_id))
            assert leaf == ([] if setting == "off" else [who.certificate.der])
            expected = [each.der for each in who.chain] if setting == "chain" else []
            assert chain == expected
        assert expected or setting != "chain"  # GLOBEX has an intermediate


@pytest.mark.parametrize("version", VERSIONS)
def test_without_a_certificate_there_is_no_field(tmp_path: Path, version: ssl.TLSVersion) -> None:
    tree = Tree(tmp_path, hosts=HOSTS, route='client_cert = "chain"')
    with backends.running() as backend:
        tree.backend = backend.url
        tree.configure()
        sent = sent_by("<none@acme.example>")
        with running(tree) as daemon, opened(daemon.address, sni="maybe.example.com", version=version) as client:
            head = request(fields=sent.fields, body=sent.body, host="maybe.example.com")
            assert client.request(head).status == 200
            assert certificates(backend.wait_for("<none@acme.example>")) == ([], [])


def test_trailers_name_no_certificate(tmp_path: Path) -> None:
    with (
        backends.running() as backend,
        running(Tree(tmp_path, backend.url, route='deliver = "message"\nclient_cert = "leaf"', hosts=HOSTS)) as daemon,
        opened(daemon.address, acme()) as client,
    ):
        sent = message("<trailer@acme.example>")
        fields = (*sent.fields, ("Transfer-Encoding", "chunked"), ("Trailer", "Client-Cert"))
        body = chunked(sent.body).removesuffix(b"\r\n") + b"Client-Cert: " + FORGED.encode() + b"\r\n\r\n"
        assert client.request(request(fields=fields, body=body, length=False)).status == 200
        assert certificates(backend.wait_for("<trailer@acme.example>")) == ([acme().certificate.der], [])


def test_it_is_there_when_the_delivery_is_made_after_a_restart(tmp_path: Path) -> None:
    """The connection is long gone, the route says "off" by now, and the partner has left."""
    with backends.running() as backend:
        tree = Tree(tmp_path, backend.url, route='client_cert = "chain"', hosts=HOSTS)
        backend.stop()
        with running(tree) as daemon:
            sent = sent_by("<late@globex.example>", "GLOBEX")
            assert send(daemon, sent, globex()).status == 200
        backend.start()
        tree.route = ""
        tree.configure()
        with running(tree):
            leaf, chain = certificates(backend.wait_for("<late@globex.example>"))
    assert (leaf, chain) == ([globex().certificate.der], [each.der for each in globex().chain])


@pytest.mark.parametrize("mdn", ["delivered"])
def test_it_is_there_where_the_backend_is_asked_first(tmp_path: Path, mdn: str) -> None:
    route = f'mdn = "{mdn}"\nclient_cert = "leaf"'
    with backends.running() as backend, running(Tree(tmp_path, backend.url, route=route, hosts=HOSTS)) as daemon:
        assert send(daemon, message("<first@acme.example>")).status == 200
        assert certificates(backend.wait_for("<first@acme.example>")) == ([acme().certificate.der], [])


@pytest.mark.parametrize("deliver", ["payload", "message"])
@pytest.mark.parametrize("setting", ["off", "chain"])
def test_a_directory_has_it_in_the_metadata(tmp_path: Path, setting: str, deliver: str) -> None:
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    tree = Tree(tmp_path, f"dir:{inbox}", route=f'deliver = "{deliver}"\nclient_cert = "{setting}"', hosts=HOSTS)
    with running(tree) as daemon:
        assert send(daemon, sent_by("<dir@globex.example>", "GLOBEX"), globex()).status == 200
        daemon.wait_for("delivery_finished", message_id="<dir@globex.example>", state="delivered")
    (metadata,) = (json.loads(each.read_text()) for each in inbox.glob("*.json"))
    assert FORGED not in json.dumps(metadata)
    assert not [name for name, _ in metadata.get("headers", ()) if "client" in name.lower()]
    if setting == "off":
        assert not metadata.keys() & {"client_cert", "client_cert_chain"}
    else:
        assert base64.b64decode(metadata["client_cert"]) == globex().certificate.der
        assert [base64.b64decode(each) for each in metadata["client_cert_chain"]] == [
            each.der for each in globex().chain
        ]
