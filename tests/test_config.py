"""The configuration is read whole or refused with every mistake, each with its line and how to mend it."""

import os
import tomllib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mtlsd.config.addresses import Address, Backend
from mtlsd.config.document import read_document
from mtlsd.config.load import read_configuration
from mtlsd.config.locate import KeyPath
from mtlsd.config.model import (
    ClientCert,
    ClientCertificate,
    Configuration,
    Deliver,
    DeliverySettings,
    Handler,
    Limits,
    Mail,
    MDNMode,
    ProofSettings,
    Route,
    Server,
    VirtualHost,
)
from mtlsd.errors import ConfigurationError, Problem

ROOT = Path(__file__).parent.parent
EXAMPLE = (ROOT / "virtualhosts.toml").read_text(encoding="utf-8")
HOST = '[[virtualhost]]\nname = "a.example"\nlisten = "127.0.0.1:0"\n'
ROUTE = (
    '[[virtualhost.route]]\npath = "/as2"\nhandler = "as2"\n'
    'organization = "EXAMPLE"\nbackend = "http://127.0.0.1:9000/inbound"\n'
)

Write = Callable[[str | bytes], Path]


@pytest.fixture(scope="module")
def write(tmp_path_factory: pytest.TempPathFactory) -> Write:
    file = tmp_path_factory.mktemp("config") / "virtualhosts.toml"

    def write(text: str | bytes) -> Path:
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return file

    return write


def problems(file: Path) -> tuple[Problem, ...]:
    with pytest.raises(ConfigurationError) as caught:
        read_configuration(file)
    assert all(each.file == file for each in caught.value.problems)
    return caught.value.problems


def only_problem(file: Path) -> Problem:
    (problem,) = problems(file)
    return problem


# --- What is read -------------------------------------------------------------------------------------------


def test_the_example_in_the_repository_is_right_and_shows_the_defaults(write: Write) -> None:
    file = write(EXAMPLE)
    backend = Backend("http", "127.0.0.1", 9000, "/inbound", "http://127.0.0.1:9000/inbound")
    route = Route("/as2", Handler.AS2, "EXAMPLE", (backend,))
    assert read_configuration(file) == Configuration(
        file=file,
        server=Server(
            state=file.parent / "state",
            certs=file.parent / "certs",
            spool=file.parent / "state" / "spool",
            inline_bytes=65_536,
        ),
        limits=Limits(),
        delivery=DeliverySettings(),
        proof=ProofSettings(checkpoints=file.parent / "state" / "checkpoints"),
        virtualhosts=(
            VirtualHost("as2.example.com", Address.parse("0.0.0.0:8443"), ClientCertificate.REQUIRED, (route,)),
            VirtualHost("drop.example.com", Address.parse("0.0.0.0:9443"), ClientCertificate.NONE, (route,)),
        ),
    )


def test_a_default_that_the_example_shows_in_a_comment_is_the_default(write: Write) -> None:
    spoken = "".join(
        line.removeprefix("# ") if " = " in line and '": ' not in line else line
        for line in EXAMPLE.splitlines(keepends=True)
    )
    assert spoken.count("\n# ") < EXAMPLE.count("\n# ")
    assert read_configuration(write(spoken)) == read_configuration(write(EXAMPLE))


def test_the_example_mentions_every_key(write: Write) -> None:
    for table in (Server, Limits, DeliverySettings, Route):
        for key in table.__dataclass_fields__:
            assert f"\n{key} = " in EXAMPLE or f"\n# {key} = " in EXAMPLE, key


def test_the_documentation_has_every_key_and_the_default_of_every_limit() -> None:
    text = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    for field in fields(Limits) + fields(DeliverySettings):
        assert f"| `{field.name}` | {field.default} " in text
    for field in fields(Server) + fields(VirtualHost) + fields(Route):
        assert field.name == "routes" or f"| `{field.name}` | " in text


