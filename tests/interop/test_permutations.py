"""The core permutations: compressed, signed, encrypted, and the receipt, from every peer that can build them."""

import pytest

from tests.interop.gateway import Gateway
from tests.interop.matrix import PERMUTED, Entry


@pytest.mark.parametrize("entry", PERMUTED, ids=str)
def test_a_permutation_is_processed_once_and_its_receipt_verifies(gateway: Gateway, entry: Entry) -> None:
    assert entry.run(gateway) == entry.expected
