"""Every regular expression of the tree is linear: long inputs of whatever it may stumble over end at once.

An expression that is quadratic in any of these texts needs a thousand times as long as a linear one.
"""

import importlib
import pkgutil
import re
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from types import ModuleType

import pytest

import application
import cli
import metering
import replay
import schemas
import sinks
import streams

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
PACKAGES = (metering, schemas, sinks, streams, replay, application, cli)
SEARCHES = {"search", "sub", "subn", "split", "findall", "finditer"}
LENGTH = 100_000
BOUND = 1.0
"""Seconds of CPU for one text: a linear expression needs some milliseconds, a quadratic one ten seconds or more."""
PREFIXES = ("", "a", "[a", '"', " FORMAT a", "Code: 1", "Column: ")
PIECES = (
    " ", "\t", "\n", "a", "A", "1", "0", "_", "-", ".", ":", "/", "\\", '"', "'", "[", "]", "(", "{", "}", "$", "%",
    "#", "<", "a.", "a-", "a ", "1.", "1 ", "a:", " [", "[ ", '" ', '"a', '\\"', "[a]", "a, ", "--", "/*", "*/", "--\n",
    "#!", "://", "a=", "= ", ", ", "Code: 1. ", "column `", "Stack trace:", ": In scope ", " FORMAT a", "SETTINGS ",
    "T1:1:60", ".000", "2026-01-01", "a\n", ";\n", "\r\n", "é", "\x1b", "\u202e", "rerate:",
)  # fmt: skip


def modules() -> Iterator[ModuleType]:
    for package in PACKAGES:
        yield package
        for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not info.name.endswith("__main__") and path_of(info.name).exists():  # else compiled from others' sources
                yield importlib.import_module(info.name)


def path_of(name: str) -> Path:
    """Found by the module's name: `__file__` of a compiled one is the extension."""
    path = ROOT.joinpath(*name.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_name(f"{path.name}.py")


def source_of(module: ModuleType) -> str:
    return path_of(module.__name__).read_text()


def expressions() -> Iterator[tuple[str, re.Pattern[str] | re.Pattern[bytes], tuple[str, ...]]]:
    """Name, expression, and how it is used: `search` stands for every method that begins anywhere in a text."""
    for module in modules():
        source = source_of(module)
        for name, value in vars(module).items():
            pattern = getattr(value, "__self__", value)  # some are kept as their bound method
            if isinstance(pattern, re.Pattern) and re.search(rf"^{name} *[:=]", source, re.MULTILINE):
                used = set(re.findall(rf"\b{name}\.([a-z]+)\(", source))
                methods = ("search",) if used & SEARCHES or not used else tuple(used)
                yield f"{module.__name__}.{name}", pattern, ("fullmatch",) if value is not pattern else methods


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("pattern", "methods"), [pytest.param(pattern, methods, id=name) for name, pattern, methods in expressions()]
)
def test_an_expression_of_the_tree_is_linear(pattern: re.Pattern[str], methods: tuple[str, ...]) -> None:
    for prefix, piece in product(PREFIXES, PIECES):
        text = prefix + piece * (LENGTH // len(piece)) + "!"
        whole = text.encode() if isinstance(pattern.pattern, bytes) else text
        for method in methods:
            began = time.process_time()
            getattr(pattern, method)(whole)
            assert time.process_time() - began < BOUND, (method, prefix, piece)


def test_every_expression_is_kept_under_a_name_of_its_module() -> None:
    """So that the test above sees it: none is made in the middle of a function from a text."""
    direct = re.compile(rf"\bre\.(?:match|fullmatch|{'|'.join(SEARCHES)})\(\s*r?[\"']")
    users = [module.__name__ for module in modules() if direct.search(source_of(module))]
    assert users == []
