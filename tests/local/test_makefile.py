"""The Makefile's words for people: what there is to do, and what is missing on their machine."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests import quick

ROOT = Path(__file__).parents[2]


def make(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(["make", *words], cwd=folder, capture_output=True, text=True)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What `make venv` reads, in a folder without a virtual environment."""
    (tmp_path / "client").mkdir()
    for name in ("Makefile", "pyproject.toml", "client/pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def fake_python(folder: Path, *, version_is_enough: bool, has_venv: bool) -> str:
    program = folder / "some-python"
    program.write_text(
        "#!/bin/sh\n"
        'case "$*" in\n'
        "  --version) echo 'Python 3.x';;\n"
        f"  *version_info*) exit {0 if version_is_enough else 1};;\n"
        f"  *ensurepip*) exit {0 if has_venv else 1};;\n"
        "  *) echo unexpected: $*; exit 9;;\n"
        "esac\n"
    )
    program.chmod(0o755)
    return f"PYTHON={program}"


def test_help_is_the_default_and_lists_every_target_for_people() -> None:
    said = make(ROOT).stdout
    assert said == make(ROOT, "help").stdout
    listed = re.findall(r"^  make (\S+)", said, re.MULTILINE)
    assert listed == ["help", "venv", "services", "test", "test-quick", "lint", "bench", "demo", "up", "down", "clean"]


def test_a_python_that_is_not_there(checkout: Path) -> None:
    done = make(checkout, "venv", "PYTHON=no-such-python")
    assert done.returncode != 0
    assert "no-such-python was not found: install Python 3.11 or newer" in done.stderr


def test_a_python_that_is_too_old(checkout: Path) -> None:
    done = make(checkout, "venv", fake_python(checkout, version_is_enough=False, has_venv=True))
    assert done.returncode != 0
    assert "Python 3.x is too old: 3.11 or newer is needed" in done.stderr


def test_a_python_without_venv(checkout: Path) -> None:
    done = make(checkout, "venv", fake_python(checkout, version_is_enough=True, has_venv=False))
    assert done.returncode != 0
    assert "has no venv module: install it (Debian: apt install python3-venv)" in done.stderr


def test_the_ci_script_can_be_read_by_bash() -> None:
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    assert subprocess.run(["bash", "-n", str(script)], capture_output=True).returncode == 0


def test_quick_tests_are_those_of_every_folder() -> None:
    """Each folder in one share: with one forgotten, its tests would never be among them. Lint looks at the layout."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
    words = [word for share in quick.SHARES for word in share]
    left_out = [word.removeprefix("--ignore=") for word in words if word.startswith("-")]
    tested = sorted(word for word in words if not word.startswith("-") and word not in left_out)
    assert tested == sorted({*settings["testpaths"]} - {"tests/test_layout.py"})
    assert all(word in words for word in left_out)


def test_a_failure_of_any_share_of_the_quick_tests_is_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[int] = []

    class Ended:
        def __init__(self, command: list[str], **_options: object) -> None:
            assert command[-1] in {share[-1] for share in quick.SHARES}

        def wait(self) -> int:
            return ended.pop()

    monkeypatch.setattr(subprocess, "Popen", Ended)
    expected = {
        (0, 0, 0): 0, (5, 0, 0): 0, (0, 5, 5): 0, (5, 5, 5): 5, (1, 0, 0): 1, (0, 1, 0): 1, (0, 0, 1): 1,
        (5, 2, 0): 2, (1, 5, 5): 1,
    }  # fmt: skip
    for codes, code in expected.items():
        ended[:] = codes
        assert quick.main([]) == code, codes