def test_nodes_that_share_a_database_have_more_in_it_and_the_rest_in_a_directory_that_they_share(write: Write) -> None:
    file = write('[server]\njournal = "postgresql://mtlsd@db/mtlsd"\nstate = "mine"\nspool = "/ours"\n' + HOST)
    server = read_configuration(file).server
    assert (server.journal, server.inline_limit) == ("postgresql://mtlsd@db/mtlsd", 262_144)
    assert (server.state, server.spool_directory) == (file.parent / "mine", Path("/ours"))


def test_one_host_without_a_route_is_enough(write: Write) -> None:
    (host,) = read_configuration(write(HOST)).virtualhosts
    assert host == VirtualHost("a.example", Address("127.0.0.1", 0), ClientCertificate.REQUIRED, ())


def test_a_configuration_can_be_hashed_and_compared(write: Write) -> None:
    first, again = read_configuration(write(EXAMPLE)), read_configuration(write(EXAMPLE))
    assert hash(first) == hash(again)
    assert first != replace(first, limits=Limits(idle_seconds=1))


def test_a_relative_path_is_relative_to_the_file_and_an_absolute_one_stays(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write('[server]\nstate = "/var/lib/mtlsd"\ncerts = "../certs"\n' + HOST)
    monkeypatch.chdir(file.parent)
    read = read_configuration(Path(file.name))
    assert read.file == file
    assert read.server.state == Path("/var/lib/mtlsd")
    assert read.server.certs == file.parent / "../certs"


def test_hosts_may_share_an_address_and_a_port_on_other_addresses(write: Write) -> None:
    listens = ["0.0.0.0:8443", "0.0.0.0:8443", "[::]:8443"]
    text = "".join(f'[[virtualhost]]\nname = "h{n}"\nlisten = "{each}"\n' for n, each in enumerate(listens))
    assert [str(host.listen) for host in read_configuration(write(text)).virtualhosts] == listens


def test_a_byte_order_mark_and_windows_line_endings_are_read_past(write: Write) -> None:
    text = b"\xef\xbb\xbf" + EXAMPLE.replace("\n", "\r\n").encode()
    assert read_configuration(write(text)) == read_configuration(write(EXAMPLE))


def test_a_host_name_is_read_in_lower_case(write: Write) -> None:
    assert read_configuration(write(HOST.replace("a.ex", "A.Ex"))).virtualhosts[0].name == "a.example"


@pytest.mark.parametrize(
    ("text", "address", "spelled"),
    [
        ("127.0.0.1:0", Address("127.0.0.1", 0), "127.0.0.1:0"),
        ("[::1]:8443", Address("::1", 8443), "[::1]:8443"),
        ("[0:0:0:0:0:0:0:0]:65535", Address("::", 65535), "[::]:65535"),
    ],
)
def test_an_address_is_an_ip_address_and_a_port(text: str, address: Address, spelled: str) -> None:
    assert Address.parse(text) == address
    assert str(address) == spelled


NO_ADDRESSES = [
    "",
    ":8443",
    "8443",
    "127.0.0.1",
    "127.0.0.1:",
    "*:8443",
    "localhost:8443",
    "::1:8443",
    "[::1]",
]
NO_ADDRESSES += [
    "[127.0.0.1]:1",
    "[::1:1",
    "127.0.0.1:65536",
    "127.0.0.1:-1",
    "127.0.0.1:８443",
    "127.0.0.1:1 ",
]
NO_ADDRESSES += [" 127.0.0.1:1", "127.0.0.1:000001", "127.0.0.1:1:1", "1.2.3:4"]


@pytest.mark.parametrize("text", NO_ADDRESSES)
def test_anything_else_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match="expected an IP address and a port"):
        Address.parse(text)


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("http://127.0.0.1:9000/inbound", ("http", "127.0.0.1", 9000, "/inbound")),
        ("https://edi.example", ("https", "edi.example", 443, "/")),
        ("HTTP://EDI_1.Example/A?b=/c%20@d", ("http", "edi_1.example", 80, "/A?b=/c%20@d")),
        ("http://[::1]:8080?a", ("http", "::1", 8080, "/?a")),
    ],
)
def test_a_backend_is_a_url_in_its_parts(url: str, parts: tuple[Literal["http", "https"], str, int, str]) -> None:
    assert Backend.parse(url) == Backend(*parts, url)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "expected a URL"),
        ("127.0.0.1:9000", "expected a URL"),
        ("ftp://h/", "expected a URL"),
        ("http:///x", "expected a URL"),
        ("http://h/a b", "expected a URL"),
        ("http://h/a\r\nHost: x", "expected a URL"),
        ("http://h/ü", "expected a URL"),
        ("http://user@h/", "credentials"),
        ("http://user:pw@h/", "credentials"),
        ("http://h/#part", "fragment"),
        ("http://h:0/", "a port from 1"),
        ("http://h:65536/", "a port from 1"),
        ("http://h:x/", "a host name or IP address"),
        ("http://[h]/", "a host name or IP address"),
        ("http://h,i/", "a host name or IP address"),
    ],
)
def test_a_backend_that_is_no_such_url_is_refused(url: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Backend.parse(url)


# --- What is refused, and how -------------------------------------------------------------------------------


def test_all_mistakes_are_shown_at_once_in_the_order_of_the_lines(write: Write) -> None:
    file = write('[server]\nworkrs = 2\n[limits]\nidle_seconds = 0\n[[virtualhost]]\nname = "a b"\n' + HOST + HOST)
    assert [(each.line, each.key) for each in problems(file)] == [
        (2, "server.workrs"),
        (4, "limits.idle_seconds"),
        (5, "virtualhost.listen"),
        (6, "virtualhost.name"),
        (11, "virtualhost.name"),
    ]


@pytest.mark.parametrize(
    ("text", "line", "key", "said"),
    [
        (HOST + 'lisen = "x"', 4, "virtualhost.lisen", 'did you mean "listen"?'),
        (HOST + '"a\\u001b" = 1', 4, 'virtualhost."a\\u001b"', "expected one of: client_certificate, listen"),
        (HOST + ROUTE + 'client_certificate = "none"', 9, None, "it belongs under [[virtualhost]]"),
        (HOST + "[server]\nidle_seconds = 1", 5, None, "it belongs under [limits]"),
        ("idle_seconds = 1\n" + HOST, 1, "idle_seconds", "it belongs under [limits]"),
        (HOST + "[serve]\nstate = 1", 4, "serve", 'did you mean "server"?'),
        ("", None, "virtualhost", "is missing: expected a line such as [[virtualhost]]"),
        ("virtualhost = []", 1, "virtualhost", "at least one"),
        (
            '[virtualhost]\nname = "a"',
            1,
            "virtualhost",
            "found a table: expected tables, each under [[virtualhost]]",
        ),
        ("virtualhost = [\n1]", 2, "virtualhost", "found 1: expected a table, [[virtualhost]]"),
        ("server = 5\n" + HOST, 1, "server", "found 5: expected a table, [server]"),
        (HOST.replace("name", "# name"), 1, "virtualhost.name", 'such as name = "as2.example.com"'),
        (HOST.replace("listen", "# listen"), 1, "virtualhost.listen", 'such as listen = "0.0.0.0:8443"'),
        (HOST + ROUTE.replace("organization", "#"), 4, None, 'such as organization = "EXAMPLE"'),
        (HOST + ROUTE.replace("backend", "#"), 4, None, "such as backend ="),
        (HOST + ROUTE.replace("path", "#"), 4, None, 'such as path = "/as2"'),
        (HOST + ROUTE.replace("handler", "#"), 4, None, 'such as handler = "as2"'),
        ('[server]\njournal = "mysql"\n' + HOST, 2, "server.journal", 'found "mysql": expected "sqlite" or a URL'),
        ('[server]\njournal = "postgresql://db/x y"\n' + HOST, 2, None, "postgresql://mtlsd@db.example.com/mtlsd"),
        ('[server]\njournal = "postgresql:///\\u0000"\n' + HOST, 2, None, "or a URL such as"),
        ('[server]\nspool = ""\n' + HOST, 2, "server.spool", "expected a path"),
        ("[server]\ninline_bytes = 8_388_609\n" + HOST, 2, "server.inline_bytes", "from 0 to 8388608"),
        ('[server]\nadmin = "0.0.0.0:9180"\n' + HOST, 2, "server.admin", "expected a loopback address"),
        ('[server]\nstate = ""\n' + HOST, 2, "server.state", "expected a path"),
        ('[server]\nstate = "~/state"\n' + HOST, 2, "server.state", '"~" is not expanded'),
        ('[server]\ncerts = "a\\u0000"\n' + HOST, 2, "server.certs", "expected a path"),
        (HOST + 'on_untrusted = "alert"', 4, "virtualhost.on_untrusted", 'expected one of "http", "handshake"'),
        (
            HOST + 'client_certificate = "yes"',
            4,
            None,
            'found "yes": expected one of "required", "optional", "none"',
        ),
        (
            HOST.replace('"127.0.0.1:0"', "8443"),
            3,
            "virtualhost.listen",
            "found 8443: expected text in quotes",
        ),
        (HOST.replace('"127.0.0.1:0"', "2024-01-01"), 3, None, "found 2024-01-01: expected text in quotes"),
        (HOST.replace("127.0.0.1:0", "*:1"), 3, "virtualhost.listen", 'found "*:1": expected an IP address'),
    ],
)
def test_a_mistake_is_named_with_its_line_and_what_was_expected(
    write: Write, text: str, line: int | None, key: str | None, said: str
) -> None:
    problem = only_problem(write(text))
    assert problem.line == line
    assert key is None or problem.key == key
    assert said in problem.message


@pytest.mark.parametrize("name", ["proxy", "token"])
def test_a_handler_to_come_is_not_served_by_this_version(write: Write, name: str) -> None:
    problem = only_problem(write(HOST + ROUTE.replace('"as2"', f'"{name}"')))
    assert (problem.line, problem.key) == (6, "virtualhost.route.handler")
    assert "not served by this version" in problem.message


@pytest.mark.parametrize("path", ["/.well-known/mtlsd", "/.well-known/mtlsd/whoami"])
def test_what_mtlsd_itself_answers_is_no_route(write: Write, path: str) -> None:
    problem = only_problem(write(HOST + ROUTE.replace('"/as2"', f'"{path}"')))
    assert problem.key == "virtualhost.route.path"
    assert "is reserved for mtlsd" in problem.message


@pytest.mark.parametrize("kind", ClientCertificate)
@pytest.mark.parametrize("setting", ClientCert)
def test_only_a_host_that_asks_for_a_certificate_can_pass_it_on(
    write: Write, kind: ClientCertificate, setting: ClientCert
) -> None:
    file = write(f'{HOST}client_certificate = "{kind}"\n{ROUTE}client_cert = "{setting}"')
    if kind is ClientCertificate.NONE and setting is not ClientCert.OFF:
        problem = only_problem(file)
        assert (problem.line, problem.key) == (10, "virtualhost.route.client_cert")
    else:
        ((route,),) = [host.routes for host in read_configuration(file).virtualhosts]
        assert route.client_cert is setting


@pytest.mark.parametrize("deliver", Deliver)
@pytest.mark.parametrize("mdn", MDNMode)
def test_only_a_backend_that_gets_the_message_can_make_the_mdn(write: Write, deliver: Deliver, mdn: MDNMode) -> None:
    file = write(f'{HOST}{ROUTE}deliver = "{deliver}"\nmdn = "{mdn}"')
    if (deliver, mdn) == (Deliver.PAYLOAD, MDNMode.BACKEND):
        problem = only_problem(file)
        assert (problem.line, problem.key) == (10, "virtualhost.route.mdn")
        assert 'add deliver = "message"' in problem.message
    else:
        ((route,),) = [host.routes for host in read_configuration(file).virtualhosts]
        assert (route.deliver, route.mdn) == (deliver, mdn)


@pytest.mark.parametrize("value", ["0", "-1", "true", "1.0", '"10"', "[]", "{}", "1e3", "nan", f"0x{'f' * 5000}"])
@pytest.mark.parametrize(("table", "kind"), [("limits", Limits), ("delivery", DeliverySettings)])
def test_a_limit_is_a_whole_number_above_zero(write: Write, table: str, kind: type[Limits], value: str) -> None:
    keys = list(kind.__dataclass_fields__)
    file = write(f"[{table}]\n" + "".join(f"{key} = {value}\n" for key in keys) + HOST)
    found = problems(file)
    assert [each.key for each in found] == [f"{table}.{key}" for key in keys]
    assert all("expected a whole number from 1 to " in each.message for each in found)


@pytest.mark.parametrize("value", ["-1", "2", "true", "false", '"1"'])
def test_workers_is_0_or_1(write: Write, value: str) -> None:
    problem = only_problem(write(f"[server]\nworkers = {value}\n{HOST}"))
    assert "expected a whole number from 0 to 1" in problem.message


NO_HOST_NAMES = [
    "",
    "a b",
    "a.example:8443",
    "*.example",
    "a..b",
    ".a",
    "a.",
    "-a",
    "a-",
    "a_b",
    "a/b",
    "..",
    "[::1]",
]
NO_HOST_NAMES += ["münchen.example", "a" * 64, ".".join(["a" * 60] * 5)]
NO_HOST_NAMES += ["\u212a"]  # the Kelvin sign is "k" in lower case


@pytest.mark.parametrize("name", NO_HOST_NAMES)
def test_a_host_name_follows_the_rules_for_host_names(write: Write, name: str) -> None:
    problem = only_problem(write(HOST.replace("a.example", name)))
    assert (problem.line, problem.key) == (2, "virtualhost.name")
    assert "expected one host name" in problem.message


@pytest.mark.parametrize("path", ["/", "/as2", "/a/b.c/~d;e=f@g", "/..a"])
def test_a_path_is_what_clients_send(write: Write, path: str) -> None:
    assert read_configuration(write(HOST + ROUTE.replace("/as2", path))).virtualhosts[0].routes[0].path == path


@pytest.mark.parametrize(
    "path",
    [
        "",
        "as2",
        "//",
        "/as2/",
        "/a//b",
        "/../a",
        "/a/..",
        "/./a",
        "/a?b",
        "/a#b",
        "/a b",
        "/%2e",
        "/ü",
        "/a\\\\b",
    ],
)
def test_a_path_that_could_be_read_in_two_ways_is_refused(write: Write, path: str) -> None:
    problem = only_problem(write(HOST + ROUTE.replace("/as2", path)))
    assert (problem.line, problem.key) == (5, "virtualhost.route.path")
    assert 'expected a path such as "/as2"' in problem.message


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", ".hidden", " a", "a ", "ä", "a\\n", "a" * 129])
def test_an_organization_is_the_name_of_a_directory(write: Write, name: str) -> None:
    problem = only_problem(write(HOST + ROUTE.replace("EXAMPLE", name)))
    assert (problem.line, problem.key) == (7, "virtualhost.route.organization")
    assert "certs/organizations" in problem.message


def test_an_organization_may_have_spaces_and_signs_as_an_as2_id_may(write: Write) -> None:
    text = HOST + ROUTE.replace('"EXAMPLE"', "'Example + Sons \"A\"'")
    assert read_configuration(write(text)).virtualhosts[0].routes[0].organization == 'Example + Sons "A"'


def test_a_host_name_has_one_listener_whatever_its_case(write: Write) -> None:
    text = HOST + HOST.replace("a.example", "A.EXAMPLE").replace(":0", ":1")
    problem = only_problem(write(text))
    assert (problem.line, problem.key) == (5, "virtualhost.name")
    assert "which is also in line 2: a virtual host has one name and one listener" in problem.message


def test_a_path_has_one_route_in_a_host_and_may_stand_in_another(write: Write) -> None:
    other = HOST.replace("a.example", "b.example") + ROUTE
    problem = only_problem(write(HOST + ROUTE + ROUTE + other))
    assert (problem.line, problem.key) == (10, "virtualhost.route.path")
    assert "which is also in line 5" in problem.message


MISPLACED_PASSWORDS = ['journal = "postgresql://me:hunter2@db/x"', 'journal = "postgres://me:a/hunter2@db/x"']
MISPLACED_PASSWORDS += [
    'journal = "postgresql://db/x?password=hunter2"',
    'journal = "postgresql:me:hunter2@db"',
]
MISPLACED_PASSWORDS += ['journal = "host=db password=hunter2"', 'password = "hunter2"']
MISPLACED_PASSWORDS += ['admin = "me:hunter2@127.0.0.1:1"']


@pytest.mark.parametrize("line", MISPLACED_PASSWORDS)
def test_a_password_in_the_wrong_place_is_never_repeated(write: Write, line: str) -> None:
    problem = only_problem(write(f"[server]\n{line}\n{HOST}"))
    assert problem.line == 2
    assert "hunter2" not in str(problem)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:hunter2@db/x",
        "postgres://db/x?password=hunter2",
        "postgres://db/x?sslmode=require&sslpassword=hunter2",
        "postgresql://db/x?p%61ssword=hunter2",
    ],
)
def test_a_password_in_a_database_url_belongs_in_a_password_file(write: Write, url: str) -> None:
    assert "use a password file" in only_problem(write(f'[server]\njournal = "{url}"\n{HOST}')).message


