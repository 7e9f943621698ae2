"""The receiver on messages that others built: every layer, every order, any chunk size; and every refusal."""

import base64
import hashlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

import pytest
from asn1crypto import cms
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mtlsd.as2.agreement import Agreement, MessageLimits
from mtlsd.as2.cms.der import Element
from mtlsd.as2.headers import AS2Headers
from mtlsd.as2.mime.parser import ContentType
from mtlsd.as2.receiver import Receiver, VerifiedMessage
from mtlsd.as2.second_pass import Hints, ReadAgain
from mtlsd.errors import (
    AS2DecompressFailed,
    AS2DecryptFailed,
    AS2MIMEMalformed,
    AS2RecipientUnknown,
    AS2SecurityTooLow,
    AS2SignatureBad,
    AS2SignerUnknown,
    PeerError,
)
from mtlsd.partners.partner_toml import Require
from mtlsd.pki.ber import encode
from mtlsd.pki.dates import Dates
from tests.support import messages
from tests.support.messages import EDI, NOW, Sent, build, key_pair, message
from tests.support.pki import DAY

LIMITS = MessageLimits(max_expanded_octets=10_000_000, max_expansion_ratio=100)
NOTHING: frozenset[Require] = frozenset()


def agreement(require: frozenset[Require] = frozenset(Require), relax: frozenset[str] = frozenset()) -> Agreement:
    return Agreement(messages.organization(), messages.partner(relax=relax, require=require), require, is_proven=True)


def receive(sent: Sent, agreed: Agreement | None = None, chunk: int = 1 << 20) -> tuple[VerifiedMessage, bytes]:
    """Feed a message in chunks; once more with another digest where the receiver asks for it."""
    hints = Hints()
    for _ in range(3):
        receiver = Receiver(AS2Headers.parse(sent.fields), agreed or agreement(), LIMITS, NOW, hints)
        try:
            return _feed(receiver, sent.body, chunk)
        except ReadAgain as again:
            hints = again.hints
    pytest.fail("the receiver asks for ever")


def _feed(receiver: Receiver, body: bytes, chunk: int) -> tuple[VerifiedMessage, bytes]:
    payload = bytearray()
    try:
        for piece in _pieces(body, chunk):
            receiver.receive_data(piece)
            payload += b"".join(event.data for event in receiver.events())
    except ReadAgain:
        pytest.fail("only `finish` asks for another pass")
    verified = receiver.finish()
    assert isinstance(verified, VerifiedMessage)
    return verified, bytes(payload) + b"".join(event.data for event in receiver.events())


def _pieces(body: bytes, chunk: int) -> Iterator[bytes]:
    return (body[at : at + chunk] for at in range(0, len(body), chunk))


@pytest.mark.parametrize("layers", ["", "c", "s", "cs", "sc", "E", "cE", "sE", "csE", "scE"])
@pytest.mark.parametrize("chunk", [1, 7, 1000, 1 << 20])
def test_every_order_of_layers_gives_the_document(layers: str, chunk: int) -> None:
    verified, payload = receive(message(build(layers)), agreement(NOTHING), chunk)
    assert payload == EDI
    assert verified.size == len(EDI)
    assert (verified.signer is not None) == ("s" in layers)
    assert (verified.cipher is not None) == ("E" in layers)
    assert verified.compressed == ("c" in layers)
    assert verified.disposition == 'attachment; filename="order.edi"'


@pytest.mark.parametrize("digest", ["sha1", "sha256", "sha384", "sha512"])
@pytest.mark.parametrize("attributes", [True, False], ids=["attributes", "no attributes"])
def test_every_digest_verifies_and_is_the_mic(digest: str, attributes: bool) -> None:
    inner = messages.entity()
    signed = messages.sign(inner, key_pair("ACME"), digest, attributes=attributes)
    verified, _ = receive(message(signed, mdn=None), agreement(frozenset({Require.SIGN}), frozenset({"sha1"})))
    assert verified.mic.algorithm == digest
    assert verified.mic.digest == hashlib.new(digest, inner).digest()


