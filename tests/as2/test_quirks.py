"""What real senders do with AS2 headers, MIME, CMS and MDNs, a test a row; tests/test_rows.py lists all rows."""

import base64
import hashlib
from collections.abc import Callable

import pytest
from asn1crypto import cms, core, parser

from mtlsd.as2.agreement import Agreement
from mtlsd.as2.headers import AS2Headers, AS2Name, algorithm_of
from mtlsd.as2.mdn.pyas2 import ReceivedMDN, read_mdn
from mtlsd.as2.mime.multipart_signed import verify_detached
from mtlsd.errors import (
    AS2DecompressFailed,
    AS2DecryptFailed,
    AS2MessageIDInvalid,
    AS2MIMEMalformed,
    AS2SecurityTooLow,
)
from mtlsd.handlers.as2.filenames import filename_of
from mtlsd.pki.key_pair import KeyPair
from tests.as2.test_receiver import NOTHING, agreement, receive
from tests.support import messages
from tests.support.messages import EDI, NOW, Sent, build, key_pair, message

ACME, EXAMPLE = key_pair("ACME"), key_pair("EXAMPLE")
ENTITY = messages.entity()


def signed(signature: bytes | None = None, **options: str) -> bytes:
    """A signed message, its multipart changed as the options say."""
    return messages.multipart_signed(ENTITY, signature or messages.signed_data(ENTITY, ACME), **options)


def received(entity: bytes, chunk: int = 7) -> bytes:
    """The payload of a message that nobody required anything of."""
    return receive(message(entity), agreement(NOTHING), chunk)[1]


# --- AS2 headers and MDN request --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spelled", "value"),
    [
        ("ACME", "ACME"),
        ('"ACME"', "ACME"),
        ('"A C ME"', "A C ME"),
        ("AS 2", "AS"),
        (r'"q\"q\\"', 'q"q\\'),
        ("ends;", "ends;"),
        ("<x>", "<x>"),
        ("a,b", "a,b"),
        ("#x!", "#x!"),
    ],
)
def test_row_names_quoted_or_not_and_cut_at_the_first_blank(spelled: str, value: str) -> None:
    name = AS2Name.parse(f" {spelled}\t")
    assert (name.value, name.spelled) == (value, spelled)


def headers(**fields: str) -> AS2Headers:
    """The header of a message with these fields, their names in lower case."""
    plain = message(ENTITY, mdn="", **fields)
    return AS2Headers.parse([(name.lower(), value) for name, value in plain.fields])


@pytest.mark.parametrize(
    "message_id",
    [
        "test",
        "<no-at>",
        "<order 7_bare lf (1).txt>",
        "<../..\\|:*?@x>",
        f"<{'x' * 996}>",
        "1@x",
        "<OPENAS2-01012026-1@My Company_Your, Company>",
        '<"a"@b>',
        "<\xe4@b>",
    ],
)
def test_row_message_id_of_any_form(message_id: str) -> None:
    parsed = headers(Message_ID=message_id)
    parsed.check()
    assert parsed.message_id == message_id


@pytest.mark.parametrize(
    "message_id",
    [
        "<a@b> <c@d>",
        "<a@b>,<c@d>",
        "<a@b><c@d>",
        "a@b c@d",
        "a@b, c@d",
        "<a@b> (a comment)",
        "(a comment) <a@b>",
        "a@b(comment)",
        "<a@b",
        "a@b>",
        "<<a@b>>",
        "<a<b@c>",
        "a<b@c>",
        "<>",
        '"<a@b>"',
        '"a@b"',
        "<a\tb@c>",
        "<a\x00@b>",
        "<a\x7f@b>",
        "<a\x85X-Partner: other@b>",  # a line end of Latin-1 and of Unicode
        f"<{'x' * 997}>",
    ],
)
def test_a_message_id_that_can_be_read_in_two_ways_is_refused(message_id: str) -> None:
    with pytest.raises(AS2MessageIDInvalid):
        headers(Message_ID=message_id).check()


@pytest.mark.parametrize("octet", ["\x85", "\xa0"])
def test_an_octet_of_utf_8_at_the_end_is_no_blank(octet: str) -> None:
    name = f"\xc3{octet}"  # "Å" and "à"
    parsed = headers(AS2_From=name, Message_ID=f"1@{name[:-1]}\xa0")
    assert parsed.as2_from.value == name.encode("latin-1").decode()
    assert parsed.message_id.endswith("\xa0")


