"""Who may do what, as owners and operators manage it (SERVER 3): keys, members, links, and who changed what."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated, TypeVar

from msgspec import Meta
from starlette.responses import Response

from application.access.access import Access
from application.access.authors import Author
from application.access.changes import list_changes
from application.access.checks import BadAccessFields
from application.access.identity import Action, Role
from application.access.keys import KeyOrder, create_key, list_keys, revoke_key
from application.access.links import DAY, SIGN_IN_PATH, LinkOrder, create_link, list_links, revoke_link
from application.access.members import list_members, put_member, remove_member
from application.errors import ErrorCode, Failed
from metering.windows import parse_duration
from server.api.access_json import shown
from server.api.answers import json_answer
from server.api.call import Call
from server.api.contract import Link, Parameter, id_of_answer
from server.api.problems import Mistake, Problem, ProblemType
from server.api.routing import Operation
from server.bodies.typed_object import read_typed
from server.messages.access import (
    ChangeList,
    KeyBody,
    KeyList,
    KeyMade,
    KeyState,
    LinkBody,
    LinkList,
    LinkMade,
    LinkShown,
    MemberBody,
    MemberList,
    MemberShown,
)

T = TypeVar("T")


def access_of(call: Call) -> Access:
    """The server's access. Raises Problem where it has none."""
    if call.parts.access is None:
        raise Problem(ProblemType.UNAVAILABLE, "this server manages no access")
    return call.parts.access


def author_of(call: Call) -> Author:
    """Who asks, and the address of whoever is connected: of a proxy, where one stands before the server."""
    client = call.scope.get("client")
    return Author(call.who, client[0] if client else "")


async def note_change(call: Call, action: str, subject: str, account_id: str | None, **details: str) -> None:
    """Lists what is about to be sent, with who, when and from where. Raises AccessUnavailable: then nothing is sent."""
    if call.parts.access is not None:
        await asyncio.to_thread(
            call.parts.access.note_change, author_of(call), action, subject, account_id, **details
        )  # fmt: skip


async def done(work: Callable[..., T], *arguments: object) -> T:
    """The use case's result, from a thread. Raises Problem for wrong fields, UseCaseError."""
    try:
        return await asyncio.to_thread(work, *arguments)
    except BadAccessFields as error:
        mistakes = [Mistake(f"/{field}", text) for field, text in error.mistakes]
        raise Problem(ProblemType.INVALID_ITEMS, "the body is wrong; nothing was changed", mistakes) from error


def account_of(call: Call) -> str:
    """The account of the path."""
    if call.account is None:
        raise Problem(ProblemType.NOT_FOUND, "name an account")
    return call.account


async def get_keys(call: Call) -> Response:
    """The account's keys, newest first, revoked ones among them; no key itself."""
    listed = list_keys(access_of(call), call.who, account_of(call))
    return json_answer({"keys": [shown(entry.key, last_used_at=entry.used_at) for entry in listed]})


async def post_key(call: Call) -> Response:
    """Make a key. The answer shows it, this once."""
    given = (await read_typed(call, KeyBody)).finish()
    order = KeyOrder(Role(given.role), account_of(call), given.actor, given.name or "", given.expires_at)
    made = await done(create_key, access_of(call), author_of(call), order)
    call.facts["changed"] = made.key.key_id
    return json_answer({"key": made.text, **shown(made.key)}, 201, {"cache-control": "no-store"})


async def delete_key(call: Call) -> Response:
    """Revoke a key for ever; again gives the first revocation."""
    access, key_id = access_of(call), call.ids["id"]
    await asyncio.to_thread(access.read_to_end)
    known = access.state.key(key_id)
    if known is None or known.account_id != account_of(call):
        raise Failed(f"there is no key {key_id}", ErrorCode.NOT_FOUND)
    call.facts["changed"] = key_id
    return json_answer(shown(await done(revoke_key, access, author_of(call), key_id)))


async def get_members(call: Call) -> Response:
    """The account's present members, by name."""
    return json_answer({"members": [shown(member) for member in list_members(access_of(call), account_of(call))]})


async def put_one_member(call: Call) -> Response:
    """Add a member, or change name and email of one."""
    given = (await read_typed(call, MemberBody)).finish()
    member = await done(
        put_member, access_of(call), author_of(call), account_of(call), call.ids["actor"], given.name or "",
        given.email or "",
    )  # fmt: skip
    return json_answer(shown(member))


async def delete_member(call: Call) -> Response:
    """Remove a member: keys, links and sessions of this actor end."""
    return json_answer(
        shown(await done(remove_member, access_of(call), author_of(call), account_of(call), call.ids["actor"]))
    )


async def get_links(call: Call) -> Response:
    """Links that can still be used, and those whose sessions last; no link itself."""
    return json_answer({"links": [shown(link) for link in list_links(access_of(call), call.who, account_of(call))]})


