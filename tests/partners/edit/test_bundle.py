"""The archive of an export: what stands in it comes out again, and nothing else does."""

import base64
import io
import json
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.hazmat.primitives.serialization.pkcs7 import serialize_certificates
from hypothesis import given
from hypothesis import strategies as st

from mtlsd.errors import MtlsdError
from mtlsd.partners.edit.bundle import Bundle, BundleRefused, collect, is_public, pack, unpack
from tests.support import pki
from tests.support.pki import NOW

UNITS = {"partners/acme": {"partner.toml": b'as2_id = "ACME"\n', "tls/root.pem": b"x"}, "hosts/a": {"chain.pem": b"y"}}


def packed(units: Mapping[str, Mapping[str, bytes]] = UNITS, **more: Any) -> bytes:
    return pack(Bundle(units, **{"private_keys": False, **more}), NOW)


def forged(members: dict[str, bytes], /, **changed: object) -> bytes:
    """An archive with these members, and a manifest that agrees with them."""
    manifest = {
        "format": "mtlsd-bundle",
        "version": 1,
        "private_keys": False,
        "units": sorted({"/".join(name.split("/")[:2]) for name in members}),
        "withheld": [],
        "members": {name: sha256(data).hexdigest() for name, data in members.items()},
    }
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("manifest.json", json.dumps(manifest | changed))
        for name, data in members.items():
            archive.writestr(name, data)
    return made.getvalue()


def test_what_goes_in_comes_out() -> None:
    found = unpack(packed(configuration=b"toml", withheld=("hosts/a/key.pem",)))
    assert (found.units, found.configuration, found.withheld) == (UNITS, b"toml", ("hosts/a/key.pem",))
    assert not found.private_keys


NAMES = [
    "../../etc/passwd",
    "/etc/passwd",
    "partners/../hosts/a",
    "partners/acme/../../x",
    "partners/acme/.hidden",
    "partners/.acme/x",
    "partners/acme",
    "partners/acme/a/b/c/d",
    "partners//x",
    "partners/acme/",
    "others/acme/x",
    "partners/acme/x\ny",
    "partners/acme/ä",
    "partners/acme/ x",
    "state/node.key",
    "virtualhosts.toml/x",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_leads_elsewhere_is_refused(name: str) -> None:
    with pytest.raises(BundleRefused):
        unpack(forged({name: b"x"}))


@given(st.lists(st.sampled_from(["..", ".", "", "partners", "hosts", "acme", "~", "a\\b", "\x7f", "C:"]) | st.text()))
def test_no_name_leads_out_of_the_tree(segments: list[str]) -> None:
    name = "/".join(segments) or "nothing"
    try:
        archive = forged({name: b"x"})
    except (ValueError, UnicodeError, IndexError):  # zipfile cannot write each of these names
        return
    with suppress(BundleRefused):
        found = unpack(archive)
        for unit, files in found.units.items():
            for file in files:
                path = Path("/certs", unit, file)
                assert path.resolve().is_relative_to("/certs")
                assert ".." not in path.parts


ARCHIVE = packed()


@given(st.integers(0, len(ARCHIVE) - 1), st.integers(1, 255))
def test_a_changed_archive_is_refused_or_says_the_same(at: int, difference: int) -> None:
    changed = ARCHIVE[:at] + bytes([ARCHIVE[at] ^ difference]) + ARCHIVE[at + 1 :]
    with suppress(BundleRefused):
        assert unpack(changed).units == UNITS


@given(st.binary(max_size=300))
def test_any_octets_are_refused_with_our_own_error(data: bytes) -> None:
    with pytest.raises(BundleRefused):
        unpack(data)


@pytest.mark.parametrize(
    "changed",
    [
        {"format": "other"},
        {"version": 2},
        {"members": {}},
        {"members": []},
        {"members": {"partners/acme/x": "0" * 64}},
        {"units": []},
        {"units": ["../x"]},
        {"units": [1]},
        {"withheld": "x"},
        {"withheld": ["../../x"]},
        {"private_keys": "yes"},
    ],
    ids=str,
)
def test_a_manifest_that_is_not_right_is_refused(changed: dict[str, object]) -> None:
    with pytest.raises(BundleRefused):
        unpack(forged({"partners/acme/x": b"x"}, **changed))


def test_a_member_that_swells_is_refused() -> None:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("partners/acme/x", b"\0" * (64 << 20))
    assert len(made.getvalue()) < 100_000
    with pytest.raises(BundleRefused, match="too large"):
        unpack(made.getvalue())


def test_one_name_for_two_things_is_refused() -> None:
    with pytest.raises(BundleRefused, match="a directory and a file"):
        unpack(forged({"partners/acme/x": b"1", "partners/acme/x/y": b"2"}))


KEY = pki.self_signed("key")
BARE = b"".join(KEY.key_pem.splitlines()[1:-1])
KEY_DER = base64.b64decode(BARE)
P7B = serialize_certificates([KEY.certificate.x509], Encoding.DER)


@pytest.mark.parametrize(
    ("name", "data", "public"),
    [
        ("a.pem", KEY.pem, True),
        ("a.cer", KEY.certificate.der, True),
        ("partner.toml", b'as2_id = "A"\n', True),
        ("key.pem", KEY.key_pem, False),
        ("both.pem", KEY.pem + KEY.key_pem, False),
        ("a.pfx.password", b"open sesame", False),
        ("a.pfx", b"\x30\x82\x01\x01\x02\x01\x03\x30", False),
        ("key.json", b'{"key": "-----begin private key-----"}', False),
        ("anything", b"anything", False),
        ("twice.pem", KEY.pem + b"\n" + KEY.pem, True),
        ("bare.pem", KEY.pem + BARE, False),
        ("before.pem", BARE + b"\n" + KEY.pem, False),
        ("label.pem", b"-----BEGIN CERTIFICATE-----\n" + BARE + b"\n-----END CERTIFICATE-----\n", False),
        ("service.json", b'{"cert": "x", "key": "' + BARE + b'"}', False),
        ("notes.toml", b'key = "' + BARE + b'"', False),
        ("tls/partner.toml", b'key = "' + BARE + b'"', False),
        ("host.toml", b"", True),
        ("a.p7b", P7B, True),
        ("more.p7b", P7B + KEY_DER, False),
        ("more.cer", KEY.certificate.der + KEY_DER, False),
    ],
)
def test_what_may_be_a_key_is_no_public_file(name: str, data: bytes, public: bool) -> None:
    assert is_public(name, data) is public


def tree(folder: Path) -> Path:
    host = folder / "hosts" / "a"
    host.mkdir(parents=True)
    (host / "chain.pem").write_bytes(KEY.pem)
    (host / "key.pem").write_bytes(KEY.key_pem)
    (host / ".swp").write_bytes(b"x")
    return folder


def test_keys_are_collected_only_when_they_are_wanted(tmp_path: Path) -> None:
    assert collect(tree(tmp_path), private_keys=False) == ({"hosts/a": {"chain.pem": KEY.pem}}, ("hosts/a/key.pem",))
    units, withheld = collect(tmp_path, private_keys=True)
    assert (set(units["hosts/a"]), withheld) == ({"chain.pem", "key.pem"}, ())


def test_a_link_out_of_the_tree_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"x")
    (tree(tmp_path / "certs") / "hosts" / "a" / "linked.pem").symlink_to(tmp_path / "secret")
    with pytest.raises(MtlsdError, match="leads out"):
        collect(tmp_path / "certs", private_keys=True)