@pytest.mark.parametrize(
    ("spelled", "proved"),
    [
        ("ALPHA", "ALPHA"),
        ("ALPHA CORP", "ALPHA"),
        ("ALPHA  ", "ALPHA"),
        ('"ALPHA"', '"ALPHA"'),
        ('"ALPHA CORP"', '"ALPHA CORP"'),
        (r'"AL\"PHA CORP"', r'"AL\"PHA CORP"'),
        ('"ALPHA" CORP', r'"\"ALPHA\""'),
        ('AL"PHA CORP', r'"AL\"PHA"'),
    ],
)
def test_what_we_say_of_a_name_is_what_we_read(spelled: str, proved: str) -> None:
    name = AS2Name.parse(spelled)
    assert name.as_proved == proved
    assert AS2Name.parse(name.as_proved).value == name.value


PROTOCOL = "signed-receipt-protocol=optional,pkcs7-signature"


@pytest.mark.parametrize(
    ("options", "algorithms"),
    [
        (f"signed-receipt-micalg=optional,sha1;{PROTOCOL}", ["sha1"]),
        (f"{PROTOCOL};", []),
        (PROTOCOL, []),
        (f"{PROTOCOL};\tsigned-receipt-micalg=optional,sha256", ["sha256"]),
        (f"{PROTOCOL}; signed-receipt-micalg=optional,md5,sha-512,sha1", ["sha-512", "sha1"]),
        (f'{PROTOCOL}; signed-receipt-micalg="optional","sha256"', ["sha256"]),
        (f"{PROTOCOL}; signed-receipt-micalg=optional, sha256 , sha1 ;", ["sha256", "sha1"]),
        (f"{PROTOCOL}; SIGNED-RECEIPT-MICALG=OPTIONAL,SHA256".upper(), ["SHA256"]),
        ("signed-receipt-protocol=pkcs7-signature; signed-receipt-micalg=sha1", ["sha1"]),
        ("signed-receipt-protocol=pkcs7-signature,optional;signed-receipt-micalg=sha1,optional", ["sha1"]),
        ("signed-receipt-micalg=sha384", ["sha384"]),
        ("signed-receipt-micalg=s h a 1, sha\t256, sha.512", ["sha1", "sha-256"]),
    ],
)
def test_row_options_in_every_order_and_spelling(options: str, algorithms: list[str]) -> None:
    parsed = headers(Disposition_Notification_Options=options)
    parsed.check()
    assert parsed.receipt
    assert parsed.receipt.signed
    assert [label for _, label in parsed.receipt.algorithms] == algorithms


@pytest.mark.parametrize(
    ("ours", "labels"),
    [
        ("sha1", ["sha1", "sha-1", "SHA1", "SHA", "rsa-sha1", '"sha1"', "SHA-1"]),
        ("sha256", ["sha256", "sha-256", "SHA256", "sha2-256", "rsa-sha256", "SHA_256"]),
        ("sha512", ["sha512", "sha-512", "sha2-512"]),
    ],
)
def test_row_micalg_in_every_spelling(ours: str, labels: list[str]) -> None:
    assert {algorithm_of(label) for label in labels} == {ours}


@pytest.mark.parametrize(
    "url",
    [
        "https://acme.example/mdn?partner=EXAMPLE&x=1;y",
        "https://acme.example/" + "x" * 300,
        "http://acme.example:4080/mdn",
        "https://[2001:db8::1]/mdn",
    ],
)
def test_row_receipt_delivery_option_is_read_whole(url: str) -> None:
    parsed = headers(Receipt_Delivery_Option=url)
    assert parsed.receipt
    assert parsed.receipt.target == url


# --- MIME and CMS -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encode", [False, True], ids=["binary", "base64"])
@pytest.mark.parametrize("encoding", ["", "7bit", "8bit", "binary", "base64", "quoted-printable", "x-unknown"])
def test_row_outer_cms_in_binary_or_base64_whatever_the_transfer_encoding_says(encode: bool, encoding: str) -> None:
    entity = messages.smime("enveloped-data", messages.enveloped_data(build("s"), EXAMPLE), encode=encode)
    header, _, body = entity.partition(b"Content-Transfer-Encoding: ")
    rest = body.partition(b"\r\n")[2]
    field = f"Content-Transfer-Encoding: {encoding}\r\n".encode() if encoding else b""
    assert received(header + field + rest) == EDI


