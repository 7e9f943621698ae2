"""The client's certificate beside a message: sent as RFC 9440 says."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtlsd.relay.file_drop import deposit_of
from mtlsd.relay.request import build_request
from tests.relay.test_request import DELIVERY, MESSAGE, as_received


@given(st.binary(min_size=1), st.lists(st.binary(min_size=1), max_size=4))
def test_any_octets_become_byte_sequences(leaf: bytes, chain: list[bytes]) -> None:
    message = replace(MESSAGE, client_certificates=(leaf, *chain))
    fields = as_received(build_request(message, DELIVERY))
    assert fields["client-cert"].startswith(":")
    assert fields["client-cert"].endswith(":")
    assert len(fields.get("client-cert-chain", "").split(", ")) == max(len(chain), 1)
    assert ("client-cert-chain" in fields) == bool(chain)


@pytest.mark.parametrize(
    "name", ["Client-Cert", "client_cert", "CLIENT-CERT-CHAIN", "Mtlsd-Partner", "Forwarded", ":client-cert"]
)
def test_what_a_client_calls_so_is_not_passed_on(name: str) -> None:
    message = replace(MESSAGE, headers=((name.lower(), "forged"), ("subject", "s")))
    assert "forged" not in str(build_request(message, DELIVERY).headers)
    assert b"forged" not in deposit_of(message, DELIVERY).metadata
