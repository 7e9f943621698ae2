"""The path above a certificate: in its order, whatever else was sent along, and without the root."""

from itertools import permutations

import pytest

from mtlsd.pki.certificate import Certificate
from mtlsd.pki.chain import issuers_of
from tests.support import pki

ROOT = pki.root()
FIRST = pki.intermediate(ROOT, "First CA")
SECOND = pki.intermediate(FIRST, "Second CA")
LEAF = pki.leaf(SECOND)
NAMESAKE = pki.intermediate(ROOT, "Second CA", key=pki.rsa_key("namesake"))
PATH = (SECOND.certificate, FIRST.certificate)
SENT = (ROOT.certificate, FIRST.certificate, NAMESAKE.certificate, SECOND.certificate)


@pytest.mark.parametrize("sent", list(permutations(SENT)))
def test_it_is_in_its_order_whatever_the_client_sends(sent: tuple[Certificate, ...]) -> None:
    assert issuers_of(LEAF.certificate, sent) == PATH


def test_it_ends_where_an_issuer_is_missing() -> None:
    assert issuers_of(LEAF.certificate, (FIRST.certificate, ROOT.certificate)) == ()
    assert issuers_of(LEAF.certificate, (SECOND.certificate, ROOT.certificate)) == PATH[:1]


def test_nothing_is_above_a_self_signed_certificate() -> None:
    assert issuers_of(ROOT.certificate, SENT) == ()