def test_row_a_missing_transfer_encoding_means_binary() -> None:
    payload = b"lone \n and \r and \r\n and \x00\xff"
    inner = messages.entity(payload)
    verified, got = receive(message(messages.sign(inner, ACME)), agreement(NOTHING), 3)
    assert (got, verified.form) == (payload, "raw")
    assert verified.mic.digest == hashlib.sha256(inner).digest()


def test_row_bare_line_feeds_in_the_base64_of_the_signature() -> None:
    head, _, part = signed().rpartition(b"\r\n--signed-1\r\n")
    assert received(head + b"\r\n--signed-1\r\n" + part.replace(b"\r\n", b"\n")) == EDI


@pytest.mark.parametrize("encoding", ["7bit", "8bit"])
def test_row_bare_line_feeds_everywhere(encoding: str) -> None:
    inner = messages.entity(Content_Transfer_Encoding=encoding)
    head, _, body = messages.sign(inner, ACME).partition(b"\r\n\r\n")
    verified, got = receive(message(head + b"\r\n\r\n" + body.replace(b"\r\n", b"\n")), agreement(NOTHING), 5)
    assert (got, verified.form) == (EDI.replace(b"\r\n", b"\n"), "full-crlf")
    assert verified.mic.digest == hashlib.sha256(inner).digest()


@pytest.mark.parametrize(
    "preamble",
    [
        b"Date: Sat, 21 Nov 2026 12:00:00 GMT\r\n\r\n",
        b"This is an S/MIME signed message\r\n\r\n",
        b"\r\n",
        b"",
        b'Content-Type: multipart/signed; protocol="application/pkcs7-signature"; boundary="signed-1"\r\n\r\n',
    ],
)
def test_row_a_preamble_or_the_header_once_more_in_the_body(preamble: bytes) -> None:
    head, _, body = signed().partition(b"\r\n\r\n")
    assert received(head + b"\r\n\r\n" + preamble + body) == EDI


PREAMBLES = [
    b"Date: Sat, 21 Nov 2026 12:00:00 GMT\r\n\r\n",
    b"This is an S/MIME signed message\r\n\r\n",
    b"Content-Type: application/pkcs7-mime;\r\n\tname=smime.p7m\r\nContent-Transfer-Encoding: base64\r\n\r\n",
    b"MIME-Version: 1.0\nContent-Type: application/pkcs7-mime\n\n",
    b"\r\n\r\nM\xc3\xbcller sends you this.\r\n",
]


@pytest.mark.parametrize("encode", [False, True], ids=["binary", "base64"])
@pytest.mark.parametrize("layers", ["sE", "c"])
@pytest.mark.parametrize("preamble", PREAMBLES)
@pytest.mark.parametrize("chunk", [1, 7, 1 << 20])
def test_row_a_preamble_or_the_header_once_more_before_the_outermost_cms(
    encode: bool, layers: str, preamble: bytes, chunk: int
) -> None:
    body = messages.split(build(layers))[1]
    body = base64.encodebytes(body) if encode else body
    assert received(messages.entity(preamble + body, "application/pkcs7-mime"), chunk) == EDI


@pytest.mark.parametrize("chunk", [1, 7, 1 << 20])
def test_row_base64_in_one_line_has_no_preamble(chunk: int) -> None:
    body = base64.b64encode(messages.split(build("sE"))[1])
    assert received(messages.entity(body, "application/pkcs7-mime"), chunk) == EDI


@pytest.mark.parametrize("preamble", PREAMBLES)
def test_row_inside_an_envelope_a_cms_value_has_no_preamble(preamble: bytes) -> None:
    """What nobody signed and whoever holds no key can change says nothing, wherever it stands."""
    header, _, body = messages.compress(ENTITY).partition(b"\r\n\r\n")
    inside = header + b"\r\n\r\n" + preamble.lstrip() + body
    with pytest.raises(AS2DecryptFailed):
        received(messages.encrypt(inside, EXAMPLE))


@pytest.mark.parametrize("preamble", [b"This is an S/MIME signed message\r\n\r\n", b"Date: today\n\n"])
def test_row_inside_an_envelope_a_multipart_may_have_a_preamble_of_text(preamble: bytes) -> None:
    head, _, body = signed().partition(b"\r\n\r\n")
    assert received(messages.encrypt(head + b"\r\n\r\n" + preamble + body, EXAMPLE)) == EDI