def test_a_long_value_is_shown_short_and_on_one_line(write: Write) -> None:
    problem = only_problem(write(HOST.replace("a.example", "\\n\\u202e" + "x" * 5000)))
    assert len(problem.message) < 400
    assert str(problem).isprintable()


# --- Files that cannot be read ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "line", "said"),
    [
        (b'[server]\nstate = "a\nb"', 2, 'the text in line 2 is not closed: add " at its end'),
        (b"[server]\n\nstate = ", 3, "is not TOML"),
        (b"[server]\n[server]\n", 2, "[server] is on lines 1 and 2"),
        (b"a = [\n\n\n", 1, "the list that begins in line 1 is not closed"),
        (b'# \n# \xfc\nname = "x"', 2, "is not UTF-8"),
        (b"\xff\xfea\0", 1, "is not UTF-8"),
        (b"a = " + b"9" * 5000, None, "too many digits"),
        (b"a = " + b"[" * 100_000, None, "nested too deeply"),
        (b"#" * ((1 << 20) + 1), None, "larger than 1048576 bytes"),
        (b"\x7fELF\0\0", 1, "is not TOML"),
    ],
)
def test_a_file_that_is_not_toml_is_one_problem_with_its_line(
    write: Write, data: bytes, line: int | None, said: str
) -> None:
    problem = only_problem(write(data))
    assert said in problem.message
    assert problem.line == line


