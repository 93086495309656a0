"""Extension modules are used only where they are those of the sources that are there."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from metering.compiled import ROOT, SWITCH, Mode, mode_of
from metering.compiled.sources import MODULES, NOTE, OPTIONS, extensions, note_of, source_of


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A tree with the hot modules' sources, built: with a note, and files where the extension modules would be."""
    for module in MODULES:
        target = tmp_path / source_of(module)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / source_of(module), target)
    for path in (*extensions(), NOTE):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    (tmp_path / NOTE).write_text(note_of(tmp_path))
    return tmp_path


def test_a_build_of_the_sources_that_are_there_is_used(root: Path) -> None:
    assert mode_of(root) == Mode(is_compiled=True)
    assert str(mode_of(root)) == "compiled"


def test_an_edited_source_has_all_interpreted_and_is_named(root: Path) -> None:
    source = root / "metering" / "charging.py"
    source.write_text(source.read_text() + "\n# edited\n")
    mode = mode_of(root)
    assert (mode.is_compiled, mode.is_stale) == (False, True)
    assert str(mode).startswith("interpreted: metering.charging changed after the build; `make venv`")


@pytest.mark.parametrize("note", ["", "{", "[]", '{"python": ".other.so", "sources": {}}', '{"python": 3}'])
def test_a_note_of_another_python_or_a_damaged_one_has_all_interpreted(root: Path, note: str) -> None:
    (root / NOTE).write_text(note)
    mode = mode_of(root)
    assert (mode.is_compiled, mode.is_stale) == (False, True)
    assert "another Python" in mode.reason


def test_without_a_build_all_is_interpreted_and_nothing_is_stale(root: Path) -> None:
    (root / NOTE).unlink()
    assert (mode_of(root).is_compiled, mode_of(root).is_stale) == (False, False)


def test_half_a_build_is_none(root: Path) -> None:
    missing = extensions()[3]
    (root / missing).unlink()
    assert (mode_of(root).is_compiled, mode_of(root).is_stale) == (False, True)
    assert missing in mode_of(root).reason


def test_the_switch_has_all_interpreted(root: Path) -> None:
    assert mode_of(root, "1") == Mode(is_compiled=False, reason=f"{SWITCH} is set")
    assert mode_of(root, "0").is_compiled


def run(code: str, **variables: str) -> str:
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env={**os.environ, **variables}, check=True, capture_output=True
    )
    return result.stdout.decode().strip()


def test_with_the_switch_modules_are_loaded_from_their_sources() -> None:
    code = "import metering.charging as m, metering.state as s; print(m.__file__, s.__file__)"
    assert [Path(file).suffix for file in run(code, **{SWITCH: "1"}).split()] == [".py", ".py"]


def test_what_is_said_is_what_is_done() -> None:
    code = "import metering.compiled as c, metering.state as m; print(c.MODE.is_compiled, m.__file__.endswith('.py'))"
    is_compiled, is_source = run(code).split()
    assert is_compiled != is_source


def test_every_hot_module_has_a_source() -> None:
    assert [module for module in MODULES if not (ROOT / source_of(module)).exists()] == []


@pytest.mark.slow
def test_a_first_installation_can_compile_before_any_other_package_is_there(tmp_path: Path) -> None:
    sources = [source_of(module) for module in MODULES]
    command = [sys.executable, "-m", "mypy", *OPTIONS, "--no-site-packages", f"--cache-dir={tmp_path}", *sources]
    checked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