@pytest.mark.parametrize("octet", [b"\x00", b"\x7f", b"\x80", b"\xff"])
def test_row_inside_an_envelope_a_preamble_is_no_place_for_spliced_blocks(octet: bytes) -> None:
    """Blocks of ciphertext that are put there decrypt to anything; if that were read over, it could be guessed at."""
    head, _, body = signed().partition(b"\r\n\r\n")
    spliced = head + b"\r\n\r\n" + b"sixteen octets " + octet + b"\r\n" + body
    assert received(spliced) == EDI
    with pytest.raises(AS2DecryptFailed):
        received(messages.encrypt(spliced, EXAMPLE))


def test_row_what_a_preamble_says_is_believed_nowhere() -> None:
    """Each MIME part has its own header: one that is repeated in the body decodes nothing and names nothing."""
    again = b"Content-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename=other.edi\r\n\r\n"
    entity = messages.entity(again + messages.split(build("sE"))[1], "application/pkcs7-mime")
    verified, payload = receive(message(entity), agreement(NOTHING))
    assert (payload, verified.disposition) == (EDI, 'attachment; filename="order.edi"')


def test_row_a_document_that_begins_like_a_header_is_delivered_whole() -> None:
    document = b"Content-Type: application/EDIFACT\r\n\r\n" + EDI
    assert received(messages.sign(messages.entity(document), ACME)) == document


@pytest.mark.parametrize("preamble", [b"x" * 70_000, b"x\r\n" * 30_000, b"\x00\r\n", b"M\x00\r\n"])
def test_row_a_preamble_is_text_and_has_an_end(preamble: bytes) -> None:
    with pytest.raises((AS2MIMEMalformed, AS2DecryptFailed)):
        received(messages.entity(preamble + messages.split(build("c"))[1], "application/pkcs7-mime"), 4096)


def quoted_mail(line: bytes) -> bytes:
    return b" " + line + b"\r\n"


HIDDEN: dict[str, Callable[[bytes], bytes]] = {
    "behind blanks": quoted_mail,
    "behind a tab": lambda line: b"\t" + line + b"\r\n",
    "before a letter of no base64": lambda line: line + b"!\r\n",
    "among such letters": lambda line: b"-".join(bytes([each]) for each in line) + b"\r\n",
    "a letter a line": lambda line: b"".join(b" %c\n" % each for each in line),
    "behind a greeting": lambda line: b"Hello:\n\n " + line + b"\n",
}


@pytest.mark.parametrize("length", [b"\x80", b"\x81\xf0", b"\x82\x02\x00"], ids=["indefinite", "1", "2"])
@pytest.mark.parametrize("way", HIDDEN)
def test_row_a_preamble_that_could_be_read_as_another_cms_value_is_refused(way: str, length: bytes) -> None:
    """A backend that gets the message and reads base64 more kindly must not find a document that nobody verified."""
    content_type = core.ObjectIdentifier("1.2.840.113549.1.7.2").dump()
    lines = base64.encodebytes(b"\x30" + length + content_type + bytes(60)).splitlines()
    preamble = b"".join(map(HIDDEN[way], lines))
    with pytest.raises(AS2MIMEMalformed, match="another CMS value"):
        received(messages.entity(preamble + messages.split(build("sE"))[1], "application/pkcs7-mime"), 7)


@pytest.mark.parametrize("text", ["MIME is used here", "M", "MESSAGE FOLLOWS"])
def test_row_a_preamble_that_only_looks_a_little_like_it_is_read_over(text: str) -> None:
    preamble = f"  {text}:\r\n".encode()
    assert received(messages.entity(preamble + messages.split(build("sE"))[1], "application/pkcs7-mime")) == EDI


@pytest.mark.parametrize(
    "encoding", ['"base64"', "base64 (x)", "(x) base64", "BASE64;", " Base64\t", '"base64" (RFC 2045)', "base64 ()"]
)
def test_row_a_transfer_encoding_with_a_comment_or_in_quotes(encoding: str) -> None:
    inner = messages.entity(base64.encodebytes(EDI), Content_Transfer_Encoding=encoding)
    assert received(messages.sign(inner, ACME)) == EDI


def test_row_a_transfer_encoding_that_nobody_knows_is_refused() -> None:
    inner = messages.entity(EDI, Content_Transfer_Encoding="base64 base64")
    with pytest.raises(AS2MIMEMalformed):
        received(messages.sign(inner, ACME))


