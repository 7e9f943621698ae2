"""No decision hangs on wording: every sentence may be reworded without another behaviour.

The source is searched for two things. The text of an exception may be shown, and never compared, searched or taken
apart. And nothing may be compared with a sentence, whoever wrote that. Some libraries give a text and no code: then one
function, in the home of that library, turns the text into a type, and its line is marked with `# no code: ` and why.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TEXT_OF_AN_ERROR = {"args", "detail", "message", "msg", "reason_text", "strerror", "verify_message"}
PREDICATES = {
    *("startswith", "endswith", "removeprefix", "removesuffix", "partition", "rpartition", "split", "rsplit"),
    *("find", "rfind", "index", "rindex", "count", "replace", "translate"),
    *("match", "search", "fullmatch", "findall", "finditer", "sub"),
}

MARK = "# no code: "  # on the line of a decision that nothing but a foreign text allows, with whose text that is
SENTENCE = re.compile(r"[A-Za-z]{2,} [a-z]{2,}")  # two words: for people, and no code, no syntax, no label of PEM
BEGINNING = re.compile(r"[a-z]{2,} ")  # of a text


def modules() -> list[Path]:
    return sorted(path for room in ("mtlsd", "scripts") for path in (ROOT / room).rglob("*.py"))


def decisions(source: str) -> Iterator[tuple[int, str]]:
    """The line of every decision by wording that is not marked, and what decides."""
    lines = source.splitlines()
    for line, what in Reader(ast.parse(source)).found():
        if MARK not in lines[line - 1]:
            yield line, what


class Reader:
    """Follows texts of errors through one module: by assignments, and by calls of its own functions."""

    def __init__(self, tree: ast.Module) -> None:
        self._sentences = {name for name, value in constants(tree) if has_sentence(value)}
        functions = [each for each in ast.walk(tree) if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)]
        self._functions = {each.name: each for each in functions}
        self._scopes: list[ast.AST] = [tree, *functions]
        self._tainted: dict[ast.AST, set[str]] = {each: set() for each in self._scopes}
        while self._spread():
            pass

    def found(self) -> Iterator[tuple[int, str]]:
        """The line of every decision by wording, and what decides."""
        for scope in self._scopes:
            for node in own_nodes(scope):
                line = getattr(node, "lineno", 0)
                for text in judged(node):
                    if self._is_text_of_error(text, scope):
                        yield line, f"the text of an error: {ast.unparse(node)}"
                    elif self._is_sentence(text, scope) and not is_shared_key(node, text):
                        yield line, f"a sentence: {ast.unparse(node)}"

    def _spread(self) -> bool:
        """Taint what texts of errors are assigned or handed to; whether there was anything new."""
        before = sum(map(len, self._tainted.values()))
        for scope in self._scopes:
            for node in own_nodes(scope):
                for name, value in assigned(node):
                    if self._is_text_of_error(value, scope):
                        self._tainted[scope].add(name)
                if isinstance(node, ast.Call):
                    self._call(node, scope)
        return sum(map(len, self._tainted.values())) > before

    def _call(self, call: ast.Call, scope: ast.AST) -> None:
        name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        called = self._functions.get(name)
        if called is None:
            return
        parameters = [each.arg for each in called.args.args if each.arg not in ("self", "cls")]
        handed = [*zip(parameters, call.args, strict=False), *((each.arg, each.value) for each in call.keywords)]
        for parameter, value in handed:
            if parameter and self._is_text_of_error(value, scope):
                self._tainted[called].add(parameter)

    def _is_text_of_error(self, node: ast.AST, scope: ast.AST) -> bool:
        match node:
            case ast.Name(id=name):
                return name in self._tainted[scope]
            case ast.Call(func=ast.Name(id="str" | "repr"), args=[ast.Name(id=name)]) if name in errors_in(scope):
                return True
            case ast.Call(func=ast.Name(id="str" | "repr"), args=[inner]):
                return self._is_text_of_error(inner, scope)
            case ast.Attribute(value=ast.Name(id=name), attr=attr):
                return attr in TEXT_OF_AN_ERROR and name in errors_in(scope)
            case ast.Call(func=ast.Attribute(value=inner)):
                return self._is_text_of_error(inner, scope)
            case ast.Subscript(value=inner):
                return self._is_text_of_error(inner, scope)
            case ast.FormattedValue(value=ast.Name(id=name)) if name in errors_in(scope):
                return True
            case ast.JoinedStr() | ast.FormattedValue() | ast.BoolOp() | ast.BinOp() | ast.IfExp():
                return any(self._is_text_of_error(each, scope) for each in ast.iter_child_nodes(node))
        return False

    def _is_sentence(self, node: ast.AST, scope: ast.AST) -> bool:
        match node:
            case ast.Tuple(elts=several) | ast.Set(elts=several) | ast.List(elts=several):
                return any(self._is_sentence(each, scope) for each in several)
            case ast.Name(id=name) | ast.Attribute(attr=name):
                return name in self._sentences or name in self._looped(scope)
        return has_sentence(node)

    def _looped(self, scope: ast.AST) -> set[str]:
        """The names that stand for each of some sentences in a loop or a comprehension."""
        loops = [each for each in own_nodes(scope) if isinstance(each, ast.comprehension | ast.For)]
        return {ast.unparse(each.target) for each in loops if ast.unparse(each.iter) in self._sentences}


def judged(node: ast.AST) -> Iterator[ast.AST]:
    """What a node decides by: either side of a comparison, a text that is searched, what it is searched for."""
    match node:
        case ast.Compare(left=left, comparators=right):
            yield from (left, *right)
        case ast.Call(func=ast.Attribute(value=text, attr=attr), args=args) if attr in PREDICATES and args:
            yield from (text, *args)
        case ast.Call(func=ast.Attribute(attr="get"), args=[key, *_]) | ast.Subscript(slice=key):
            yield key
        case ast.MatchValue(value=value):
            yield value


def is_shared_key(node: ast.AST, key: ast.AST) -> bool:
    """Whether it is a key that has a name: whoever writes there and whoever reads there use the same one."""
    return isinstance(key, ast.Name) and not isinstance(node, ast.Compare) and not is_predicate(node)


def is_predicate(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in PREDICATES


def errors_in(scope: ast.AST) -> set[str]:
    """The names that are exceptions there: caught, or parameters of such a type."""
    caught = {each.name for each in own_nodes(scope) if isinstance(each, ast.ExceptHandler) and each.name}
    causes = {name for node in own_nodes(scope) for name, value in assigned(node) if "__cause__" in ast.unparse(value)}
    arguments = [*scope.args.args, *scope.args.kwonlyargs] if hasattr(scope, "args") else []
    typed = {each.arg for each in arguments if each.annotation and is_error(each.annotation)}
    return caught | causes | typed


def is_error(annotation: ast.expr) -> bool:
    ends = ("Error", "Exception", "Refused", "Unreadable", "Failed", "Unavailable", "SpoolFull", "Problem")
    return any(each.endswith(ends) for each in ast.unparse(annotation).replace('"', "").split(" | "))


def assigned(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    match node:
        case ast.Assign(targets=[ast.Tuple(elts=names)], value=ast.Tuple(elts=values)):
            yield from (
                (name.id, value) for name, value in zip(names, values, strict=False) if isinstance(name, ast.Name)
            )
        case ast.Assign(targets=targets, value=value):
            yield from ((target.id, value) for target in targets if isinstance(target, ast.Name))
        case ast.NamedExpr(target=ast.Name(id=name), value=value):
            yield name, value


def own_nodes(scope: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a scope, without those of the functions inside of it."""
    waiting = [*ast.iter_child_nodes(scope)]
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            waiting += ast.iter_child_nodes(node)


