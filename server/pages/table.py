"""All pages. A new one adds its tuple here, and is then routed and authorised."""

from __future__ import annotations

from server.api.routing import Operation
from server.pages import sign_in, why
from server.pages.history import routes as history
from server.pages.operator import accounts, dead_letters, status, support
from server.pages.overview import routes as overview
from server.pages.routing import Page
from server.pages.settings import routes as settings
from server.pages.settings import webhooks
from server.pages.static_files import PATH, get_static

PAGES: tuple[Operation, ...] = (
    *sign_in.PAGES,
    *overview.PAGES,
    *history.PAGES,
    *why.PAGES,
    *settings.PAGES,
    *webhooks.PAGES,
    *support.PAGES,
    *accounts.PAGES,
    *dead_letters.PAGES,
    *status.PAGES,
    Page("GET", f"{PATH}/{{name}}", None, get_static, "Scripts, styles and pictures"),
)
