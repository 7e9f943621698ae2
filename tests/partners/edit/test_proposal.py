"""A partner that is to be: names, files, and a line that is changed without the rest."""

import tomllib
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtlsd.partners.edit.proposal import check_name, file_name, places, toml_of, with_disabled
from mtlsd.pki.certificate import Certificate
from tests.support import pki

PRINTABLE = st.text().filter(str.isprintable)
VALUES = PRINTABLE | st.integers(0, 1 << 50) | st.booleans() | st.lists(PRINTABLE)


@given(st.dictionaries(st.from_regex(r"[a-z_]{1,9}", fullmatch=True), VALUES | st.just({"subject": "CN=a"})))
def test_what_is_written_is_what_is_read(settings: dict[str, object]) -> None:
    assert tomllib.loads(toml_of(settings)) == settings


@given(
    st.text()
    | st.lists(st.sampled_from(["disabled = true\n", "disabled=false\r\n", "[match]\n", "a = 1\n"])).map("".join)
)
def test_a_text_is_changed_as_meant_or_not_at_all(text: str) -> None:
    for disabled in (True, False):
        with suppress(ValueError):
            after = tomllib.loads(with_disabled(text, disabled=disabled))
            assert after.pop("disabled", False) == disabled
            assert after == {key: value for key, value in tomllib.loads(text).items() if key != "disabled"}


@pytest.mark.parametrize("text", ['as2_id = "A"\n', 'disabled = true\nas2_id = "A"\n'])
def test_a_byte_order_mark_is_no_obstacle(text: str) -> None:
    for disabled in (True, False):
        after = with_disabled(f"\ufeff{text}", disabled=disabled).removeprefix("\ufeff")
        assert tomllib.loads(after).get("disabled", False) == disabled


def test_a_text_that_is_nested_too_deeply_is_our_own_error() -> None:
    with pytest.raises(ValueError, match="nested"):
        with_disabled("a = " + "[" * 100_000, disabled=True)


@given(st.text())
def test_a_name_is_one_directory_or_none(name: str) -> None:
    with suppress(ValueError):
        check_name(name)
        assert "/" not in name
        assert name not in ("", ".", "..")


@pytest.mark.parametrize("name", ["edi.acme.example", "../../etc", "a/b", "-", "ä ö", "a,b"])
def test_the_file_of_a_certificate_is_a_plain_name(name: str) -> None:
    made = file_name(pki.self_signed("key", subject=f"CN={name.replace(',', chr(92) + ',')}").certificate)
    assert "/" not in made
    assert not made.startswith(".")
    assert made.endswith(".pem")


def sorted_out(use: str, *certificates: Certificate) -> list[str]:
    return [place for place, _ in places(use, certificates)]


def test_the_cas_of_a_bundle_are_for_connections_only() -> None:
    root = pki.root("Root")
    end = pki.leaf(root).certificate
    assert sorted_out("", end, root.certificate) == ["", "tls"]
    assert sorted_out("", root.certificate) == [""]  # many AS2 certificates say that they are a CA
    assert sorted_out("as2", end, root.certificate) == ["as2", "as2"]
