"""Drives pages as people do, and keeps what they must not do: go to another host, or break the security policy."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.server.pages.world import PagesWorld

DESKTOP, PHONE = {"width": 1360, "height": 900}, {"width": 360, "height": 780}
SCREENSHOTS = os.environ.get("CREDITMETER_TEST_SCREENSHOTS")
"""A folder where screenshots are kept; not set: none are made."""
_AXE = Path(__file__).parent / "vendor" / "axe.min.js"
ZONE = "Europe/Berlin"
PATIENCE_MS = 120_000
"""The machine that tests run on may be busy; nothing here is about being quick."""
expect.set_options(timeout=PATIENCE_MS)


class Person:
    """A browser with a session. `faults`: requests to other hosts, messages of the console, errors of scripts."""

    def __init__(self, world: PagesWorld, context: BrowserContext) -> None:
        self.world = world
        self.context = context
        context.set_default_timeout(PATIENCE_MS)
        self.page: Page = context.new_page()
        self.faults: list[str] = []
        self.page.on("request", self._note_request)
        self.page.on("console", lambda message: self.faults.append(message.text) if _is_bad(message.type) else None)
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))

    def open(self, path: str) -> int:
        """Goes to a page of the server; its status."""
        response = self.page.goto(self.world.base + path)
        assert response is not None
        return response.status

    def sign_in(self, link: str) -> None:
        self.page.goto(link)
        self.page.get_by_role("button", name="Sign in").click()
        self.page.wait_for_load_state()

    def sign_in_quickly(self, link: str) -> None:
        """As the button does, without looking at a page."""
        answer = self.context.request.post(link, form={}, headers={"origin": self.world.base}, max_redirects=0)
        assert answer.status == 303

    def axe(self) -> list[str]:
        """What axe finds on this page. It is given to the page by the test, past the page's own policy."""
        if not self.page.evaluate("'axe' in window"):
            self.page.evaluate(_AXE.read_text(encoding="utf-8"))
        answer: dict[str, Any] = self.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        return [
            f"{found['id']}: {found['help']}: {[node['html'][:160] for node in found['nodes'][:3]]}"
            for found in answer["violations"]
        ]

    def is_too_wide(self) -> bool:
        """Whether the page itself scrolls sideways; a table in it may."""
        wide: bool = self.page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
        return wide

    def picture(self, name: str, *, whole: bool = False) -> None:
        """A screenshot into the documents, where it is asked for."""
        if SCREENSHOTS:
            self.page.wait_for_timeout(250)
            self.page.screenshot(path=Path(SCREENSHOTS) / f"{name}.png", full_page=whole)

    def _note_request(self, request: Any) -> None:
        if not request.url.startswith((self.world.base, "data:")):
            self.faults.append(f"asked {request.url}")


@contextmanager
def person(
    world: PagesWorld,
    chromium: Browser,
    link: str | None = None,
    viewport: dict[str, int] | None = None,
    **options: Any,
) -> Iterator[Person]:
    """Somebody at a browser, signed in where a link is given. Whoever leaves has left no fault behind."""
    context = chromium.new_context(viewport=viewport or DESKTOP, timezone_id=ZONE, **options)
    try:
        somebody = Person(world, context)
        if link is not None:
            somebody.sign_in_quickly(link)
        yield somebody
        assert somebody.faults == []
    finally:
        context.close()


def _is_bad(kind: str) -> bool:
    return kind in {"error", "warning"}
