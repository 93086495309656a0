"""Every folder says what it is: a README that names its files and no others, and a docstring for each package."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOPS = ("metering", "schemas", "sinks", "streams", "replay", "application", "server", "cli", "local", "bench")
PACKAGES = sorted(init.parent for top in TOPS for init in (ROOT / top).rglob("__init__.py"))
FOLDERS = [*PACKAGES, *(ROOT / name for name in ("examples", "examples/prices", "examples/producers", "tests"))]


def name_of(folder: Path) -> str:
    return str(folder.relative_to(ROOT))


@pytest.mark.parametrize("folder", FOLDERS, ids=name_of)
def test_its_readme_names_files_that_exist(folder: Path) -> None:
    text = (folder / "README.md").read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        if "://" not in target:
            assert (folder / target).exists(), f"links to {target}, which is not there"
    for named in re.findall(r"`([a-z_0-9/]+\.py)`", text):
        near = [folder / named, ROOT / named, *folder.glob(f"*/{named}")]
        assert any(file.exists() for file in near), f"names {named}, which is not there"


@pytest.mark.parametrize("package", PACKAGES, ids=name_of)
def test_its_readme_names_every_module_and_room(package: Path) -> None:
    """By its file name, or as `python -m`; a room by its folder."""
    text = (package / "README.md").read_text(encoding="utf-8")
    modules = {path.name for path in package.glob("*.py")} - {"__init__.py", "__main__.py"}
    rooms = {f"{init.parent.name}/" for init in package.glob("*/__init__.py")}
    assert {name for name in modules | rooms if name not in text} == set()


def test_the_architecture_draws_every_layer() -> None:
    """The packages of the import contracts, each in the drawing and in the table."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["root_packages"]
    (drawing,) = re.findall(r"## Layers\n.*?```\n(.*?)```", text, re.DOTALL)
    assert {package for package in packages if not re.search(rf"\b{package}\b", drawing)} == set()
    assert {package for package in packages if f"| [`{package}`](../{package}/README.md)" not in text} == set()


@pytest.mark.parametrize("package", PACKAGES, ids=name_of)
def test_its_docstring_is_a_sentence(package: Path) -> None:
    docstring = ast.get_docstring(ast.parse((package / "__init__.py").read_text(encoding="utf-8")))
    assert docstring is not None
    assert re.match(r".{20,}\.(\n|$)", docstring)
