"""The shape of the code: sizes of modules and functions, and tests that mirror the rooms."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("metering", "schemas", "sinks", "streams", "replay", "application", "server", "cli", "local", "client")
INSIDE = {"client": Path("client/creditmeter_client")}
"""Where the code of a room is, if not in the folder of its name."""
WITHOUT_ROOM = {"stories", "examples"}
LONGEST_MODULE = 400
LONGEST_FUNCTION = 70


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def modules(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(node: ast.AST) -> Iterator[Function]:
    """Every function below the node. They stand among statements: its expressions, most of a tree, are passed over."""
    for name in ("body", "orelse", "finalbody", "handlers", "cases"):
        for statement in getattr(node, name, ()):
            if isinstance(statement, Function):
                yield statement
            yield from functions(statement)


def test_no_module_is_too_long_to_be_about_one_thing() -> None:
    lengths = {path: path.read_text().count("\n") for path in modules(*ROOMS, "bench")}
    assert len(lengths) > 250
    assert {str(path): length for path, length in lengths.items() if length > LONGEST_MODULE} == {}


def test_no_function_is_too_long_to_be_seen_at_once() -> None:
    long = {
        f"{path.relative_to(ROOT)}: {node.name}": node.end_lineno - node.lineno + 1
        for path in modules(*ROOMS, "bench")
        for node in functions(tree(path))
        if node.end_lineno is not None and node.end_lineno - node.lineno + 1 > LONGEST_FUNCTION
    }
    assert long == {}


@pytest.mark.parametrize("room", ROOMS)
def test_folders_of_tests_are_folders_of_code(room: str) -> None:
    folders = {path.parent.relative_to(ROOT / "tests") for path in (ROOT / "tests" / room).rglob("test_*.py")}
    assert folders
    inside = {INSIDE.get(room, Path(room)) / folder.relative_to(room) for folder in folders}
    assert {str(folder) for folder in inside if not (ROOT / folder / "__init__.py").exists()} == set()


def test_every_folder_of_tests_is_a_room_or_known_to_be_none() -> None:
    folders = {path.relative_to(ROOT / "tests").parts[0] for path in (ROOT / "tests").rglob("*/test_*.py")}
    assert folders == {*ROOMS, *WITHOUT_ROOM}


def holds_code(path: Path) -> bool:
    """Whether a module does anything, beyond declaring what its names are."""
    return any(
        not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant))
        for node in functions(tree(path))
        for statement in node.body
    )


TESTED_THROUGH = {"application/accounts/standing.py": "tests/server/api/test_accounts.py"}
"""Modules whose test of that name would only repeat the test that imports them."""
TESTED_TOGETHER = {"usage"}
"""Folders of application whose tests ask whole questions, each of which goes through every module."""


def test_every_use_case_has_a_test_of_its_name() -> None:
    untested = {
        str(path.relative_to(ROOT))
        for path in modules("application")
        if holds_code(path) and path.parent.name not in TESTED_TOGETHER
        if not (ROOT / "tests" / path.relative_to(ROOT)).with_name(f"test_{path.name}").exists()
    }
    assert untested == set(TESTED_THROUGH)
    for module, test in TESTED_THROUGH.items():
        assert module.removesuffix(".py").replace("/", ".") in (ROOT / test).read_text()


CLEAN_TESTS = (
    "metering", "schemas", "replay", "local", "examples", "stories", "application/accounts", "application/commands",
    "application/configuration", "application/dead_letters", "application/explaining", "application/input",
    "application/prices", "application/rerating", "application/status", "cli/accounts", "cli/bills", "cli/demo",
    "cli/events", "cli/running", "cli/terminal", "streams/checkpoints", "streams/loading", "streams/log",
    "streams/shell", "streams/state",
)  # fmt: skip


VAGUE = {"told", "found", "each"}
MAYBE_VAGUE = re.compile(rf"\b({'|'.join(VAGUE)})\b\s*([^\w\s]|in\b)")
"""In a text without it none is a name that gets a value: what follows such a name is an operator or `in`."""


@pytest.mark.parametrize("package", [*ROOMS, *(f"tests/{folder}" for folder in CLEAN_TESTS)])
def test_vague_words_are_no_names(package: str) -> None:
    """A name says what it holds: `letters` and not `found`, `letter` and not `each`."""
    vague = {
        f"{path.relative_to(ROOT)}:{node.lineno}: {node.id}"
        for path in modules(package)
        if MAYBE_VAGUE.search(path.read_text())  # a tree takes long to build and to walk
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id in VAGUE
    }
    assert vague == set()
