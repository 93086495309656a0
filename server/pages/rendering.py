"""Templates to HTML. What is shown is escaped, and control characters and changes of direction are written out.

No template has a script or style in it: the headers forbid both, and everything of another host.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.responses import Response

from application.usage.query import REFUNDED
from metering.records import Decision, Outcome
from metering.windows import parse_instant
from server.api.paths import segment_of
from server.pages import times
from server.pages.cookies import notice_cookie
from server.pages.notices import notice_of
from server.pages.page_call import PageCall
from server.pages.static_files import static_url
from sinks.printable import visible

HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "referrer-policy": "same-origin",  # with no-referrer, browsers would say "null" as the Origin of a form
    "x-frame-options": "DENY",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
"""What every page is sent with, beside what every answer has."""
BADGES = frozenset({*Decision, *Outcome, REFUNDED})
"""Words that have a colour of their own."""
HTML = "text/html; charset=utf-8"


def page(call: PageCall, template: str, status: int = 200, **values: Any) -> Response:
    """The page of a template, for whoever has signed in."""
    notice = notice_of(call)
    content = _environment().get_template(template).render(
        call=call, who=call.identity, face=call.parts.face, zone=call.zone, notice=notice, **values
    )  # fmt: skip
    response = Response(content, status, HEADERS, HTML)
    if notice is not None:
        response.headers.append("set-cookie", notice_cookie(None, over_tls=call.over_tls))
    return response


def redirect(url: str, *cookies: str) -> Response:
    """To another page, to be asked for with GET. `cookies`: headers that set some."""
    response = Response(b"", 303, {**HEADERS, "location": quote(url, safe="/?&=%~+:#.-_,;@!$'()*")})
    for cookie in cookies:
        response.headers.append("set-cookie", cookie)
    return response


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("server.pages"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, finalize=_shown, auto_reload=False,
    )  # fmt: skip
    environment.filters |= {
        "number": number, "signed": signed, "exact": _exact, "data": _data, "datetime": times.date_time,
        "date": times.date, "iso": times.iso, "mixed": _mixed, "sentence": _sentence,
    }  # fmt: skip
    environment.globals |= {"static": static_url, "badges": BADGES, "segment": segment_of, "field_day": times.field_day}
    return environment


def _shown(value: object) -> object:
    """What an expression shows: nothing for None, texts with what would act on a reader's screen written out."""
    if value is None:
        return ""
    if isinstance(value, str) and not isinstance(value, Markup):
        return visible(value)
    return value


def _exact(value: str) -> Markup:
    """A text as the value of a field that is sent back: escaped, not written out."""
    return escape(value)


_INSTANT = re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z\b")


def _sentence(text: str, zone: ZoneInfo) -> Markup:
    """A sentence of an explanation, its instants as times of the reader's zone."""
    parts, done = [], 0
    for match in _INSTANT.finditer(text):
        shown = times.date_time(parse_instant(match[0]), zone)
        parts += [
            escape(visible(text[done : match.start()])),
            Markup('<time datetime="{}">{}</time>').format(match[0], shown),
        ]
        done = match.end()
    return Markup("").join([*parts, escape(visible(text[done:]))])


def number(value: int) -> str:
    """With separators of thousands, and a minus that is one: 1,234."""
    return f"{value:,}".replace("-", "\u2212")


def signed(value: int) -> str:
    """With its sign where it is below 0 or above."""
    return f"+{number(value)}" if value > 0 else number(value)


def _data(value: Mapping[str, Any]) -> str:
    """A value for a data attribute, which a script reads."""
    return json.dumps(value, separators=(",", ":"))


def _mixed(text: str) -> Markup:
    """An id in running text: told apart from it, and without effect on its direction."""
    return Markup("<bdi>{}</bdi>").format(visible(text))