@pytest.mark.parametrize("cipher", ["aes128", "aes192", "aes256", "des3"])
@pytest.mark.parametrize("stream", [False, True], ids=["DER", "BER"])
def test_every_cipher_decrypts_in_der_and_ber(cipher: str, stream: bool) -> None:
    inner = messages.sign(messages.entity(EDI * 500), key_pair("ACME"))
    options = ["-stream"] if stream else []
    enveloped = messages.openssl("-encrypt", f"-{cipher}", *options, stdin=inner, recipient=key_pair("EXAMPLE"))
    sent = message(messages.smime("enveloped-data", enveloped))
    verified, payload = receive(sent, agreement(relax=frozenset({"3des"})), 777)
    assert payload == EDI * 500
    assert verified.cipher == {"des3": "3des"}.get(cipher, f"{cipher}-cbc")


@pytest.mark.parametrize("encode", [False, True], ids=["binary", "base64"])
def test_cms_comes_in_binary_or_base64_whatever_the_header_says(encode: bool) -> None:
    enveloped = messages.enveloped_data(build("s"), key_pair("EXAMPLE"))
    right = messages.smime("enveloped-data", enveloped, encode=encode)
    wrong = right.replace(b"base64", b"8bit").replace(b"binary", b"base64")
    for entity in (right, wrong):
        assert receive(message(entity), chunk=11)[1] == EDI


class TestMIC:
    """RFC 4130, section 7.3.1; RFC 5402, section 4."""

    def test_signed_is_over_the_signed_bytes_with_their_header(self) -> None:
        verified, _ = receive(message(messages.encrypt(messages.sign(messages.entity(), key_pair("ACME")), EXAMPLE)))
        assert verified.mic.digest == hashlib.sha256(messages.entity()).digest()

    def test_compressed_before_signing_is_over_the_compressed_entity(self) -> None:
        compressed = messages.compress(messages.entity())
        verified, _ = receive(message(messages.encrypt(messages.sign(compressed, key_pair("ACME")), EXAMPLE)))
        assert verified.mic.digest == hashlib.sha256(compressed).digest()

    @pytest.mark.parametrize("layers", ["E", "cE", "c"])
    def test_unsigned_in_a_layer_is_over_the_entity_with_its_header(self, layers: str) -> None:
        verified, _ = receive(message(build(layers)), agreement(NOTHING))
        assert verified.mic.digest == hashlib.sha256(build("")).digest()

    def test_plain_is_over_the_body_alone(self) -> None:
        verified, _ = receive(message(messages.entity()), agreement(NOTHING))
        assert verified.mic.digest == hashlib.sha256(EDI).digest()

    @pytest.mark.parametrize(
        ("wished", "algorithm", "label"),
        [
            ("optional,sha256,sha1", "sha256", "sha256"),
            ("optional,sha1,SHA-256", "sha256", "SHA-256"),
            ("optional,sha1", "sha1", "sha1"),
            ("optional,md5,sha-512", "sha512", "sha-512"),
            ("optional,md5", "sha256", "sha-256"),
            ("sha2-384", "sha384", "sha2-384"),
        ],
    )
    def test_the_algorithm_is_the_signatures_where_the_options_list_it(
        self, wished: str, algorithm: str, label: str
    ) -> None:
        verified, _ = receive(message(build("s"), mdn=wished), agreement(NOTHING))
        assert (verified.mic.algorithm, verified.mic.label) == (algorithm, label)
        signed = build("")
        assert verified.mic.digest == hashlib.new(algorithm, signed).digest()

    @pytest.mark.parametrize("micalg", ["sha1", "md5", "rsa-sha512", ""])
    @pytest.mark.parametrize("encrypted", [False, True], ids=["signed", "signed and encrypted"])
    def test_a_wrong_micalg_is_corrected_by_the_signer_info(self, micalg: str, encrypted: bool) -> None:
        signed = messages.entity()
        body = messages.multipart_signed(signed, messages.signed_data(signed, key_pair("ACME")), micalg=micalg)
        verified, _ = receive(message(messages.encrypt(body, EXAMPLE) if encrypted else body), agreement(NOTHING))
        assert verified.mic.digest == hashlib.sha256(signed).digest()