@pytest.mark.parametrize(
    "header",
    [
        b"Content-Type:application/EDIFACT\r\n\r\n",
        b"content-TYPE :application/EDIFACT\r\nX-Own:1\r\n\r\n",
        b"CONTENT-TYPE: Application/Edifact\r\n\r\n",
        b"\r\n",
        b"Content-Type: application/EDIFACT;\r\n\tname=x.edi\r\n\r\n",
    ],
)
def test_row_a_part_with_odd_header_fields_or_none(header: bytes) -> None:
    inner = header + EDI
    verified, got = receive(message(messages.sign(inner, ACME)), agreement(NOTHING), 4)
    assert (got, verified.mic.digest) == (EDI, hashlib.sha256(inner).digest())


def test_row_a_part_without_header_or_blank_line() -> None:
    verified, got = receive(message(messages.sign(EDI, ACME)), agreement(NOTHING), 4)
    assert (got, verified.mic.digest) == (EDI, hashlib.sha256(EDI).digest())


def indefinite(der: bytes, depth: int) -> bytes:
    """The same value with indefinite lengths, down to a depth."""
    header: bytes
    contents: bytes
    header, contents = parser.parse(der)[3:5]
    if not depth or not header[0] & 0x20:
        return der
    children = []
    while contents:
        child = b"".join(parser.parse(contents)[3:])
        children.append(indefinite(child, depth - 1))
        contents = contents[len(child) :]
    return header[:1] + b"\x80" + b"".join(children) + b"\0\0"


@pytest.mark.parametrize("depth", [1, 3, 4])
def test_row_indefinite_lengths_in_the_signature(depth: int) -> None:
    signature = indefinite(messages.signed_data(ENTITY, ACME), depth)
    assert signature.startswith(b"\x30\x80")
    assert received(signed(signature)) == EDI


@pytest.mark.parametrize("order", [("ACME", "EXAMPLE"), ("EXAMPLE", "ACME")])
def test_row_several_recipients_the_originator_included(order: tuple[str, str]) -> None:
    parsed = [cms.ContentInfo.load(messages.enveloped_data(b"x", key_pair(name))) for name in order]
    whole = cms.ContentInfo.load(messages.enveloped_data(build("s"), EXAMPLE))
    ours = whole["content"]["recipient_infos"][0]
    theirs = parsed[order.index("ACME")]["content"]["recipient_infos"][0]
    both = {"ACME": theirs.copy(), "EXAMPLE": ours.copy()}
    whole["content"]["recipient_infos"] = [both[name] for name in order]
    assert received(messages.smime("enveloped-data", whole.dump(force=True))) == EDI


@pytest.mark.parametrize(
    "content_type",
    [
        "application/pkcs7-mime",
        "application/x-pkcs7-mime",
        "APPLICATION/PKCS7-Mime; SMIME-Type=Enveloped-Data",
        'application/pkcs7-mime;name=smime.p7m;smime-type="enveloped-data"',
        "application/pkcs7-mime; smime-type=signed-data",
        "application/pkcs7-mime;\tsmime-type=enveloped-data;",
    ],
)
def test_row_an_odd_or_missing_smime_type(content_type: str) -> None:
    assert received(messages.entity(messages.enveloped_data(build("s"), EXAMPLE), content_type)) == EDI


@pytest.mark.parametrize("layer", ["protocol", "micalg", "both", "x-pkcs7-signature"])
def test_row_multipart_signed_without_its_parameters(layer: str) -> None:
    entity = signed()
    if layer in ("protocol", "both"):
        entity = entity.replace(b'protocol="application/pkcs7-signature"; ', b"")
    if layer in ("micalg", "both"):
        entity = entity.replace(b"micalg=sha-256; ", b"")
    if layer == "x-pkcs7-signature":
        entity = entity.replace(b"application/pkcs7-signature", b"application/x-pkcs7-signature")
    assert entity != signed()
    assert received(entity) == EDI


def test_row_compressed_content_in_base64_is_refused() -> None:
    deflated = cms.ContentInfo.load(messages.split(messages.compress(ENTITY))[1])
    octets = deflated["content"]["encap_content_info"]["content"].native
    encoded = messages.smime("compressed-data", messages.compressed_data(base64.b64encode(octets)))
    with pytest.raises(AS2DecompressFailed):
        received(messages.sign(encoded, ACME))


