"""The client's certificate beside a message: kept under names of ours, sent as RFC 9440 says."""

from dataclasses import replace

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtlsd.relay.client_cert import keep_client_cert
from mtlsd.relay.file_drop import deposit_of
from mtlsd.relay.request import build_request
from tests.relay.test_request import DELIVERY, MESSAGE, as_received


@given(st.binary(min_size=1), st.lists(st.binary(min_size=1), max_size=4))
def test_any_octets_become_byte_sequences(leaf: bytes, chain: list[bytes]) -> None:
    message = replace(MESSAGE, headers=keep_client_cert(leaf, chain))
    fields = as_received(build_request(message, DELIVERY))
    assert fields["client-cert"].startswith(":")
    assert fields["client-cert"].endswith(":")
    assert len(fields.get("client-cert-chain", "").split(", ")) == max(len(chain), 1)
    assert ("client-cert-chain" in fields) == bool(chain)


@pytest.mark.parametrize("name", ["Client-Cert", "client_cert", "CLIENT-CERT-CHAIN", "Mtlsd-Partner", "Forwarded"])
def test_what_a_client_calls_so_is_not_passed_on(name: str) -> None:
    message = replace(MESSAGE, headers=((name.lower(), "forged"), ("subject", "s")))
    assert "forged" not in str(build_request(message, DELIVERY).headers)
    assert b"forged" not in deposit_of(message, DELIVERY).metadata


def test_no_client_can_send_the_names_that_it_is_kept_under() -> None:
    ((name, _),) = keep_client_cert(b"leaf")
    server = h11.Connection(h11.SERVER)
    server.receive_data(f"POST / HTTP/1.1\r\nHost: a\r\n{name}: :Zm9yZ2Vk:\r\n\r\n".encode())
    with pytest.raises(h11.RemoteProtocolError):
        server.next_event()
