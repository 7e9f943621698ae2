"""Our own certificates and keys are fit for use, or it is said why not."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, NoEncryption
from cryptography.hazmat.primitives.serialization.pkcs12 import serialize_key_and_certificates

from mtlsd.errors import ConfigurationError
from mtlsd.partners.ours.host_keys import load_host
from mtlsd.partners.ours.organization import load_organization
from mtlsd.pki.dates import Dates
from mtlsd.pki.key_pair import load_key_pair, load_pair_in
from tests.support import pki

ROOT = pki.root()
CA = pki.intermediate(ROOT)
HOST = pki.leaf(CA, "as2.example.com", eku=(pki.SERVER,), san=("dns:as2.example.com", "dns:*.example.org"))
OTHER = pki.leaf(CA, "other")
STRAY = pki.root("Stray")


def place(directory: Path, issued: pki.Issued = HOST, certificate: str = "chain.pem") -> Path:
    issued.write(directory, certificate)
    return directory


def complaint(directory: Path, credential: Path | None = None) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load_key_pair(directory / "chain.pem", directory / "key.pem", credential)
    return str(caught.value)


@pytest.mark.parametrize("key", [pki.rsa_key("k"), pki.ec_key("k"), pki.ed25519_key("k")])
def test_a_pair_is_read(tmp_path: Path, key: pki.Key) -> None:
    issued = pki.leaf(CA, "as2.example.com", key=key)
    place(tmp_path, issued)
    loaded = load_key_pair(tmp_path / "chain.pem", tmp_path / "key.pem")
    assert loaded.warnings == ()
    assert loaded.key_pair.certificate == issued.certificate
    assert loaded.key_pair.chain == (CA.certificate,)
    assert loaded.key_pair.private_key.public_key() == issued.key.public_key()
    assert "private_key" not in repr(loaded)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (OTHER.key_pem, "key.pem: the private key does not belong to CN=as2.example.com in chain.pem"),
        (
            CA.key_pem,
            "key.pem: the private key belongs to CN=Intermediate, a CA, and not to CN=as2.example.com in",
        ),
        (HOST.encrypted_key_pem(b"secret"), "key.pem: an encrypted private key: decrypt it (openssl pkey -in"),
        (b"", "key.pem: not a private key"),
        (HOST.pem, "key.pem: not a private key"),
        (HOST.key_pem[:300], "key.pem: not a private key"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_key_that_does_not_serve_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    place(tmp_path)
    (tmp_path / "key.pem").write_bytes(content)
    assert words in complaint(tmp_path)


@pytest.mark.parametrize("mode", [0o604, 0o644, 0o602])
def test_a_key_that_everybody_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    (place(tmp_path) / "key.pem").chmod(mode)
    assert "everybody can access" in complaint(tmp_path)


def test_a_key_that_the_group_may_read_is_a_warning(tmp_path: Path) -> None:
    (place(tmp_path) / "key.pem").chmod(0o640)
    [warning] = load_key_pair(tmp_path / "chain.pem", tmp_path / "key.pem").warnings
    assert "group-readable" in str(warning)


def test_everything_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    words = complaint(tmp_path)
    assert "chain.pem: cannot be read" in words
    assert "key.pem: cannot be read" in words


def test_a_credential_takes_the_place_of_the_key_whatever_its_mode(tmp_path: Path) -> None:
    host = place(tmp_path / "as2.example.com")
    (host / "key.pem").unlink()
    credential = tmp_path / "host.as2.example.com.key"
    credential.write_bytes(HOST.key_pem)
    credential.chmod(0o444)
    assert load_host(host, tmp_path).warnings == ()
    credential.unlink()  # nobody but root may write into it
    credential.write_bytes(OTHER.key_pem)
    with pytest.raises(ConfigurationError, match=r"host.as2.example.com.key: the private key does not belong"):
        load_host(host, tmp_path)


@pytest.mark.parametrize(
    ("name", "covered"),
    [
        ("as2.example.com", True),
        ("AS2.example.com", True),
        ("a.example.org", True),
        ("a.b.example.org", False),
        ("example.org", False),
        ("example.com", False),
    ],
)
def test_a_chain_that_does_not_cover_its_host_is_a_warning(tmp_path: Path, name: str, covered: bool) -> None:
    warnings = load_host(place(tmp_path / name)).warnings
    assert [f"does not cover {name}" in str(each) for each in warnings] == ([] if covered else [True])


@pytest.mark.parametrize(
    ("there", "name", "words"),
    [
        ((), "EXAMPLE", "EXAMPLE: the directory does not exist"),
        (("EXAMPLE", "OTHER"), "EXAMPEL", "EXAMPEL: the directory does not exist; there is EXAMPLE"),
        (("EXAMPLE",), "example", "example: the directory does not exist; there is EXAMPLE"),
        (
            ("as2.example.com",),
            "as2.exmaple.com",
            "as2.exmaple.com: the directory does not exist; there is as2.example.com",
        ),
        (("UNLIKE", "..data"), "EXAMPLE", "EXAMPLE: the directory does not exist"),
    ],
)
@pytest.mark.parametrize("load", [load_host, load_organization])
def test_a_directory_that_is_missing_is_named_with_the_nearest_one(
    tmp_path: Path, load: Callable[[Path], object], there: tuple[str, ...], name: str, words: str
) -> None:
    for each in there:
        (tmp_path / each).mkdir()
    (tmp_path / f"{name}.pem").touch()
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path / name)
    assert str(caught.value) == f"{tmp_path}/{words}"


def test_a_directory_of_directories_that_is_missing_is_only_that(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"hosts/as2.example.com: the directory does not exist$"):
        load_host(tmp_path / "hosts" / "as2.example.com")


# --- Any order, any form ------------------------------------------------------------------------------------


def test_a_chain_may_have_any_order_and_more_than_its_own(tmp_path: Path) -> None:
    place(tmp_path)
    (tmp_path / "chain.pem").write_bytes(ROOT.pem + STRAY.pem + CA.pem + HOST.pem + CA.pem)
    loaded = load_key_pair(tmp_path / "chain.pem", tmp_path / "key.pem")
    assert loaded.key_pair.certificate == HOST.certificate
    assert loaded.key_pair.chain == (CA.certificate, ROOT.certificate)
    assert [str(each) for each in loaded.warnings] == [
        f"{tmp_path}/chain.pem: CN=Stray is not an issuer of CN=as2.example.com, and is not sent"
    ]


def test_a_chain_and_a_key_may_be_spelled_as_forms_and_web_pages_do(tmp_path: Path) -> None:
    place(tmp_path)
    for name in ("chain.pem", "key.pem"):
        text = (tmp_path / name).read_text()
        (tmp_path / name).write_text(text.replace("\n", "\\n"))
    loaded = load_key_pair(tmp_path / "chain.pem", tmp_path / "key.pem")
    assert loaded.key_pair.chain == (CA.certificate,)
    assert ["written out" in str(each) for each in loaded.warnings] == [True]


def keystore(directory: Path, name: str = "own.pfx", password: bytes = b"", issued: pki.Issued = HOST) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    protection = BestAvailableEncryption(password) if password else NoEncryption()
    chain = [each.x509 for each in issued.chain]
    data = serialize_key_and_certificates(b"own", issued.key, issued.certificate.x509, chain, protection)
    secret(directory / name, data)
    if password:
        secret(directory / f"{name}.password", password + b"\n")
    return directory


def service_key(directory: Path, name: str = "own.json") -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    document = {"as2": {"certificate": HOST.chain_pem.decode(), "key": HOST.key_pem.decode()}, "clientid": "x"}
    secret(directory / name, json.dumps(document).encode())
    return directory


def secret(path: Path, data: bytes, mode: int = 0o600) -> None:
    path.touch(mode=mode)
    path.write_bytes(data)


@pytest.mark.parametrize(
    "make",
    [keystore, partial(keystore, password=b"pass \xc3\xa9"), partial(keystore, name="A B.P12"), service_key],
    ids=["pfx", "pfx with a password", "p12", "json"],
)
@pytest.mark.parametrize("name", ["as2.example.com", "as2.example.com/sign"])
def test_one_file_may_hold_certificate_and_key(tmp_path: Path, make: Callable[[Path], Path], name: str) -> None:
    loaded = load_pair_in(make(tmp_path / name), "chain.pem")
    assert loaded.warnings == ()
    assert (loaded.key_pair.certificate, loaded.key_pair.chain) == (HOST.certificate, (CA.certificate,))
    assert loaded.key_pair.private_key.public_key() == HOST.key.public_key()


def test_a_host_and_an_organization_may_have_a_keystore(tmp_path: Path) -> None:
    assert load_host(keystore(tmp_path / "as2.example.com")).warnings == ()
    organization = load_organization(keystore(tmp_path / "EXAMPLE", password=b"secret")).value
    assert organization.signing.certificate == HOST.certificate


def test_the_usual_two_files_come_first(tmp_path: Path) -> None:
    keystore(place(tmp_path), issued=OTHER)
    assert load_pair_in(tmp_path, "chain.pem").key_pair.certificate == HOST.certificate
    (tmp_path / "key.pem").unlink()
    with pytest.raises(ConfigurationError, match=r"key.pem: cannot be read"):
        load_pair_in(tmp_path, "chain.pem")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda folder: service_key(folder), "has several files with a key: keep only one of own.json, own.pfx"),
        (lambda folder: (folder / "own.pfx.password").unlink(), "own.pfx: a PKCS#12 file with a password: put the"),
        (lambda folder: (folder / "own.pfx.password").write_bytes(b"wrong"), "the password is wrong"),
        (lambda folder: (folder / "own.pfx.password").write_bytes(b"\xff"), "own.pfx: the password in its .password"),
        (lambda folder: (folder / "own.pfx.password").chmod(0o644), "own.pfx.password: everybody can access the pass"),
        (lambda folder: (folder / "own.pfx").chmod(0o644), "own.pfx: everybody can access the private key"),
        (lambda folder: (folder / "own.pfx").write_bytes(HOST.pem), "expected one private key in this file, found 0"),
        (lambda folder: (folder / "own.pfx").write_bytes(HOST.key_pem), "has a private key without its certificate"),
        (lambda folder: (folder / "own.pfx").write_bytes(HOST.pem + OTHER.key_pem), "does not belong to CN=as2.exampl"),
        (lambda folder: (folder / "own.pfx").write_bytes(HOST.pem + HOST.key_pem[:99]), "not a private key in PEM"),
    ],
)
def test_a_keystore_that_does_not_serve_is_refused(
    tmp_path: Path, change: Callable[[Path], object], words: str
) -> None:
    change(keystore(tmp_path, password=b"secret"))
    with pytest.raises(ConfigurationError) as caught:
        load_pair_in(tmp_path, "chain.pem")
    assert words in str(caught.value)


# --- Organizations ------------------------------------------------------------------------------------------


def test_an_organization_signs_and_decrypts_with_one_pair(tmp_path: Path) -> None:
    place(tmp_path / "EXAMPLE", certificate="cert.pem")
    organization = load_organization(tmp_path / "EXAMPLE").value
    assert (organization.name, organization.as2_id) == ("EXAMPLE", "EXAMPLE")
    assert organization.decryption == (organization.signing,)
    assert organization.signing.certificate == HOST.certificate


def test_an_organization_may_have_a_pair_for_each_use(tmp_path: Path) -> None:
    place(tmp_path / "EXAMPLE" / "sign", HOST, certificate="cert.pem")
    place(tmp_path / "EXAMPLE" / "decrypt", OTHER, certificate="cert.pem")
    organization = load_organization(tmp_path / "EXAMPLE").value
    assert organization.signing.certificate == HOST.certificate
    assert [each.certificate for each in organization.decryption] == [OTHER.certificate]


def test_one_pair_of_two_is_not_enough(tmp_path: Path) -> None:
    place(tmp_path / "EXAMPLE" / "sign", certificate="cert.pem")
    with pytest.raises(ConfigurationError, match=r"decrypt/cert.pem"):
        load_organization(tmp_path / "EXAMPLE")


def test_an_organizations_key_may_be_a_credential(tmp_path: Path) -> None:
    place(tmp_path / "EXAMPLE", certificate="cert.pem")
    (tmp_path / "EXAMPLE" / "key.pem").rename(tmp_path / "organization.EXAMPLE.key")
    assert load_organization(tmp_path / "EXAMPLE", tmp_path).value.name == "EXAMPLE"
    with pytest.raises(ConfigurationError, match=r"key.pem: cannot be read"):
        load_organization(tmp_path / "EXAMPLE")


def test_organization_toml_may_name_another_as2_id(tmp_path: Path) -> None:
    place(tmp_path / "EXAMPLE", certificate="cert.pem")
    (tmp_path / "EXAMPLE" / "organization.toml").write_text('as2_id = "Example Inc"')
    assert load_organization(tmp_path / "EXAMPLE").value.as2_id == "Example Inc"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('as2_id = ""', 'organization.toml:1: as2_id: found "": expected 1 to 128'),
        ('as2id = "A"', 'organization.toml:1: as2id: unknown key; did you mean "as2_id"?'),
        ("as2_id = = 1", "organization.toml:1: is not TOML"),
        ("as2_id = 1" + "0" * 5000, "organization.toml: a number has too many digits"),
        ("as2_id = 0x" + "f" * 5000, "organization.toml:1: as2_id: found a number beyond 64 bits: expected"),
        ("as2_id = " + "[" * 5000, "organization.toml: arrays or tables are nested too deeply"),
    ],
)
def test_a_mistake_in_organization_toml_is_named(tmp_path: Path, content: str, words: str) -> None:
    (place(tmp_path / "EXAMPLE", certificate="cert.pem") / "organization.toml").write_text(content)
    with pytest.raises(ConfigurationError) as caught:
        load_organization(tmp_path / "EXAMPLE")
    assert words in str(caught.value)


def test_a_name_that_is_no_as2_id_needs_organization_toml(tmp_path: Path) -> None:
    place(tmp_path / "Ä", certificate="cert.pem")
    with pytest.raises(ConfigurationError, match=r"set as2_id in organization.toml"):
        load_organization(tmp_path / "Ä")


# --- Several pairs for one use --------------------------------------------------------------------------------


ENDING = Dates(retire_after=datetime(2027, 1, 15, 23, 59, 59, 999_999, tzinfo=UTC))
COMING = Dates(active_from=datetime(2026, 12, 1, tzinfo=UTC))
NEXT_TOML = (
    '[[pair]]\ndirectory = "{}"\nretire_after = 2027-01-15\n[[pair]]\ndirectory = "{}"\nactive_from = 2026-12-01\n'
)


def test_an_organization_may_have_a_next_pair_with_dates(tmp_path: Path) -> None:
    folder = place(tmp_path / "EXAMPLE", certificate="cert.pem")
    place(folder / "next", OTHER, certificate="cert.pem")
    (folder / "organization.toml").write_text(NEXT_TOML.format(".", "next"))
    loaded = load_organization(folder)
    assert loaded.warnings == ()
    old, new = loaded.value.decryption
    assert loaded.value.signing_pairs == (old, new)
    assert [(each.certificate, each.dates) for each in (old, new)] == [
        (HOST.certificate, ENDING),
        (OTHER.certificate, COMING),
    ]
    assert loaded.value.signing_at(pki.NOW) == old
    assert loaded.value.signing_at(datetime(2026, 12, 1, tzinfo=UTC)) == new


def test_each_use_may_have_next_pairs_of_its_own_and_credentials(tmp_path: Path) -> None:
    folder = tmp_path / "EXAMPLE"
    for name, issued in (("sign", HOST), ("decrypt", HOST), ("decrypt/2027", OTHER)):
        place(folder / name, issued, certificate="cert.pem")
        credential = tmp_path / f"organization.EXAMPLE.{name.replace('/', '.')}.key"
        (folder / name / "key.pem").rename(credential)
    organization = load_organization(folder, tmp_path).value
    assert [each.certificate for each in organization.signing_pairs] == [HOST.certificate]
    assert [each.certificate for each in organization.decryption] == [HOST.certificate, OTHER.certificate]


def test_a_host_may_have_next_pairs_and_pairs_for_its_own_requests(tmp_path: Path) -> None:
    folder = place(tmp_path / "a.example.org")
    place(folder / "next", OTHER)
    place(folder / "client")
    place(folder / "client" / "next", OTHER)
    (folder / "host.toml").write_text(NEXT_TOML.format("client", "client/next"))
    keys = load_host(folder).value
    assert [each.certificate for each in keys.server] == [HOST.certificate, OTHER.certificate]
    assert [each.dates for each in keys.client] == [ENDING, COMING]
    assert keys.client_at(pki.NOW).certificate == HOST.certificate
    assert keys.client_at(pki.NOW + 12 * pki.DAY).certificate == OTHER.certificate


def test_without_a_pair_of_its_own_for_requests_a_host_shows_what_it_serves(tmp_path: Path) -> None:
    keys = load_host(place(tmp_path / "a.example.org")).value
    assert keys.client == ()
    assert keys.client_at(pki.NOW) == keys.server[0]


def test_what_is_no_pair_is_not_read_and_said_so(tmp_path: Path) -> None:
    folder = place(tmp_path / "a.example.org")
    (folder / "old").mkdir()
    (folder / "..data").mkdir()
    (folder / "host.toml").write_text('[[pair]]\ndirectory = "gone"\n')
    assert [str(each).removeprefix(f"{folder}/") for each in load_host(folder).warnings] == [
        "old: not read: there is no chain.pem in it, and no .pfx",
        "host.toml:1: pair: there is no key pair in gone: remove these lines, or add the key pair",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "[[pair]]\nactive_from = 2026-12-01",
            "host.toml:1: pair.directory: is missing: expected a line such as",
        ),
        ('[[pair]]\ndirectory = "../other"', 'host.toml:2: pair.directory: found "../other": expected a path'),
        ('[[pair]]\ndirectory = "."\n' * 2, "host.toml:3: pair: . has dates already"),
        ("as2_id = 'A'", "host.toml:1: as2_id: unknown key; expected one of: pair"),
    ],
)
def test_a_mistake_in_host_toml_is_named(tmp_path: Path, text: str, expected: str) -> None:
    folder = place(tmp_path / "a.example.org")
    (folder / "host.toml").write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        load_host(folder)
    assert expected in str(caught.value)


def test_a_next_pair_that_is_wrong_is_an_error(tmp_path: Path) -> None:
    folder = place(tmp_path / "EXAMPLE", certificate="cert.pem")
    place(folder / "next", certificate="cert.pem")
    (folder / "next" / "key.pem").write_bytes(OTHER.key_pem)
    with pytest.raises(ConfigurationError, match=r"next/key.pem: the private key does not belong"):
        load_organization(folder)