class TestForms:
    """What products do to line ends between signing and sending; the MIC follows the form that verified."""

    def test_a_header_that_lost_its_cr(self) -> None:
        signed = messages.entity()
        signature = messages.signed_data(signed, key_pair("ACME"))
        header, _, body = signed.partition(b"\r\n\r\n")
        sent = messages.multipart_signed(header.replace(b"\r\n", b"\n") + b"\n\n" + body, signature)
        verified, payload = receive(message(sent), agreement(NOTHING))
        assert (verified.form, payload) == ("header-crlf", EDI)
        assert verified.mic.digest == hashlib.sha256(signed).digest()

    @pytest.mark.parametrize("chunk", [1, 13, 4096])
    @pytest.mark.parametrize("encoding", ["7bit", "8bit"])
    def test_a_text_body_that_lost_its_cr(self, encoding: str, chunk: int) -> None:
        signed = messages.entity(Content_Transfer_Encoding=encoding)
        signature = messages.signed_data(signed, key_pair("ACME"))
        sent = messages.multipart_signed(signed.replace(b"\r\n", b"\n"), signature)
        verified, payload = receive(message(sent), agreement(NOTHING), chunk)
        assert (verified.form, payload) == ("full-crlf", EDI.replace(b"\r\n", b"\n"))
        assert verified.mic.digest == hashlib.sha256(signed).digest()

    def test_a_binary_body_is_never_taken_for_text(self) -> None:
        signed = messages.entity()
        signature = messages.signed_data(signed, key_pair("ACME"))
        sent = messages.multipart_signed(signed.replace(b"\r\n", b"\n"), signature)
        with pytest.raises(AS2SignatureBad):
            receive(message(sent), agreement(NOTHING))

    @pytest.mark.parametrize(
        "payload", [b"", b"\n", b"\r", b"\r\n", b"\0\n\r\r\n\n--signed-1x\r\n--signed-", b"--signed-1x"]
    )
    @pytest.mark.parametrize("chunk", [1, 2, 4096])
    def test_odd_payloads_come_out_as_they_were(self, payload: bytes, chunk: int) -> None:
        assert receive(message(build("sE", payload=payload)), chunk=chunk)[1] == payload


EXAMPLE = key_pair("EXAMPLE")