def constants(tree: ast.Module) -> Iterator[tuple[str, ast.AST]]:
    for node in tree.body:
        yield from assigned(node)


def has_sentence(node: ast.AST) -> bool:
    """Whether it is a text of two words or more, or some of several texts are."""
    match node:
        case ast.Tuple(elts=several) | ast.Set(elts=several) | ast.List(elts=several) | ast.Dict(keys=several):
            return any(map(has_sentence, filter(None, several)))
        case ast.JoinedStr(values=several):
            return any(SENTENCE.search(str(each.value)) for each in several if isinstance(each, ast.Constant))
        case ast.Constant(value=str() | bytes() as text):
            words = text if isinstance(text, str) else text.decode("latin-1")
            return bool(SENTENCE.search(words) or BEGINNING.fullmatch(words))
    return False


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_decision_hangs_on_wording(path: Path) -> None:
    for line, what in decisions(path.read_text()):
        raise AssertionError(f"{path}:{line}: decided by {what}")


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_mark_is_beside_a_decision(path: Path) -> None:
    source = path.read_text()
    marked = {number for number, line in enumerate(source.splitlines(), 1) if MARK in line}
    assert marked <= {line for line, _ in Reader(ast.parse(source)).found()}


CAUGHT = "def act():\n    try:\n        risk()\n    except ValueError as error:\n        {}"


