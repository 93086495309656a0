"""The client is a distribution of its own: nothing of the pipeline is imported, nor, but for extras, any package."""

import ast
import sys
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "client" / "creditmeter_client"
EXTRAS = {"kafka": {"confluent_kafka", "fastavro"}, "middleware": {"limits"}}


def test_it_imports_the_standard_library_itself_and_in_some_folders_an_extra() -> None:
    strangers = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        allowed = {*sys.stdlib_module_names, "creditmeter_client", *EXTRAS.get(path.relative_to(PACKAGE).parts[0], ())}
        names = {
            name
            for node in ast.walk(ast.parse(path.read_text()))
            for name in (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
        }
        if others := {name for name in names if name.partition(".")[0] not in allowed}:
            strangers[str(path)] = others
    assert strangers == {}


def test_only_one_module_reads_a_clock() -> None:
    readers = {
        path.name
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Import) and any(alias.name in {"time", "datetime"} for alias in node.names)
    }
    assert readers == {"clock.py"}
