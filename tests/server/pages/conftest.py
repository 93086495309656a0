"""One server and one Chromium for all tests of pages."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from local.chromium import browser as found_browser
from tests.server.pages.world import PagesWorld, opened_pages


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PagesWorld]:
    with opened_pages(tmp_path_factory.mktemp("pages")) as world:
        yield world


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Root has no sandbox; nobody else goes without."""
    program = found_browser()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(program.program),
            env={**os.environ, **program.environment},
            args=["--disable-gpu", *(["--no-sandbox"] if os.getuid() == 0 else [])],
        )
        yield browser
        browser.close()
