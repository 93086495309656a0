"""Where Chromium comes from: the machine's own, else the package, with settings that name its font."""

from __future__ import annotations

from pathlib import Path

import pytest

from local import chromium, packages
from local.process import ServerFailed


def test_the_installed_one_is_taken_as_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "chromium"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert chromium.browser() == chromium.Browser(program)


def test_a_fetched_one_finds_libraries_and_font(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "usr/lib/chromium").mkdir(parents=True)
    (root / "usr/lib/chromium/chromium").touch()
    (root / "usr/lib/chromium/libEGL.so").touch()
    monkeypatch.setattr(packages, "fetch", lambda *_names: packages.UnpackedPackages(root))
    monkeypatch.setenv("PATH", "")
    browser = chromium.browser()
    assert browser.program == root / "usr/lib/chromium/chromium"
    assert str(root / "usr/lib/chromium") in browser.environment["LD_LIBRARY_PATH"]
    assert f"<dir>{root / 'usr/share/fonts'}</dir>" in Path(browser.environment["FONTCONFIG_FILE"]).read_text()


def test_where_it_cannot_be_had_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_names: str) -> packages.UnpackedPackages:
        raise ServerFailed("no network")

    monkeypatch.setattr(packages, "fetch", fail)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ServerFailed, match="apt install chromium fonts-inter"):
        chromium.browser()
