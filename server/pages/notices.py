"""What happened, said once at the top of the next page: after a form has been sent, a browser asks for a page anew."""

from __future__ import annotations

import json

from starlette.responses import Response

from server.pages.cookies import notice_cookie, notice_cookie_name
from server.pages.page_call import PageCall


def redirect_with_notice(call: PageCall, url: str, text: str, secret: str = "", kind: str = "") -> Response:
    """To a page that says `text`, and shows `secret` beside it: what is never shown again. `kind`: `bad` or nothing."""
    cookie = notice_cookie(json.dumps([text, secret, kind]), over_tls=call.over_tls)
    response = Response(b"", 303, {"location": url})
    response.headers.append("set-cookie", cookie)
    return response


def notice_of(call: PageCall) -> tuple[str, str, str] | None:
    """The text, the secret and the kind that the browser was given; None for none."""
    kept = call.cookies.get(notice_cookie_name(over_tls=call.over_tls))
    if kept is None:
        return None
    try:
        text, secret, kind = json.loads(kept)
    except ValueError:
        return None
    return str(text), str(secret), "bad" if kind == "bad" else ""