class TestRefusals:
    """The failures of facts and of the past; none reaches `processed`."""

    def refused(self, entity: bytes, error: type[PeerError], agreed: Agreement | None = None) -> PeerError:
        with pytest.raises(error) as caught:
            receive(message(entity), agreed)
        assert type(caught.value) is error
        return caught.value

    def test_k01_content_changed_after_signing(self) -> None:
        changed = build("s").replace(b"ORDERS", b"ORDERZ")
        self.refused(messages.encrypt(changed, EXAMPLE), AS2SignatureBad)

    def test_k02_signed_by_a_stranger(self) -> None:
        self.refused(build("csE", sender="MALLORY"), AS2SignerUnknown)

    def test_k03_signed_with_an_expired_certificate(self) -> None:
        expired = key_pair("ACME", days=-1)
        agreed = Agreement(
            messages.organization(), messages.partner(certificates=(expired.certificate,)), frozenset(Require)
        )
        refusal = self.refused(
            messages.encrypt(messages.sign(messages.entity(), expired), EXAMPLE), AS2SignerUnknown, agreed
        )
        assert "expired on 2026-11-20" in refusal.detail

    def test_k04_encrypted_to_another(self) -> None:
        refusal = self.refused(build("sE", recipient="ELSEWHERE"), AS2RecipientUnknown)
        assert f"{key_pair('ELSEWHERE').certificate.serial:x}" in refusal.detail
        assert f"{EXAMPLE.certificate.serial:x}" in refusal.detail

    @pytest.mark.parametrize("at", [-1, -17, -40, -300])
    def test_k05_garbled_ciphertext(self, at: int) -> None:
        entity = bytearray(build("sE"))
        entity[at] ^= 0x5A
        with pytest.raises((AS2DecryptFailed, AS2SignatureBad, AS2SignerUnknown)):
            receive(message(bytes(entity)))

    @pytest.mark.parametrize("keep", [0.2, 0.5, 0.9, 0.999])
    def test_k05_truncated(self, keep: float) -> None:
        entity = build("sE", payload=EDI * 20)
        with pytest.raises((AS2DecryptFailed, AS2MIMEMalformed)):
            receive(message(entity[: int(len(entity) * keep)]))

    def test_a_wrong_content_key_looks_like_garbled_content(self) -> None:
        der = bytearray(messages.enveloped_data(build("s"), EXAMPLE))
        at = der.index(bytes.fromhex("04820100")) + 50  # inside the encrypted content key of 256 octets
        der[at] ^= 1
        self.refused(messages.smime("enveloped-data", bytes(der)), AS2DecryptFailed)

    def test_k06_damaged_compression_inside_a_signature(self) -> None:
        broken = messages.smime("compressed-data", messages.compressed_data(b"\x78\x9cnonsense"))
        self.refused(messages.encrypt(messages.sign(broken, key_pair("ACME")), EXAMPLE), AS2DecompressFailed)

    def test_k06_damaged_compression_that_nobody_signed_looks_like_a_failed_decryption(self) -> None:
        broken = messages.smime("compressed-data", messages.compressed_data(b"\x78\x9cnonsense"))
        self.refused(messages.encrypt(broken, EXAMPLE), AS2DecryptFailed)
        self.refused(broken, AS2DecompressFailed, agreement(NOTHING))

    @pytest.mark.parametrize("size", [9_000_000, 11_000_000])
    def test_k06_a_zlib_bomb(self, size: int) -> None:
        bomb = messages.compress(messages.entity(bytes(size)))
        self.refused(bomb, AS2DecompressFailed, agreement(NOTHING))

    def test_k07_compressed_twice(self) -> None:
        self.refused(build("ccsE"), AS2DecompressFailed)
        self.refused(build("csc"), AS2DecompressFailed, agreement(NOTHING))

    def test_k08_less_than_agreed(self) -> None:
        self.refused(build("E"), AS2DecryptFailed)  # see TestOracles
        self.refused(build("s"), AS2SecurityTooLow)
        self.refused(build(""), AS2SecurityTooLow)

    @pytest.mark.parametrize("layers", ["EE", "Es", "ss", "EsE", "EcE"])
    def test_layers_in_an_order_that_as2_lacks(self, layers: str) -> None:
        with pytest.raises((AS2MIMEMalformed, AS2DecryptFailed)):
            receive(message(build(layers)), agreement(NOTHING))

    def test_weak_algorithms_need_a_relaxation(self) -> None:
        self.refused(build("sE", digest="sha1"), AS2SecurityTooLow)
        self.refused(build("sE", cipher="des3"), AS2SecurityTooLow)

    def test_a_signature_without_signers(self) -> None:
        empty = cms.ContentInfo(
            {
                "content_type": "signed_data",
                "content": {
                    "version": "v1",
                    "digest_algorithms": [{"algorithm": "sha256"}],
                    "encap_content_info": {"content_type": "data"},
                    "signer_infos": [],
                },
            }
        ).dump()
        self.refused(messages.multipart_signed(messages.entity(), empty), AS2SignerUnknown, agreement(NOTHING))

    def test_the_certificate_inside_the_message_is_no_proof(self) -> None:
        stranger = key_pair("MALLORY")
        signature = messages.signed_data(messages.entity(), stranger)
        assert stranger.certificate.der in signature
        self.refused(messages.multipart_signed(messages.entity(), signature), AS2SignerUnknown, agreement(NOTHING))

    def test_attributes_as_content_are_no_signature(self) -> None:
        """RFC 8933: the signature over attributes, presented as a signature over content that is those attributes."""
        pair = key_pair("ACME")
        signature = cms.ContentInfo.load(messages.signed_data(messages.entity(), pair))
        signer = signature["content"]["signer_infos"][0]
        content = signer["signed_attrs"].untag().dump(force=True)
        del signer["signed_attrs"]
        forged = messages.multipart_signed(content, signature.dump(force=True))
        with pytest.raises(AS2SignatureBad, match="SET of attributes"):
            receive(message(forged), agreement(NOTHING))

    def test_a_content_type_that_is_not_understood_is_never_processed(self) -> None:
        digested = cms.ContentInfo({"content_type": "digested_data", "content": None}).dump()
        self.refused(messages.smime("enveloped-data", digested), AS2MIMEMalformed, agreement(NOTHING))

    def test_k20_mime_that_is_malformed(self) -> None:
        for body in (
            b"Content-Type: multipart/signed; micalg=sha256\r\n\r\nno boundary",
            b'Content-Type: multipart/signed; boundary="b"\r\n\r\n--b\r\n\r\nx\r\n--b--\r\n',
            b'Content-Type: multipart/signed; boundary="b"\r\n\r\nnothing',
            b'Content-Type: multipart/signed; boundary="b"\r\n\r\n' + b"--b\r\n\r\n1\r\n" * 3 + b"--b--\r\n",
            b"Content-Type: text/plain\r\nContent-Transfer-Encoding: x-own\r\n\r\nx",
            b"Content-Type: application/pkcs7-mime\r\n\r\n",
        ):
            self.refused(body, AS2MIMEMalformed, agreement(NOTHING))