@pytest.mark.parametrize(
    "source",
    [
        CAUGHT.format("if 'password' in str(error): raise"),
        CAUGHT.format("if str(error) == WRONG: raise"),
        CAUGHT.format("return str(error).startswith('no')"),
        CAUGHT.format("return str(error).lower().endswith(('no', 'none'))"),
        CAUGHT.format("return error.args[0] == 'no'"),
        CAUGHT.format("return 'SHA-1' in error.detail"),
        CAUGHT.format("return re.search('no', str(error))"),
        CAUGHT.format("return CODES[str(error)]"),
        "def why(error: OSError):\n    cause = error.__cause__\n    return str(cause) == 'no'",
        CAUGHT.format("told = str(error)\n        return 'no' in told"),
        CAUGHT.format("return hint(str(error))") + "\ndef hint(told):\n    return 'no' in told",
        CAUGHT.format("return hint(f'it: {error}')") + "\ndef hint(told):\n    return 'no' in told",
        "def is_wrong(error: CertificateUnreadable):\n    return str(error).endswith('no')",
        "def brief(problem: Problem):\n    return problem.message.removesuffix(DISABLED)",
        "def act(note):\n    return 'TLS handshake' in note",
        "WORDS = ('TLS handshake', 'x')\ndef act(note):\n    return any(each in note for each in WORDS)",
        "WRONG = 'the password is wrong'\ndef act(note):\n    return note == WRONG",
        "WRONG = 'the password is wrong'\ndef act(note):\n    return note.endswith((WRONG, 'x'))",
        "def is_ours(owner):\n    return not owner.startswith('partner ')",
        "def act(lines):\n    return lines['revocation lists']",
        "def act(error: SSL.Error):\n    words = str(error.args[0][2])\n    return CODES.get(words)",
        "def act(lines):\n    match lines:\n        case 'no such file':\n            return 1",
    ],
)
def test_a_decision_by_wording_is_found(source: str) -> None:
    assert list(decisions(source))


@pytest.mark.parametrize(
    "source",
    [
        CAUGHT.format("raise Refused(str(error)) from error"),
        CAUGHT.format("if error.errno == ENOSPC: raise"),
        CAUGHT.format("if error.reason in CODES: raise"),
        CAUGHT.format("return ' '.join(('it is', *str(error).split()))"),
        "LISTS = 'revocation lists'\ndef act(lines):\n    return lines[LISTS]",
        "def act(header):\n    return header['content-type'] == 'text/html'",
    ],
)
def test_what_only_tells_or_has_a_code_is_left_alone(source: str) -> None:
    assert not list(decisions(source))
