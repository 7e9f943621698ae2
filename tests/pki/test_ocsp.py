"""An OCSP answer counts if its issuer, or whom the issuer named for it, signed it, and its dates hold."""

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID
from hypothesis import given
from hypothesis import strategies as st

from mtlsd.pki.ocsp import OCSPInvalid, build_question, read_answer, responder
from tests.support import pki
from tests.support.pki import DAY, NOW

SIGNING = (ExtendedKeyUsageOID.OCSP_SIGNING,)
ROOT = pki.root("Root")
OTHER = pki.root("Other")
LEAF = pki.leaf(ROOT)
SISTER = pki.leaf(ROOT, "sister")
DELEGATE = pki.leaf(ROOT, "responder", eku=SIGNING)
GOOD = pki.ocsp_answer(ROOT, LEAF)


def read(data: bytes, nonce: bytes | None = None) -> bool:
    return read_answer(data, LEAF.certificate, ROOT.certificate, NOW, nonce).revoked


def test_a_question_is_about_one_certificate_and_has_our_nonce() -> None:
    question = ocsp.load_der_ocsp_request(build_question(LEAF.certificate, ROOT.certificate, b"n" * 32))
    assert question.serial_number == LEAF.certificate.serial
    assert question.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce == b"n" * 32


@pytest.mark.parametrize("signer", [None, DELEGATE, pki.leaf(ROOT, "ec", eku=SIGNING, key=pki.ec_key("d"))])
@pytest.mark.parametrize("revoked", [True, False])
def test_the_issuer_or_its_delegate_says_whether_it_is_revoked(signer: pki.Issued | None, revoked: bool) -> None:
    assert read(pki.ocsp_answer(ROOT, LEAF, signer=signer, revoked=revoked)) is revoked


def test_the_day_and_the_reason_are_told() -> None:
    status = read_answer(pki.ocsp_answer(ROOT, LEAF, revoked=True), LEAF.certificate, ROOT.certificate, NOW)
    assert status.detail == "on 2026-11-20: keyCompromise"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (pki.ocsp_answer(ROOT, SISTER), "other certificates"),
        (pki.ocsp_answer(OTHER, LEAF, signer=DELEGATE), "other certificates"),
        (pki.ocsp_answer(ROOT, LEAF, signer=OTHER), "signed neither"),
        (pki.ocsp_answer(ROOT, LEAF, signer=SISTER), "signed neither"),
        (pki.ocsp_answer(ROOT, LEAF, signer=pki.leaf(OTHER, "responder", eku=SIGNING)), "signed neither"),
        (pki.ocsp_answer(ROOT, LEAF, signer=pki.leaf(ROOT, "r", eku=SIGNING, end=NOW - DAY)), "signed neither"),
        (pki.ocsp_answer(ROOT, LEAF, unknown=True), "does not know"),
        (pki.ocsp_answer(ROOT, LEAF, end=NOW - DAY / 2), "valid until"),
        (pki.ocsp_answer(ROOT, LEAF, end=None), "valid until"),
        (pki.ocsp_answer(ROOT, LEAF, start=NOW + DAY / 2), "in the future"),
        (pki.ocsp_answer(ROOT, LEAF, nonce=b"another question"), "nonce"),
        (
            ocsp.OCSPResponseBuilder.build_unsuccessful(ocsp.OCSPResponseStatus.TRY_LATER).public_bytes(Encoding.DER),
            "try_later",
        ),
        (b"<html>", "not a readable"),
        (b"", "not a readable"),
    ],
)
def test_every_other_answer_counts_for_nothing(data: bytes, words: str) -> None:
    with pytest.raises(OCSPInvalid, match=words):
        read(data, b"our question")


def test_a_responder_may_repeat_the_nonce_or_leave_it_out() -> None:
    assert not read(pki.ocsp_answer(ROOT, LEAF, nonce=b"our question"), b"our question")
    assert not read(GOOD, b"our question")


def test_the_certificate_names_its_responder() -> None:
    place = x509.UniformResourceIdentifier("http://ocsp.acme.example/")
    named = x509.AuthorityInformationAccess([x509.AccessDescription(AuthorityInformationAccessOID.OCSP, place)])
    assert responder(pki.leaf(ROOT, extensions=((named, False),)).certificate) == "http://ocsp.acme.example/"
    assert responder(LEAF.certificate) is None


@given(st.data())
def test_a_damaged_answer_raises_only_our_error(data: st.DataObject) -> None:
    der = bytearray(GOOD)
    for _ in range(data.draw(st.integers(1, 3))):
        der[data.draw(st.integers(0, len(der) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        assert not read(bytes(der))
    except OCSPInvalid:
        return