class TestOracles:
    """What a holder of a captured message may not learn by sending parts of it (RFC 3218)."""

    def envelope(self, ciphertext: bytes, like: bytes) -> bytes:
        """The envelope `like`, with another ciphertext in it."""
        parsed = cms.ContentInfo.load(like)
        parsed["content"]["encrypted_content_info"]["encrypted_content"] = ciphertext
        return messages.smime("enveloped-data", parsed.dump(force=True))

    def captured(self) -> tuple[bytes, bytes]:
        der = messages.enveloped_data(build("s"), EXAMPLE)
        content = cms.ContentInfo.load(der)["content"]["encrypted_content_info"]["encrypted_content"].native
        return der, content

    def answers(self, tails: Iterator[bytes], prefix: bytes, der: bytes, behind: bytes = b"") -> set[type[PeerError]]:
        seen: set[type[PeerError]] = set()
        for tail in tails:
            sent = message(self.envelope(prefix + tail, der) + behind)
            try:
                receive(sent, chunk=len(sent.body) - len(behind))
            except PeerError as refusal:
                seen.add(type(refusal))
            else:
                pytest.fail("accepted")
        return seen

    def guesses(self, block: bytes, iv: bytes = b"") -> Iterator[bytes]:
        """All last octets of the block before: one of them makes the padding good."""
        return (iv + bytes(15) + bytes([last]) + block for last in range(256))

    def test_good_and_bad_padding_of_two_blocks_look_alike(self) -> None:
        der, content = self.captured()
        assert self.answers(self.guesses(content[32:48]), b"", der) == {AS2DecryptFailed}

    def test_good_and_bad_padding_look_alike_with_octets_behind_the_value(self) -> None:
        der, content = self.captured()
        assert self.answers(self.guesses(content[32:48]), b"", der, behind=b"x" * 61) == {AS2DecryptFailed}

    def test_good_and_bad_padding_look_alike_behind_a_forged_header(self) -> None:
        """Whoever guesses the first block turns it into a header, so that the rest is an unsigned entity."""
        der, content = self.captured()
        algorithm = cms.ContentInfo.load(der)["content"]["encrypted_content_info"]["content_encryption_algorithm"]
        guessed, wanted = build("s")[:16], b"content-a:b\n\nxxx"
        iv = bytes(a ^ b ^ c for a, b, c in zip(algorithm["parameters"].native, guessed, wanted, strict=True))
        parsed = cms.ContentInfo.load(der)
        parsed["content"]["encrypted_content_info"]["content_encryption_algorithm"]["parameters"] = iv
        assert self.answers(self.guesses(content[32:48]), content[:16], parsed.dump(force=True)) == {AS2DecryptFailed}

    def test_where_nobody_can_have_changed_the_content_the_cause_is_told(self) -> None:
        entity = messages.with_authenticated_attributes(messages.entity(), EXAMPLE)
        with pytest.raises(AS2SecurityTooLow):
            receive(message(messages.smime("authEnveloped-data", entity)))

    def test_good_and_bad_padding_look_alike_behind_a_whole_message(self) -> None:
        der, content = self.captured()
        assert self.answers(self.guesses(content[32:48], iv=bytes(16)), content, der) == {AS2DecryptFailed}


@pytest.mark.parametrize("layers", ["E", "sE", "c"])
def test_octets_behind_a_value_are_refused_alike_however_they_come(layers: str) -> None:
    entity = build(layers) + b"\0"
    seen = set()
    for chunk in (1, 17, 1000, 1 << 20):
        with pytest.raises(PeerError) as caught:
            receive(message(entity), agreement(NOTHING), chunk)
        seen.add(type(caught.value))
    assert len(seen) == 1


