"""The quirks of real senders, row by row, and the test that shows how each is met.

A row that cannot be met is refused, and its test shows that: a line without a colon, a blank before the colon, and a
control character are no HTTP, and h11 and we refuse them (docs/as2.md, "Not tolerated").
"""

import pytest

from tests.support.named import exists

HTTP = "tests/e2e/test_senders_have_quirks.py"
FRAMING = "tests/net/server/test_framing.py"
SAID = "tests/e2e/test_dispositions.py"
ASYNC = "tests/e2e/test_asynchronous_receipts.py"
QUIRKS = "tests/as2/test_quirks.py"
RECEIVER = "tests/as2/test_receiver.py"
PYAS2 = "tests/as2/mdn/test_pyas2.py"
CMS = "tests/interop/test_algorithms.py"

ROWS = {
    "HTTP: folded header fields": f"{HTTP}::test_h_02_folded_fields",
    "HTTP: a tab inside Content-Type": f"{HTTP}::test_h_03_a_tab_behind_a_semicolon",
    "HTTP: chunked and Content-Length": f"{HTTP}::test_h_06_both_framings_only_for_a_partner_who_is_excused",
    "HTTP: something behind the size of a chunk": f"{HTTP}::test_h_07_chunks_with_something_behind_their_size",
    "HTTP: Content-Length with leading zeros": f"{HTTP}::test_h_05_a_length_with_leading_zeros",
    "HTTP: Expect on every POST": f"{HTTP}::test_h_21_expect_100_continue",
    "HTTP: HTTP/1.0, no Host": f"{HTTP}::test_h_22_http_1_0_with_and_without_host",
    "HTTP: no length at all is 411": f"{FRAMING}::test_it_is_refused_and_the_connection_ends",
    "HTTP: anything in AS2 names": f"{HTTP}::test_names_with_all_that_products_put_into_them",
    "HTTP: names beyond ASCII": f"{HTTP}::test_names_beyond_ascii_are_nobody_s",
    "HTTP: a line without a colon, a blank before it": f"{HTTP}::test_row_a_line_that_is_no_field_is_refused_and_said",
    "HTTP: a control character": f"{SAID}::test_k14_a_control_character_in_the_message_id_is_no_http",
    "HTTP: HEAD": f"{HTTP}::test_r_14_probes_by_head",
    "HTTP: Content-Range is 416": f"{FRAMING}::test_it_is_refused_and_the_connection_ends",
    "HTTP: Authorization unasked": f"{HTTP}::test_h_20_authorization_that_nobody_asked_for",
    "HTTP: dates that are none": f"{HTTP}::test_h_18_dates_that_are_none",
    "HTTP: line ends behind the body": f"{HTTP}::test_h_12_line_ends_behind_the_last_boundary",
    "HTTP: line ends before the first request": f"{HTTP}::test_row_line_ends_before_the_first_request_are_read_over",
    "HTTP: any 2xx": f"{ASYNC}::test_r10_every_2xx_is_success",
    "HTTP: 1xx, an answer in pieces, a length too short": (
        f"{ASYNC}::test_row_a_target_that_answers_late_in_pieces_and_too_much"
    ),
    "HTTP: header and body in packets of their own": f"{HTTP}::test_h_08_a_header_and_its_body_in_packets_of_their_own",
    "HTTP: no resumption": "tests/net/server/test_resumption.py::test_no_session_is_ever_resumed",
    "HTTP: no close_notify": "tests/tls/test_engine.py::test_an_end_without_close_notify_is_an_end",
    "AS2: names quoted or not": f"{QUIRKS}::test_row_names_quoted_or_not_and_cut_at_the_first_blank",
    "AS2: the MDN keeps the quotes": f"{SAID}::test_the_mdn_mirrors_the_quotes_of_the_names",
    "AS2: names of fields in any case": f"{HTTP}::test_h_01_names_of_fields_in_any_case",
    "AS2: Message-ID of any form": f"{QUIRKS}::test_row_message_id_of_any_form",
    "AS2: Message-ID echoed exactly": f"{SAID}::test_a_message_id_is_echoed_exactly",
    "AS2: an MDN without Message-ID": f"{QUIRKS}::test_row_the_signature_of_an_mdn_in_binary_or_base64",
    "AS2: any Disposition-Notification-To": f"{HTTP}::test_any_disposition_notification_to_asks_for_an_mdn",
    "AS2: options in every order": f"{QUIRKS}::test_row_options_in_every_order_and_spelling",
    "AS2: options, all the way": f"{HTTP}::test_options_of_the_receipt_as_products_write_them",
    "AS2: micalg in every spelling": f"{QUIRKS}::test_row_micalg_in_every_spelling",
    "AS2: the label that was asked for": f"{SAID}::test_a_good_message_is_processed_and_its_mic_is_labelled_as_asked",
    "AS2: Receipt-Delivery-Option": f"{ASYNC}::test_r11_targets_are_used_as_they_are_spelled",
    "AS2: 200 before the asynchronous MDN": (
        f"{ASYNC}::test_r09_the_answer_is_empty_and_the_mdn_comes_on_a_connection_of_its_own"
    ),
    "MIME: CMS in base64 or binary": (
        f"{QUIRKS}::test_row_outer_cms_in_binary_or_base64_whatever_the_transfer_encoding_says"
    ),
    "MIME: no transfer encoding is binary": f"{QUIRKS}::test_row_a_missing_transfer_encoding_means_binary",
    "MIME: a transfer encoding in quotes, with a comment": (
        f"{QUIRKS}::test_row_a_transfer_encoding_with_a_comment_or_in_quotes"
    ),
    "MIME: base64 inside an envelope": f"{RECEIVER}::test_a_base64_payload_is_hashed_encoded_and_delivered_decoded",
    "MIME: bare LF in a header": f"{RECEIVER}::test_a_header_that_lost_its_cr",
    "MIME: bare LF in a payload": f"{RECEIVER}::test_a_text_body_that_lost_its_cr",
    "MIME: bare LF in a signature": f"{QUIRKS}::test_row_bare_line_feeds_in_the_base64_of_the_signature",
    "MIME: a preamble of a multipart": f"{QUIRKS}::test_row_a_preamble_or_the_header_once_more_in_the_body",
    "MIME: a preamble before CMS": f"{QUIRKS}::test_row_a_preamble_or_the_header_once_more_before_the_outermost_cms",
    "MIME: another CMS value before CMS": f"{QUIRKS}::"
    "test_row_a_preamble_that_could_be_read_as_another_cms_value_is_refused",
    "MIME: odd header fields or none": f"{QUIRKS}::test_row_a_part_with_odd_header_fields_or_none",
    "MIME: no header inside an envelope": f"{RECEIVER}::test_a_payload_without_a_mime_header_inside_the_envelope",
    "MIME: compressed before or after signing": "tests/interop/test_permutations.py::"
    "test_a_permutation_is_processed_once_and_its_receipt_verifies",
    "CMS: indefinite lengths": f"{QUIRKS}::test_row_indefinite_lengths_in_the_signature",
    "CMS: line ends behind it": f"{RECEIVER}::test_line_ends_behind_the_der",
    "CMS: with or without certificates, parameters absent or NULL": (
        f"{CMS}::test_a_form_of_cms_gets_what_the_table_says"
    ),
    "CMS: no signed attributes": f"{RECEIVER}::test_every_digest_verifies_and_is_the_mic",
    "CMS: signer by key identifier": f"{RECEIVER}::test_a_signer_by_subject_key_identifier",
    "CMS: several recipients": f"{QUIRKS}::test_row_several_recipients_the_originator_included",
    "CMS: recipient by key identifier": f"{RECEIVER}::test_a_recipient_by_subject_key_identifier",
    "CMS: odd smime-type": f"{QUIRKS}::test_row_an_odd_or_missing_smime_type",
    "CMS: no protocol, no micalg": f"{QUIRKS}::test_row_multipart_signed_without_its_parameters",
    "CMS: micalg disagrees": f"{RECEIVER}::test_a_wrong_micalg_is_corrected_by_the_signer_info",
    "CMS: base64 inside CompressedData": f"{QUIRKS}::test_row_compressed_content_in_base64_is_refused",
    "CMS: content inside a detached signature": f"{QUIRKS}::test_row_a_detached_signature_has_no_content_of_its_own",
    "MIME: multipart/related without type": (
        f"{QUIRKS}::test_row_multipart_related_without_type_and_attachments_without_content_type"
    ),
    "MIME: odd file names": f"{QUIRKS}::test_row_file_names_with_a_quote_too_many_and_odd_characters",
    "MIME: file names by RFC 2047": "tests/handlers/as2/test_filenames.py::test_the_name",
    "MIME: extra characters in a boundary": f"{QUIRKS}::test_row_a_boundary_with_extra_characters",
    "MIME: blanks that end a boundary": f"{QUIRKS}::test_row_a_boundary_with_blanks_at_its_end_inside_the_quotes",
    "MIME: an S/MIME entity in the place of the document": (
        "tests/as2/mime/test_document.py::test_row_an_entity_in_the_place_of_the_document_is_read"
    ),
    "MIME: wrong line ends": f"{QUIRKS}::test_row_a_boundary_with_wrong_line_ends",
    "MDN: dispositions": f"{PYAS2}::test_a_disposition_is_read_in_every_known_spelling",
    "MDN: MIC": f"{PYAS2}::test_a_mic_is_read_in_every_known_spelling",
    "MDN: no MIC": f"{QUIRKS}::test_row_an_mdn_without_a_mic_is_read_and_confirms_nothing",
    "MDN: everything at once": f"{QUIRKS}::test_row_an_unsigned_mdn_with_every_quirk_at_once",
    "MDN: parts without header, in base64": f"{PYAS2}::test_the_notification_is_found_in_every_known_form",
    "MDN: signature in binary or base64": f"{QUIRKS}::test_row_the_signature_of_an_mdn_in_binary_or_base64",
    "MDN: Message-ID without brackets": f"{PYAS2}::test_the_original_message_id_may_lack_its_brackets",
    "MDN: Final-Recipient": f"{PYAS2}::test_the_final_recipient_is_an_as2_id",
    "MDN: the header once more": f"{QUIRKS}::test_row_an_mdn_whose_body_has_its_header_once_more",
    "MDN: ours": f"{SAID}::test_a_good_message_is_processed_and_its_mic_is_labelled_as_asked",
}


@pytest.mark.parametrize("row", ROWS)
def test_the_test_of_a_row_exists(row: str) -> None:
    assert exists(ROWS[row])
