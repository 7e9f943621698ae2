"""Receipts asked for in every spelling, and CMS in every form, by number."""

import pytest

from tests.as2 import messages
from tests.daemon import keys
from tests.interop.cases import CASES, WISHED, Case, Wish
from tests.interop.cells import TOO_WEAK, Cell, Receipt
from tests.interop.gateway import Gateway
from tests.interop.peers import PEERS, Built, Peer, addressed, entity, mic


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
@pytest.mark.parametrize("wish", WISHED, ids=lambda wish: f"{wish.id}-{wish.importance} {wish.labels}")
def test_the_first_mic_algorithm_that_we_have_is_used_as_it_is_spelled(
    gateway: Gateway, wish: Wish, peer: Peer
) -> None:
    built = wish.built_by(peer.message)
    answer = gateway.send(built.sent)
    said = answer.judged(built, Receipt.SIGNED)
    assert said
    assert (f"{said.disposition_type}/{said.modifier}" if said.modifier else said.disposition_type) == wish.expected
    assert said.confirmed == (wish.label is not None)
    assert wish.label is None or f", {wish.label}\r\n".encode() in answer.body


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_form_of_cms_gets_what_the_table_says(gateway: Gateway, case: Case) -> None:
    assert gateway.exchange(case.built()) == case.expected


def test_md5_is_refused(gateway: Gateway) -> None:
    signature = messages.signed_data_by_openssl(entity(), keys("ACME"), "md5")
    signed = messages.multipart_signed(entity(), signature, micalg="md5")
    built = Built(addressed(signed, "<md5@acme.example>", Cell("md5", "s")), mic(entity(), None))
    assert gateway.exchange(built) == TOO_WEAK