class TestOneReading:
    """What somebody else could read otherwise."""

    def test_two_boundaries_are_none(self) -> None:
        entity = build("s").replace(b'boundary="signed-1"', b'boundary="signed-1"; boundary="other"')
        with pytest.raises(AS2MIMEMalformed):
            receive(message(entity), agreement(NOTHING))

    def test_of_other_parameters_the_first_one_counts(self) -> None:
        assert ContentType.parse("text/plain; name=a; name=b").parameters["name"] == "a"

    @pytest.mark.parametrize("name", ["Content_Type", "Content_Disposition"])
    def test_a_field_that_describes_the_body_has_its_length(self, name: str) -> None:
        long = messages.entity(EDI, **{name: f"application/x;{' ' * 5000}a=b"})
        with pytest.raises(AS2MIMEMalformed):
            receive(message(messages.sign(long, key_pair("ACME"))), agreement(NOTHING))

    @pytest.mark.parametrize(
        "around", [(b"text\r\n", b""), (b"", b"\r\ntext"), (b"", b"")], ids=["before", "behind", "nothing"]
    )
    def test_what_is_passed_on_has_nothing_around_its_parts(self, around: tuple[bytes, bytes]) -> None:
        agreed = replace(agreement(NOTHING), passed_on=True)
        sent = message(build("s"))
        sent = replace(sent, body=around[0] + sent.body + around[1])
        if any(around):
            with pytest.raises(AS2MIMEMalformed):
                receive(sent, agreed)
            receive(sent, agreement(NOTHING))
        else:
            receive(sent, agreed)

    @pytest.mark.parametrize(
        ("of_the_multipart", "encoding"),
        [
            ('; boundary*="x"', ""),
            ("; boundary*0=sig; boundary*1=ned-1", ""),
            ("; micalg=sha-256; micalg=sha-512", ""),
            ("; a=(b)", ""),
            ('; a="b', ""),
            ('; a="b; boundary=x"; c="', ""),
            (r'; a="b\"; boundary=other; c="d"', ""),
            ("; a", ""),
            ("", "quoted-printable"),
            ("", '"base64"'),
            ("", "binary (a comment)"),
            ("", "x-unknown"),
        ],
    )
    def test_what_is_passed_on_as_a_multipart_has_one_reading(self, of_the_multipart: str, encoding: str) -> None:
        sent = message(build("s"))
        fields = {
            name: f"{value}{of_the_multipart}" if name == "Content-Type" else value for name, value in sent.fields
        }
        if encoding:
            fields["Content-Transfer-Encoding"] = encoding
        sent = replace(sent, fields=tuple(fields.items()))
        with pytest.raises(AS2MIMEMalformed):
            receive(sent, replace(agreement(NOTHING), passed_on=True))

    @pytest.mark.parametrize("encoding", ["binary", "8BIT", "7bit"])
    @pytest.mark.parametrize("parameters", ["", ";", " ; x=y z ;", '\t;charset="a;b (c)"', "; format=a/b=c:d?"])
    def test_what_is_passed_on_may_be_spelled_as_products_do(self, parameters: str, encoding: str) -> None:
        sent = message(build("s"))
        fields = {name: f"{value}{parameters}" if name == "Content-Type" else value for name, value in sent.fields}
        fields["Content-Transfer-Encoding"] = encoding
        receive(replace(sent, fields=tuple(fields.items())), replace(agreement(NOTHING), passed_on=True))

    def test_what_is_passed_on_has_nothing_before_its_cms(self) -> None:
        sent = message(build("sE"))
        sent = replace(sent, body=b"This is a message.\r\n" + sent.body)
        receive(sent)
        with pytest.raises(AS2MIMEMalformed):
            receive(sent, replace(agreement(), passed_on=True))


