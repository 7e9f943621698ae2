"""The sweep over digests and ciphers, the wishes for a MIC, and the forms of CMS, from every peer that has them."""

import pytest

from tests.interop.cells import TOO_WEAK, Cell
from tests.interop.gateway import Gateway
from tests.interop.matrix import FORMS, SWEPT, WISHES, Entry
from tests.interop.peers import Built, addressed, entity, mic
from tests.support import messages
from tests.support.daemon import keys


@pytest.mark.parametrize("entry", SWEPT, ids=str)
def test_a_digest_with_a_cipher_gets_what_the_table_says(gateway: Gateway, entry: Entry) -> None:
    assert entry.run(gateway) == entry.expected


@pytest.mark.parametrize("entry", WISHES, ids=str)
def test_the_first_mic_algorithm_that_we_have_is_used_as_it_is_spelled(gateway: Gateway, entry: Entry) -> None:
    assert entry.run(gateway) == entry.expected


@pytest.mark.parametrize("entry", FORMS, ids=str)
def test_a_form_of_cms_gets_what_the_table_says(gateway: Gateway, entry: Entry) -> None:
    assert entry.run(gateway) == entry.expected


def test_md5_is_refused(gateway: Gateway) -> None:
    signature = messages.signed_data_by_openssl(entity(), keys("ACME"), "md5")
    signed = messages.multipart_signed(entity(), signature, micalg="md5")
    built = Built(addressed(signed, "<md5@acme.example>", Cell("md5", "s")), mic(entity(), None))
    assert gateway.exchange(built) == TOO_WEAK