def test_row_multipart_related_without_type_and_attachments_without_content_type() -> None:
    body = b"--r\r\n\r\n<order/>\r\n--r\r\nContent-Type: application/pdf\r\n\r\n%PDF\r\n--r--\r\n"
    related = messages.entity(body, "multipart/related; boundary=r")
    verified, got = receive(message(messages.encrypt(messages.sign(related, ACME), EXAMPLE)), chunk=11)
    assert (verified.content_type, got) == ("multipart/related; boundary=r", body)


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ('attachment; filename="order.edi""', "order.edi"),
        ('attachment; filename="or:der*?.edi"', "or:der*?.edi"),
        ("attachment; FILENAME = order.edi;", "order.edi"),
    ],
)
def test_row_file_names_with_a_quote_too_many_and_odd_characters(disposition: str, name: str) -> None:
    assert filename_of(disposition, "") == name


@pytest.mark.parametrize(
    "boundary",
    ["----=_Part_1(2)+'_,-./:=? x", "b" * 69 + "?", "=_" + "b" * 150, "--", "a.b*c"],
    ids=["specials", "70", "long", "dashes", "pattern"],
)
def test_row_a_boundary_with_extra_characters(boundary: str) -> None:
    assert received(signed(boundary=boundary)) == EDI


@pytest.mark.parametrize("change", ["line feed before", "blanks behind", "no last line end", "line ends behind"])
def test_row_a_boundary_with_wrong_line_ends(change: str) -> None:
    head, blank, body = signed().partition(b"\r\n\r\n")
    changes: dict[str, Callable[[bytes], bytes]] = {
        "line feed before": lambda each: each.replace(b"\r\n--signed-1", b"\n--signed-1"),
        "blanks behind": lambda each: each.replace(b"--signed-1\r\n", b"--signed-1 \t \r\n"),
        "no last line end": lambda each: each.removesuffix(b"\r\n"),
        "line ends behind": lambda each: each + b"\r\n\r\n",
    }
    changed = changes[change](body)
    assert changed != body
    assert received(head + blank + changed, 1) == EDI


@pytest.mark.parametrize("delimiter", ["b", "b ", "b \t"])
@pytest.mark.parametrize("chunk", [1, 1 << 20])
def test_row_a_boundary_with_blanks_at_its_end_inside_the_quotes(delimiter: str, chunk: int) -> None:
    """RFC 2046, section 5.1.1: a boundary ends with no blank; those who give one may write the lines without it."""
    head, blank, body = signed(boundary=delimiter).partition(b"\r\n\r\n")
    declared = head.replace(f'boundary="{delimiter}"'.encode(), b'boundary="b \t"')
    assert received(declared + blank + body, chunk) == EDI


def test_row_a_lone_cr_ends_no_line_before_a_boundary() -> None:
    """It may be content: nothing says where the signed part would end."""
    head, blank, body = signed().partition(b"\r\n\r\n")
    with pytest.raises(AS2MIMEMalformed):
        received(head + blank + body.replace(b"\r\n--signed-1\r\n", b"\r--signed-1\r\n"))


def test_row_a_detached_signature_has_no_content_of_its_own() -> None:
    """Two contents under one signature are two documents: others could read the one that we did not. See as2.md."""
    for content in (ENTITY, messages.entity(EDI.replace(b"ORDERS", b"INVOIC"))):
        with_content = messages.openssl("-sign", "-nodetach", stdin=content, signer=ACME)
        with pytest.raises(AS2MIMEMalformed):
            received(signed(with_content))


def test_row_an_empty_content_in_a_detached_signature_is_none() -> None:
    signature = cms.ContentInfo.load(messages.signed_data(ENTITY, ACME))
    signature["content"]["encap_content_info"]["content"] = core.OctetString(b"")
    assert received(signed(signature.dump(force=True))) == EDI


# --- Relaxations: refused, but for a partner whose `relax` has the name -----------------------------------------------


def relaxed(entity: bytes, *names: str, signer: KeyPair = ACME) -> bytes:
    """The payload, where the partner is excused from these."""
    partner = messages.partner(relax=frozenset(names), certificates=(signer.certificate,))
    return receive(message(entity), Agreement(messages.organization(), partner, NOTHING))[1]


def test_relax_sha1_for_signatures() -> None:
    entity = build("sE", digest="sha1")
    assert relaxed(entity, "sha1") == EDI
    with pytest.raises(AS2SecurityTooLow, match="sha1"):
        relaxed(entity, "3des", "rsa-1024")