class TestQuirks:
    """What real senders do, by the rows of the project's table of quirks."""

    def test_a_payload_without_a_mime_header_inside_the_envelope(self) -> None:
        assert receive(message(messages.encrypt(EDI, EXAMPLE)), agreement(NOTHING))[1] == EDI
        una = b"UNA:+.? '\r\n" + EDI
        assert receive(message(messages.encrypt(una, EXAMPLE)), agreement(NOTHING))[1] == una

    def test_a_base64_payload_is_hashed_encoded_and_delivered_decoded(self) -> None:
        encoded = base64.encodebytes(EDI)
        inner = messages.entity(encoded, Content_Transfer_Encoding="base64")
        verified, payload = receive(message(messages.encrypt(messages.sign(inner, key_pair("ACME")), EXAMPLE)))
        assert payload == EDI
        assert verified.mic.digest == hashlib.sha256(inner).digest()

    def test_quoted_printable(self) -> None:
        inner = messages.entity(b"caf=C3=A9 =\r\nbar=3D\r\n", Content_Transfer_Encoding="quoted-printable")
        assert (
            receive(message(messages.sign(inner, key_pair("ACME"))), agreement(NOTHING), 3)[1]
            == b"caf\xc3\xa9 bar=\r\n"
        )

    def test_line_ends_behind_the_der(self) -> None:
        enveloped = messages.enveloped_data(build("s"), EXAMPLE) + b"\r\n\n"
        assert receive(message(messages.smime("enveloped-data", enveloped)), chunk=5)[1] == EDI

    def test_a_binary_signature_part(self) -> None:
        signed = messages.entity()
        signature = messages.signed_data(signed, key_pair("ACME"))
        part = messages.entity(signature, "application/x-pkcs7-signature")
        body = b"--b\r\n" + signed + b"\r\n--b\r\n" + part + b"\r\n--b--"
        sent = message(messages.entity(body, "MULTIPART/Signed;\tBOUNDARY=b"))
        assert receive(sent, agreement(NOTHING), 9)[1] == EDI

    def test_preamble_epilogue_and_blanks_behind_a_boundary(self) -> None:
        entity = build("s").replace(b"\r\n\r\n--signed-1\r\n", b"\r\n\r\nThis is S/MIME.\r\n--signed-1 \t\r\n", 1)
        assert receive(message(entity + b"epilogue\r\n"), agreement(NOTHING), 10)[1] == EDI

    def test_a_signer_by_subject_key_identifier(self) -> None:
        signed = messages.entity()
        signature = messages.signed_data_by_openssl(signed, key_pair("ACME"), "sha256", "-keyid", "-nocerts")
        assert receive(message(messages.multipart_signed(signed, signature)), agreement(NOTHING))[1] == EDI

    def test_a_recipient_by_subject_key_identifier(self) -> None:
        enveloped = messages.openssl("-encrypt", "-aes256", "-keyid", stdin=build("s"), recipient=EXAMPLE)
        assert receive(message(messages.smime("enveloped-data", enveloped)))[1] == EDI

    def test_a_whole_multipart_is_one_document(self) -> None:
        related = messages.entity(b"--r\r\nContent-Type: a/b\r\n\r\n1\r\n--r--\r\n", 'multipart/related; boundary="r"')
        verified, payload = receive(message(messages.sign(related, key_pair("ACME"))), agreement(NOTHING))
        assert verified.content_type == 'multipart/related; boundary="r"'
        assert payload == messages.split(related)[1]


@pytest.fixture(scope="module")
def whole() -> Sent:
    return message(build("csE", payload=EDI * 3))


FUZZ = settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])


@FUZZ
@given(data=st.data())
def test_no_mutation_of_a_message_yields_other_content(whole: Sent, data: st.DataObject) -> None:
    body = bytearray(whole.body)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(body) - 1))
        match data.draw(st.sampled_from(["flip", "cut", "insert", "truncate"])):
            case "flip":
                body[at] ^= data.draw(st.integers(1, 255))
            case "cut":
                del body[at + 1 : at + data.draw(st.integers(2, 64))]
            case "insert":
                body[at:at] = data.draw(st.binary(min_size=1, max_size=32))
            case "truncate":
                del body[at + 1 :]
    try:
        _, payload = receive(Sent(whole.fields, bytes(body)), chunk=data.draw(st.integers(1, 5000)))
    except PeerError:
        return
    assert payload == EDI * 3


@FUZZ
@given(
    content_type=st.sampled_from(
        ["application/pkcs7-mime", 'multipart/signed; boundary="b"', "text/plain", "multipart/signed; boundary=", ""]
    ),
    body=st.one_of(
        st.binary(max_size=400),
        st.lists(
            st.sampled_from(
                [b"--b", b"--b--", b"\r\n", b"\n", b"Content-Type: application/pkcs7-mime", b"\r\n\r\n", b"\x30\x80",
                 b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x03", b"\xa0\x80", b"\x30\x82\xff\xff", b"\0\0", b"MIAG",
                 b"\x24\x80", b"\x04\x01"]
            ),
            max_size=40,
        ).map(b"".join),
    ),
    chunk=st.integers(1, 50),
)  # fmt: skip
def test_any_bytes_raise_only_errors_of_the_taxonomy(content_type: str, body: bytes, chunk: int) -> None:
    fields = (*message(messages.entity()).fields, ("Content-Type", content_type))
    fields = tuple(field for field in fields if field != ("Content-Type", "application/EDIFACT"))
    with suppress(PeerError):
        receive(Sent(fields, body), agreement(NOTHING), chunk)