def test_a_missing_file_a_directory_and_a_pipe_say_what_they_are(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "does not exist" in only_problem(tmp_path / "none.toml").message
    assert "is a directory" in only_problem(tmp_path).message
    assert "is not a regular file" in only_problem(tmp_path / "pipe").message
    assert "cannot be read" in only_problem(tmp_path / ("x" * 300)).message
    (tmp_path / "loop").symlink_to("loop")
    assert "cannot be read" in only_problem(tmp_path / "loop").message


# --- Lines --------------------------------------------------------------------------------------------------

TRICKY = '''\
# [not.a.table] key = 1
top = 1 # = 2
"quoted key" . 'in = two' = """
[fake]
fake = 1 \\""" still text
"""
"caf\\u00e9" = 'C:\\'
a.b.c = { d = [ 1, { e = "}" }, [ 2, 3 ] ], "f.g" = 1 }
a.b.h = [
  # ] a comment
  "]",
  { i = 1 },
]
empty = """"""
quotes = """"two" ""\\"""""
literal = \'\'\'
[fake]\'\'\'\'\'
when = 1979-05-27 07:32:00.5
[ table . "x.y" ]
key = 1.5
[[host]]
[[host.route]]
[[host.route]]
path = 1
[host.extra]
z = 1
[[host]]
route = [ { path = 1 },
  { path = 2 } ]
[later.sub]
[later]
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("top",), 2),
        (("quoted key",), 3),
        (("quoted key", "in = two"), 3),
        (("café",), 7),
        (("a", "b", "c", "d", 1, "e"), 8),
        (("a", "b", "c", "d", 2, 1), 8),
        (("a", "b", "c", "f.g"), 8),
        (("a", "b"), 8),
        (("a", "b", "h"), 9),
        (("a", "b", "h", 0), 11),
        (("a", "b", "h", 1, "i"), 12),
        (("empty",), 14),
        (("quotes",), 15),
        (("literal",), 16),
        (("when",), 18),
        (("table", "x.y"), 19),
        (("table", "x.y", "key"), 20),
        (("host",), 21),
        (("host", 0), 21),
        (("host", 0, "route", 1), 23),
        (("host", 0, "route", 1, "path"), 24),
        (("host", 0, "extra", "z"), 26),
        (("host", 1), 27),
        (("host", 1, "route", 0, "path"), 28),
        (("host", 1, "route", 1, "path"), 29),
        (("later", "sub"), 30),
        (("later",), 31),
        (("host", 0, "route", 1, "absent"), 23),
        (("host", 0, "absent", 7, "absent"), 21),
        (("host", 1, "route", 1, "absent"), 29),
        (("absent",), None),
        ((), None),
    ],
)
def test_a_key_is_found_on_its_line_and_a_missing_one_on_its_tables(
    write: Write, path: KeyPath, line: int | None
) -> None:
    assert read_document(write(TRICKY)).line(path) == line


def paths(value: object, at: KeyPath = ()) -> Iterator[KeyPath]:
    """Every path in what tomllib returns."""
    children: list[tuple[str | int, object]] = []
    if isinstance(value, dict):
        children = list(value.items())
    elif isinstance(value, list):
        children = list(enumerate(value))
    for key, child in children:
        yield (*at, key)
        yield from paths(child, (*at, key))


@pytest.mark.parametrize("text", [TRICKY, EXAMPLE, "", "\n", "# only"])
def test_every_path_of_the_file_has_a_line_and_nothing_else_has(write: Write, text: str) -> None:
    assert set(read_document(write(text)).lines) == set(paths(tomllib.loads(text)))


# --- Whatever the bytes are ---------------------------------------------------------------------------------

SPLINTERS = [
    "[",
    "]",
    "[[",
    "]]",
    "{",
    "}",
    '"',
    "'",
    '"""',
    "'''",
    "=",
    ".",
    ",",
    "\n",
    "#",
    "\\",
    " ",
    "a",
    "1",
]
SPLINTERS += [
    "[[virtualhost]]\n",
    "[virtualhost]\n",
    "virtualhost.",
    "route = [{}]\n",
    "a.b = {c = [1, {d = 2}]}\n",
]
SPLINTERS += [
    "\r\n",
    "\0",
    "\ufeff",
    "\u2028",
    "é",
    "true",
    "-inf",
    "07:32:00",
    '"" = 1\n',
    "''.'a.b' = '''\n[x]'''\n",
]