async def post_link(call: Call) -> Response:
    """Make a link. The answer shows its token, this once, and the path that a browser opens."""
    body = await read_typed(call, LinkBody)
    expires_in, given = DAY, body.given
    if given.expires_in is not None:
        try:
            expires_in = parse_duration(given.expires_in)
        except ValueError as error:
            body.wrong("expires_in", str(error))
    body.finish()
    order = LinkOrder(Role(given.role), account_of(call), given.actor, given.name or "", expires_in)
    made = await done(create_link, access_of(call), author_of(call), order)
    call.facts["changed"] = made.link.link_id
    path = f"{SIGN_IN_PATH}{made.token}"
    return json_answer({"path": path, **shown(made.link)}, 201, {"cache-control": "no-store"})


async def delete_link(call: Call) -> Response:
    """End a link and the session that it began; again gives the first revocation."""
    access, link_id = access_of(call), call.ids["id"]
    await asyncio.to_thread(access.read_to_end)
    known = access.state.link(link_id)
    if known is None or known.account_id != account_of(call):
        raise Failed(f"there is no link {link_id}", ErrorCode.NOT_FOUND)
    return json_answer(shown(await done(revoke_link, access, author_of(call), link_id)))


async def get_changes(call: Call) -> Response:
    """Who changed what, newest first: of the account in the path, else of all."""
    mistakes = []
    since, limit = call.parameter("since") or "0", call.parameter("limit") or "100"
    for name, text in (("since", since), ("limit", limit)):
        if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS):
            mistakes.append(Mistake(name, "a whole number: since in ms, limit from 1 to 10,000"))
    if mistakes:
        raise Problem(ProblemType.INVALID_PARAMETERS, "parameters are wrong", mistakes)
    account_id = account_of(call) if "account" in call.ids else None

    def read() -> list[dict[str, object]]:
        changes = list_changes(access_of(call), call.who, account_id, since=int(since), limit=int(limit))
        return [shown(change) for change in changes]

    return json_answer({"changes": await asyncio.to_thread(read)})


_DIGITS = 15


_KEYS, _MEMBERS, _LINKS = (f"/v1/accounts/{{account}}/{name}" for name in ("keys", "members", "links"))
_CHANGES = (
    Parameter("since", "changes of this time on, in ms", Annotated[int, Meta(ge=0, lt=10**_DIGITS)]),
    Parameter("limit", "how many, 100 unless given", Annotated[int, Meta(ge=1, lt=10**_DIGITS)]),
)
OPERATIONS = (
    Operation("GET", _KEYS, Action.MANAGE_KEYS, get_keys, "An account's keys", (), None, {200: KeyList}),
    Operation(
        "POST", _KEYS, Action.MANAGE_KEYS, post_key, "Make a key", (), KeyBody, {201: KeyMade},
        links={"revoke": Link(f"DELETE {_KEYS}/{{id}}", id_of_answer("key_id"), 201)},
    ),
    Operation("DELETE", f"{_KEYS}/{{id}}", Action.MANAGE_KEYS, delete_key, "Revoke a key", (), None, {200: KeyState}),
    Operation("GET", _MEMBERS, Action.MANAGE_MEMBERS, get_members, "An account's members", (), None, {200: MemberList}),
    Operation(
        "PUT", f"{_MEMBERS}/{{actor}}", Action.MANAGE_MEMBERS, put_one_member, "Add or change a member", (), MemberBody,
        {200: MemberShown}, links={"remove": Link(f"DELETE {_MEMBERS}/{{actor}}", id_of_answer("actor", "actor"))},
    ),
    Operation(
        "DELETE", f"{_MEMBERS}/{{actor}}", Action.MANAGE_MEMBERS, delete_member, "Remove a member", (), None,
        {200: MemberShown},
    ),
    Operation("GET", _LINKS, Action.MANAGE_LINKS, get_links, "An account's sign-in links", (), None, {200: LinkList}),
    Operation(
        "POST", _LINKS, Action.MANAGE_LINKS, post_link, "Make a sign-in link", (), LinkBody, {201: LinkMade},
        links={"end": Link(f"DELETE {_LINKS}/{{id}}", id_of_answer("link_id"), 201)},
    ),
    Operation(
        "DELETE", f"{_LINKS}/{{id}}", Action.MANAGE_LINKS, delete_link, "End a link and its session", (), None,
        {200: LinkShown},
    ),
    Operation(
        "GET", "/v1/accounts/{account}/changes", Action.READ_CHANGES, get_changes, "Who changed what", _CHANGES, None,
        {200: ChangeList},
    ),
    Operation(
        "GET", "/v1/changes", Action.READ_STATUS, get_changes, "Who changed what, of all accounts", _CHANGES, None,
        {200: ChangeList},
    ),
)  # fmt: skip