def test_a_renewed_certificate_with_the_same_key_verifies_though_the_old_one_is_named() -> None:
    old, new = messages.key_pair("ACME", days=-1), messages.renewed(messages.key_pair("ACME", days=-1))
    signed = messages.sign(messages.entity(), old)
    partner = messages.partner(certificates=(old.certificate, new))
    verified, _ = receive(message(signed), Agreement(messages.organization(), partner, NOTHING))
    assert verified.signer == new


ENDED, TO_COME = Dates(retire_after=NOW - DAY), Dates(active_from=NOW + DAY)


@pytest.mark.parametrize(("dates", "why"), [(ENDED, "retired on 2026-11-20"), (TO_COME, "in use from 2026-11-22")])
def test_a_certificate_verifies_between_its_dates_only(dates: Dates, why: str) -> None:
    old, new = messages.key_pair("ACME"), messages.key_pair("ACME renewed")
    partner = messages.partner(certificates=(old.certificate, new.certificate))
    partner = replace(partner, dates=((old.certificate.sha256, dates),))
    agreed = Agreement(messages.organization(), partner, NOTHING)
    verified, _ = receive(message(messages.sign(messages.entity(), new)), agreed)
    assert verified.signer == new.certificate
    signed = messages.sign(messages.entity(), old)
    for layered in (signed, messages.encrypt(signed, key_pair("EXAMPLE"))):
        with pytest.raises(AS2SignerUnknown, match=f"registered, but {why}"):
            receive(message(layered), agreed)


def test_a_retired_certificate_is_none_where_its_key_is_in_another_one() -> None:
    old = messages.key_pair("ACME")
    new = messages.renewed(old)
    partner = messages.partner(certificates=(old.certificate, new))
    partner = replace(partner, dates=((old.certificate.sha256, ENDED),))
    signed = messages.sign(messages.entity(), old)
    verified, _ = receive(message(signed), Agreement(messages.organization(), partner, NOTHING))
    assert verified.signer == new


def test_what_lies_around_the_content_is_bounded() -> None:
    endless = bytes.fromhex("3080 06092a864886f70d010703 a080 3080 020100 3180") + bytes.fromhex("30800000") * 100_000
    signer = cms.ContentInfo.load(messages.signed_data(messages.entity(), key_pair("ACME")))
    signer["content"]["signer_infos"] = [signer["content"]["signer_infos"][0].copy() for _ in range(20)]
    many = messages.multipart_signed(messages.entity(), signer.dump(force=True))
    for entity in (messages.smime("enveloped-data", endless), many):
        with pytest.raises(AS2MIMEMalformed, match=r"over the limit|signers"):
            receive(message(entity), agreement(NOTHING), 60_000)


def test_nested_octet_strings_are_bounded() -> None:
    nested = b"\x04\x00"
    for _ in range(2000):
        nested = encode(0x24, nested)
    with pytest.raises(AS2MIMEMalformed, match="too deeply"):
        Element.parse(nested).octets()


def test_nesting_is_bounded() -> None:
    for bomb in (b"\x30\x80" * 100_000, b"\x30\x80\x06\x09" + b"\x24\x80" * 50_000):
        with pytest.raises(AS2MIMEMalformed):
            receive(message(messages.smime("enveloped-data", bomb)), agreement(NOTHING), 1000)


def test_a_length_that_lies_is_refused() -> None:
    for der in (
        bytes.fromhex("30 84 ff ff ff ff 06 03 2a 03 04"),
        bytes.fromhex("30 89 01 00 00 00 00 00 00 00 00"),
        bytes.fromhex("30 05 06 09 2a 86 48 86 f7 0d 01 07 03"),
        bytes.fromhex("30 ff"),
    ):
        with pytest.raises(AS2MIMEMalformed):
            receive(message(messages.smime("enveloped-data", der)), agreement(NOTHING), 1)