@st.composite
def mutations(draw: st.DrawFn) -> str:
    text = draw(st.sampled_from([EXAMPLE, TRICKY, HOST + ROUTE]))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.sampled_from([0, 0, 1, 2, 40])))
        text = text[:start] + draw(st.sampled_from(SPLINTERS)) + text[end:]
    return text


def survives(file: Path) -> None:
    """Reading it either works or raises our own error; where TOML is right, the lines are too."""
    try:
        document = read_document(file)
    except ConfigurationError:
        pass
    else:
        assert set(document.lines) == set(paths(document.tables))
    with suppress(ConfigurationError):
        assert read_configuration(file).virtualhosts


@given(st.binary(max_size=200))
@example(b"a = 1\x00")
def test_any_bytes_raise_only_our_own_error(write: Write, data: bytes) -> None:
    survives(write(data))


@given(st.lists(st.sampled_from(SPLINTERS), max_size=30).map("".join))
def test_any_pieces_of_toml_raise_only_our_own_error(write: Write, text: str) -> None:
    survives(write(text))


@given(mutations())
def test_any_mutation_of_a_right_file_raises_only_our_own_error(write: Write, text: str) -> None:
    survives(write(text))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=6,
)


def toml(value: object) -> str:
    """A value in TOML; None is a date, which JSON lacks."""
    match value:
        case None:
            return "1979-05-27T07:32:00.25"
        case bool():
            return str(value).lower()
        case str():
            return '"' + "".join(f"\\U{ord(each):08x}" for each in value) + '"'
        case list():
            return "[" + ",\n".join(map(toml, value)) + "]"
        case dict():
            return "{" + ", ".join(f"{toml(key)} = {toml(each)}" for key, each in value.items()) + "}"
    return str(value)


