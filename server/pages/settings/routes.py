"""The Settings page, and the forms of keys, members and links."""

from __future__ import annotations

import asyncio

from starlette.responses import Response

from application.access.access import Access
from application.access.changes import list_changes
from application.access.identity import Action, Role
from application.access.keys import KeyOrder, create_key, list_keys, revoke_key
from application.access.links import DAY, SIGN_IN_PATH, LinkOrder, create_link, list_links, revoke_link
from application.access.members import list_members, put_member, remove_member
from application.access.webhooks import EVENTS, list_webhooks
from server.api.problems import Mistake, Problem, ProblemType
from server.pages.notices import redirect_with_notice
from server.pages.page_call import PageCall
from server.pages.rendering import page
from server.pages.routing import Page
from server.pages.settings.changing import author_of, changed, raise_unless_of_account
from streams.access.records import AccessKey, ChangeRecord

CHANGES = 20
"""Changes that are listed."""
_EXPIRY_DAYS = {"": None, "30": 30, "90": 90, "365": 365}
_LINK_HOURS = {"1": 1, "24": 24, "168": 168}
_ROLES = (Role.MEMBER, Role.OWNER)


async def get_settings(call: PageCall) -> Response:
    """Everything that an owner manages."""
    access, account = call.access, call.account or ""
    await asyncio.to_thread(access.read_to_end)  # another server may have made the change that led here
    changes = await asyncio.to_thread(_changes, call)
    return page(
        call, "settings.html", keys=list_keys(access, call.who, account), members=list_members(access, account),
        links=list_links(access, call.who, account), webhooks=list_webhooks(access, account), events=EVENTS,
        changes=changes, names=_names(access, account, changes), now=access.now(), roles=_ROLES,
    )  # fmt: skip


def _changes(call: PageCall) -> list[ChangeRecord]:
    return list_changes(call.access, call.who, call.account, limit=CHANGES)


def _names(access: Access, account_id: str, changes: list[ChangeRecord]) -> dict[str, str]:
    """By the ids of the account's own keys and links that changes name, ended ones among them: what they are called."""
    ids = {name for change in changes for name in (change.changed_by, change.subject)}
    things = [thing for name in ids for thing in (access.state.key(name), access.state.link(name)) if thing is not None]
    named = [thing for thing in things if thing.account_id == account_id and thing.name]
    return {thing.key_id if isinstance(thing, AccessKey) else thing.link_id: thing.name for thing in named}


async def post_key(call: PageCall) -> Response:
    """Make a key; the next page shows it, this once."""
    days = _EXPIRY_DAYS.get(call.field("days"))
    expires_at = None if days is None else call.access.now() + days * DAY
    order = KeyOrder(_role(call), call.account, call.field("actor") or None, call.field("name"), expires_at)
    made = await changed(create_key, call.access, author_of(call), order)
    call.facts["changed"] = made.key.key_id
    return _back(call, "keys", "Copy this key now: it is shown once, and kept nowhere.", made.text)


async def post_key_revoked(call: PageCall) -> Response:
    """Revoke a key for ever."""
    access = call.access
    await asyncio.to_thread(access.read_to_end)
    known = access.state.key(call.ids["id"])
    raise_unless_of_account(call, None if known is None else known.account_id, "key")
    await changed(revoke_key, access, author_of(call), call.ids["id"])
    return _back(call, "keys", "The key is revoked. It opens nothing any more.")


async def post_member(call: PageCall) -> Response:
    """Add a member, or change one's name and address."""
    fields = (call.field("actor"), call.field("name"), call.field("email"))
    await changed(put_member, call.access, author_of(call), call.account, *fields)
    return _back(call, "members", f"{call.field('name') or call.field('actor')} is a member.")


async def post_member_removed(call: PageCall) -> Response:
    """Remove a member: keys, links and sessions of this actor end."""
    await changed(remove_member, call.access, author_of(call), call.account, call.ids["actor"])
    return _back(call, "members", "The member is removed; keys, links and sessions have ended.")


async def post_link(call: PageCall) -> Response:
    """Make a link; the next page shows it, this once."""
    hours = _LINK_HOURS.get(call.field("hours"), 24)
    order = LinkOrder(_role(call), call.account, call.field("actor") or None, call.field("name"), hours * DAY // 24)
    made = await changed(create_link, call.access, author_of(call), order)
    call.facts["changed"] = made.link.link_id
    face = call.parts.face
    base = face.public_url or f"{'https' if face.over_tls else 'http'}://{call.headers.get('host', '')}"
    text = "Send this link to the one person it is for: it signs in once, whoever opens it first."
    return _back(call, "links", text, f"{base.rstrip('/')}{SIGN_IN_PATH}{made.token}")


async def post_link_revoked(call: PageCall) -> Response:
    """End a link, and the session that it began."""
    access = call.access
    await asyncio.to_thread(access.read_to_end)
    known = access.state.link(call.ids["id"])
    raise_unless_of_account(call, None if known is None else known.account_id, "link")
    await changed(revoke_link, access, author_of(call), call.ids["id"])
    return _back(call, "links", "The link is ended, and the session that it began.")


def _role(call: PageCall) -> Role:
    given = call.field("role")
    if given not in _ROLES:
        mistake = Mistake("role", "member or owner")
        raise Problem(ProblemType.INVALID_ITEMS, "nothing was changed: go back and try again", [mistake])
    return Role(given)


def _back(call: PageCall, section: str, text: str, secret: str = "") -> Response:
    return redirect_with_notice(call, f"{call.account_url('settings')}#{section}", text, secret)


_ACCOUNT = "/accounts/{account}"
PAGES = (
    Page("GET", f"{_ACCOUNT}/settings", Action.MANAGE_MEMBERS, get_settings, "What an owner manages"),
    Page("POST", f"{_ACCOUNT}/keys", Action.MANAGE_KEYS, post_key, "Make a key"),
    Page("POST", f"{_ACCOUNT}/keys/{{id}}/revoke", Action.MANAGE_KEYS, post_key_revoked, "Revoke a key"),
    Page("POST", f"{_ACCOUNT}/members", Action.MANAGE_MEMBERS, post_member, "Add or change a member"),
    Page("POST", f"{_ACCOUNT}/members/{{actor}}/remove", Action.MANAGE_MEMBERS, post_member_removed, "Remove a member"),
    Page("POST", f"{_ACCOUNT}/links", Action.MANAGE_LINKS, post_link, "Make a link"),
    Page("POST", f"{_ACCOUNT}/links/{{id}}/revoke", Action.MANAGE_LINKS, post_link_revoked, "End a link"),
)
