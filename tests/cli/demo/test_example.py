"""The demo's example is found in the repository and in a wheel; a wheel holds it, and every package."""

from __future__ import annotations

import importlib.util
import tomllib
from pathlib import Path

import pytest
from setuptools import Distribution, find_packages

from cli.demo.example import BOOK_NAME, EVENTS_NAME, example_folder, next_steps

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "examples" / "prices"


def test_in_the_repository_it_is_the_example_that_people_see() -> None:
    assert example_folder() == EXAMPLES
    assert (EXAMPLES / EVENTS_NAME).is_file()
    assert f"creditmeter prices publish examples/prices/{BOOK_NAME}" in next_steps()


def test_without_a_repository_it_lies_beside_the_demo(tmp_path: Path) -> None:
    beside = ROOT / "cli" / "demo"
    assert example_folder(tmp_path) == beside
    commands = next_steps(tmp_path)
    assert f"creditmeter emit {beside / EVENTS_NAME}" in commands
    assert not any(command.startswith("make") for command in commands)


@pytest.mark.parametrize("editable", [False, True])
def test_the_build_copies_it_there(editable: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    spec = importlib.util.spec_from_file_location("creditmeter_setup", ROOT / "setup.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    build = module.BuildWithExample(Distribution({"packages": ["cli", "cli.demo"], "script_name": "setup.py"}))
    build.build_lib = str(tmp_path)
    build.ensure_finalized()
    build.editable_mode = editable
    build.run()
    for name in (BOOK_NAME, EVENTS_NAME):
        copy = tmp_path / "cli" / "demo" / name
        assert copy.exists() is not editable
        assert editable or copy.read_bytes() == (EXAMPLES / name).read_bytes()


def test_a_wheel_holds_every_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    include = project["tool"]["setuptools"]["packages"]["find"]["include"]
    tops = [pattern.rstrip("*") for pattern in include]
    folders = {file.parent.relative_to(ROOT) for top in tops for file in (ROOT / top).rglob("*.py")}
    assert set(find_packages(str(ROOT), include=include)) == {".".join(folder.parts) for folder in folders}