@given(st.sampled_from(sorted(set(paths(tomllib.loads(EXAMPLE))), key=str)), VALUES)
def test_any_value_in_any_place_raises_only_our_own_error(write: Write, path: KeyPath, value: object) -> None:
    tables: Any = tomllib.loads(EXAMPLE)
    inner = tables
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    survives(write("".join(f"{key} = {toml(each)}\n" for key, each in tables.items())))


def test_who_is_told_of_what_ends(write: Write) -> None:
    tables = """
[expiry]
days = [7, 30]
webhook = "https://hooks.example.com/mtlsd"
[expiry.mail]
smtp = "localhost"
from = "mtlsd@example.com"
to = "edi@example.com"
"""
    expiry = read_configuration(write(EXAMPLE.replace("\n[expiry]\n", tables))).expiry
    assert expiry.days == (30, 7)
    assert expiry.webhook
    assert expiry.webhook.host == "hooks.example.com"
    assert expiry.mail == Mail(("localhost", 25), "mtlsd@example.com", ("edi@example.com",))


@pytest.mark.parametrize(
    ("line", "key", "expected"),
    [
        ("days = []", "expiry.days", "expected a list of whole numbers from 0 to 3650"),
        ("days = [7, 7]", "expiry.days", "expected each of the list once"),
        ("days = [-1]", "expiry.days", "expected a list of whole numbers"),
        ("days = 7", "expiry.days", "expected a list of whole numbers"),
        ('webhook = "hooks.example.com"', "expiry.webhook", "expected a URL"),
        ('webhook = "https://user:word@hooks.example.com"', "expiry.webhook", "has credentials"),
        ('mail = { smtp = "a:b", from = "a@b", to = "a@b" }', "expiry.mail.smtp", "expected host:port"),
        ('mail = { smtp = "a", from = "a", to = "a@b" }', "expiry.mail.from", "expected a mail address"),
        (
            'mail = { smtp = "a", from = "a@b", to = ["a@b\\r\\nBcc: c@d"] }',
            "expiry.mail.to",
            "expected a mail address",
        ),
        ('mail = { smtp = "a", to = "a@b" }', "expiry.mail", "is missing: expected a line such as from ="),
        ('mail = { smtp = "a", from = "a@b", to = "a@b", tls = true }', "expiry.mail.tls", "unknown key"),
    ],
)
def test_a_mistake_in_who_is_told_is_named(write: Write, line: str, key: str, expected: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_configuration(write(EXAMPLE.replace("\n[expiry]\n", f"\n[expiry]\n{line}\n")))
    (problem,) = caught.value.problems
    assert (problem.key or "").startswith(key)
    assert expected in problem.message
