"""Limits of size and shape that a linter does not know: one screen, abstract or final."""

import ast
import io
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("envs", "agents", "metarl_gan", "scripts")
MAX_FUNCTION_LINES = 60  # of code: blank lines, comments and docstrings do not count
MAX_FILE_LINES = 400
NOT_CODE = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}


def sources(root: Path) -> dict[Path, ast.Module]:
    """Every file of the four folders once (links are not followed), with its syntax tree."""
    return {
        path.relative_to(root): ast.parse(path.read_text(encoding="utf-8"))
        for folder in FOLDERS
        for path in sorted((root / folder).rglob("*.py"))
        if not any(parent.is_symlink() for parent in path.parents if parent != root)
    }


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def docstring_lines(node: ast.AST) -> set[int]:
    body = getattr(node, "body", None)
    if not isinstance(body, list) or not body or not isinstance(body[0], ast.Expr):
        return set()
    value = body[0].value
    if not isinstance(value, ast.Constant) or not isinstance(value.value, str):
        return set()
    return set(range(value.lineno, (value.end_lineno or value.lineno) + 1))


def code_lines(text: str, tree: ast.Module) -> set[int]:
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in NOT_CODE:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(tree):
        lines -= docstring_lines(node)
    return lines


def long_functions(text: str, limit: int) -> list[str]:
    tree = ast.parse(text)
    code = code_lines(text, tree)
    found = []
    for node in functions(tree):
        length = len(code & set(range(node.lineno, (node.end_lineno or node.lineno) + 1)))
        if length > limit:
            found.append(f"{node.name} (line {node.lineno}): {length} lines of code")
    return found


def base_names(node: ast.ClassDef) -> set[str]:
    return {ast.unparse(base).partition("[")[0].rpartition(".")[2] for base in node.bases}


def subclassed_but_concrete(trees: list[ast.Module]) -> list[str]:
    """Names of our classes that others of ours extend although they are no interfaces.

    Exceptions are left out: an error is caught by its more general class.
    """
    classes = {
        node.name: node
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    }
    extended = {base for node in classes.values() for base in base_names(node)}
    return sorted(
        name
        for name in extended & set(classes)
        if not base_names(classes[name]) & {"ABC", "Protocol"}
        and not any("abstractmethod" in ast.unparse(part) for part in classes[name].body)
        and not name.endswith("Error")
    )


def undocumented_methods(tree: ast.Module) -> list[str]:
    """Public methods without a docstring in public classes that implement no interface."""
    return [
        f"{node.name}.{part.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
        if base_names(node) <= {"ABC", "Protocol", "Generic"}
        for part in node.body
        if isinstance(part, ast.FunctionDef) and not part.name.startswith("_")
        if ast.get_docstring(part) is None
    ]


@pytest.fixture(scope="module")
def trees() -> dict[Path, ast.Module]:
    return sources(ROOT)


def test_functions_fit_a_screen(trees: dict[Path, ast.Module]) -> None:
    texts = {path: (ROOT / path).read_text(encoding="utf-8") for path in trees}
    long = {str(path): long_functions(text, MAX_FUNCTION_LINES) for path, text in texts.items()}
    assert {path: found for path, found in long.items() if found} == {}


def test_files_stay_short(trees: dict[Path, ast.Module]) -> None:
    lengths = {
        str(path): len((ROOT / path).read_text(encoding="utf-8").splitlines()) for path in trees
    }
    assert {path: length for path, length in lengths.items() if length > MAX_FILE_LINES} == {}


def test_classes_are_abstract_or_final(trees: dict[Path, ast.Module]) -> None:
    assert subclassed_but_concrete(list(trees.values())) == []


def test_public_methods_are_documented(trees: dict[Path, ast.Module]) -> None:
    found = {str(path): undocumented_methods(tree) for path, tree in trees.items()}
    assert {path: names for path, names in found.items() if names} == {}


def test_the_rules_find_what_they_forbid() -> None:
    text = '''
class Base:
    def run(self):
        """Two lines of code: this one
        is not counted."""
        # nor this

        return 1
class Child(Base):
    def run(self):
        return 2
class Role(ABC):
    @abstractmethod
    def act(self): ...
class Player(Role):
    def act(self):
        return 3
'''
    tree = ast.parse(text)
    assert long_functions(text, 2) == []
    assert len(long_functions(text, 1)) == 3
    assert subclassed_but_concrete([tree]) == ["Base"]
    assert undocumented_methods(tree) == ["Role.act"]
