"""Vendored files are those of their packages, by checksum."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from local.vendored import FOLDERS, check, files_of


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.parent.name)
def test_the_files_are_as_the_manifest_says(folder: Path) -> None:
    assert check(folder) == []
    for file in files_of(folder):
        assert file.version
        assert file.licence in {"0BSD", "MIT", "MPL-2.0"}


def test_what_differs_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "vendor"
    shutil.copytree(FOLDERS[0], folder)
    (folder / "htmx.min.js").write_text("something else")
    (folder / "uplot.min.js").unlink()
    (folder / "more.js").write_text("")
    problems = check(folder)
    assert sorted(problem.partition(":")[0] for problem in problems) == ["htmx.min.js", "more.js", "uplot.min.js"]


def test_every_package_has_its_licence_beside_it() -> None:
    for folder in FOLDERS:
        for package in json.loads((folder / "manifest.json").read_text()):
            assert any(file["as"].endswith(".LICENSE.txt") for file in package["files"])