def test_relax_3des_for_envelopes() -> None:
    entity = build("sE", cipher="des3")
    assert relaxed(entity, "3des") == EDI
    with pytest.raises(AS2SecurityTooLow, match="3des"):
        relaxed(entity, "sha1", "rsa-1024")


@pytest.mark.parametrize("attributes", [True, False])
def test_relax_rsa_1024_for_signatures(attributes: bool) -> None:
    old = key_pair("ACME of old", bits=1024)
    entity = messages.encrypt(messages.sign(ENTITY, old, attributes=attributes), EXAMPLE)
    assert relaxed(entity, "rsa-1024", signer=old) == EDI
    with pytest.raises(AS2SecurityTooLow, match="1024 bits"):
        relaxed(entity, "sha1", "3des", signer=old)


# --- MDN from partners ------------------------------------------------------------------------------------------------

MIC = base64.b64encode(hashlib.sha512(EDI).digest()).decode()
NOTIFICATION = f"""\
Final-Recipient: rfc822; SOMEBODY
original-message-ID: 1@example.com
Disposition: Automatic-action/mdn-sent-automatically;processed
Received-content-mic: {MIC[:60]}
 {MIC[60:]},sha512
""".replace("\n", "\r\n").encode()
REPORT_TYPE = "Multipart/Report; boundary=b"  # without report-type
PART = b"Content-type: Message/Disposition-Notification\r\n\r\n"
REPORT = b"--b\r\nContent-type: text/plain\r\n\r\nThanks.\r\n--b\r\n" + PART + NOTIFICATION + b"\r\n--b--\r\n"


def mdn(sent: Sent) -> ReceivedMDN:
    """What a partner's MDN says to us, with our own verifier."""
    return read_mdn(
        sent.fields,
        sent.body,
        verify=lambda fields, body: verify_detached(fields, body, [ACME.certificate], NOW),
        message_id="<1@example.com>",
        mic=MIC,
    )


def signed_mdn(signature_part: Callable[[bytes], bytes], content_type: str = "") -> Sent:
    """A signed MDN without Message-ID, its signature in a part made by the caller."""
    report = messages.entity(REPORT, REPORT_TYPE)
    body = b"--s\r\n" + report + b"\r\n--s\r\n" + signature_part(messages.signed_data(report, ACME)) + b"\r\n--s--"
    return Sent((("content-type", content_type or "Multipart/SIGNED; boundary=s"), ("as2-from", "ACME")), body)


def test_row_an_unsigned_mdn_with_every_quirk_at_once() -> None:
    said = mdn(Sent((("Content-type", REPORT_TYPE), ("AS2-FROM", '"ACME"')), REPORT))
    assert (said.confirmed, said.final_recipient, said.mic_algorithm) == (True, "SOMEBODY", "sha512")


@pytest.mark.parametrize(
    "part",
    [
        lambda der: messages.entity(der, "application/pkcs7-signature"),
        lambda der: messages.entity(der, "application/x-pkcs7-signature", Content_Transfer_Encoding="binary"),
        lambda der: messages.entity(base64.encodebytes(der), "Application/PKCS7-Signature; name=smime.p7s"),
        lambda der: messages.entity(base64.b64encode(der), "application/pkcs7-signature"),
        lambda der: b"\r\n" + der,
    ],
    ids=["no encoding", "binary", "line feeds", "one line", "no header"],
)
def test_row_the_signature_of_an_mdn_in_binary_or_base64(part: Callable[[bytes], bytes]) -> None:
    said = mdn(signed_mdn(part))
    assert said.signed
    assert said.confirmed


def test_row_an_mdn_whose_body_has_its_header_once_more() -> None:
    sent = signed_mdn(lambda der: messages.entity(der, "application/pkcs7-signature"))
    again = b"Content-Type: multipart/signed; boundary=s\r\nDate: today\r\n\r\n"
    assert mdn(Sent(sent.fields, again + sent.body)).confirmed
    assert mdn(Sent((("content-type", REPORT_TYPE),), b"Content-Type: multipart/report\r\n\r\n" + REPORT)).confirmed


def test_row_an_mdn_without_a_mic_is_read_and_confirms_nothing() -> None:
    report = REPORT.replace(b"Received-content-mic", b"X-Nothing")
    said = mdn(Sent((("content-type", REPORT_TYPE),), report))
    assert (said.disposition_type, said.mic, said.confirmed) == ("processed", None, False)
