"""Signing in by a link, and out. GET shows a button and changes nothing: programs that scan mail open every link."""

from __future__ import annotations

import asyncio

from starlette.responses import Response

from application.access.errors import KeyRefused
from application.access.identity import Role
from application.access.links import SIGN_IN_PATH, presented_link, sign_out, use_link
from application.usage.buckets import UnknownZone, zone_of
from server.api.paths import segment_of
from server.pages.cookies import TIME_ZONE, preference_cookie, session_cookie
from server.pages.page_call import PageCall
from server.pages.rendering import page, redirect
from server.pages.routing import SIGNED_IN, Page

_SIGN_IN = f"{SIGN_IN_PATH}{{token}}"
SIGN_IN_PATHS = (_SIGN_IN,)
"""Where a form needs no session."""


async def get_link(call: PageCall) -> Response:
    """The button that signs in; what is wrong with the link where it opens nothing."""
    try:
        link = await asyncio.to_thread(presented_link, call.access, call.ids["token"])
    except KeyRefused as error:
        return page(call, "sign_in.html", 401, link=None, why=error.message)
    return page(call, "sign_in.html", link=link, why=None)


async def post_link(call: PageCall) -> Response:
    """Sign in, which each link allows once."""
    try:
        session = await asyncio.to_thread(use_link, call.access, call.ids["token"], call.address)
    except KeyRefused as error:
        return page(call, "sign_in.html", 401, link=None, why=error.message)
    call.facts["session"] = session.identity.key_id
    seconds = max(0, session.ends_at - call.access.now()) // 1_000
    cookies = [session_cookie(session.token, seconds, over_tls=call.over_tls)]
    zone = call.field("tz")
    try:
        if zone and TIME_ZONE not in call.cookies:
            cookies.append(preference_cookie(TIME_ZONE, zone_of(zone).key))
    except UnknownZone:
        pass  # a browser that names none that is known here: times are in UTC
    return redirect("/", *cookies)


async def get_first_page(call: PageCall) -> Response:
    """Where somebody begins who has signed in."""
    return redirect(first_page_of(call))


async def post_sign_out(call: PageCall) -> Response:
    """End the session."""
    if call.session is not None:
        await asyncio.to_thread(sign_out, call.access, call.session, call.address)
    call.session = call.identity = call.account = None
    response = page(call, "signed_out.html", problem=None)
    response.headers.append("set-cookie", session_cookie("", 0, over_tls=call.over_tls))
    return response


def first_page_of(call: PageCall) -> str:
    """An operator finds accounts first; a customer's people see their own."""
    if call.who.role is Role.OPERATOR or call.who.account_id is None:
        return "/operator"
    return f"/accounts/{segment_of(call.who.account_id)}"


PAGES = (
    Page("GET", _SIGN_IN, None, get_link, "A button that signs in"),
    Page("POST", _SIGN_IN, None, post_link, "Sign in"),
    Page("GET", "/", SIGNED_IN, get_first_page, "Where one begins"),
    Page("POST", "/sign-out", SIGNED_IN, post_sign_out, "Sign out"),
)
