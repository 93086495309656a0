"""Who may do what, as owners and operators manage it (SERVER 3): keys, members, links, and who changed what."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

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
from server.api.problems import Mistake, Problem, ProblemType
from server.api.routing import Operation
from server.bodies.json_object import Fields, read_object

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
    call.only_parameters()
    listed = list_keys(access_of(call), call.who, account_of(call))
    return json_answer({"keys": [shown(entry.key, last_used_at=entry.used_at) for entry in listed]})


async def post_key(call: Call) -> Response:
    """Make a key. The answer shows it, this once."""
    call.only_parameters()
    body = await read_object(call)
    role = _role(body)
    order = KeyOrder(role, account_of(call), body.text("actor"), body.text("name") or "", body.time("expires_at"))
    body.finish()
    made = await done(create_key, access_of(call), author_of(call), order)
    call.facts["changed"] = made.key.key_id
    return json_answer({"key": made.text, **shown(made.key)}, 201, {"cache-control": "no-store"})


async def delete_key(call: Call) -> Response:
    """Revoke a key for ever; again gives the first revocation."""
    call.only_parameters()
    access, key_id = access_of(call), call.ids["id"]
    await asyncio.to_thread(access.read_to_end)
    known = access.state.key(key_id)
    if known is None or known.account_id != account_of(call):
        raise Failed(f"there is no key {key_id}", ErrorCode.NOT_FOUND)
    call.facts["changed"] = key_id
    return json_answer(shown(await done(revoke_key, access, author_of(call), key_id)))


async def get_members(call: Call) -> Response:
    """The account's present members, by name."""
    call.only_parameters()
    return json_answer({"members": [shown(member) for member in list_members(access_of(call), account_of(call))]})


async def put_one_member(call: Call) -> Response:
    """Add a member, or change name and email of one."""
    call.only_parameters()
    body = await read_object(call)
    name, email = body.text("name") or "", body.text("email") or ""
    body.finish()
    member = await done(put_member, access_of(call), author_of(call), account_of(call), call.ids["actor"], name, email)
    return json_answer(shown(member))


async def delete_member(call: Call) -> Response:
    """Remove a member: keys, links and sessions of this actor end."""
    call.only_parameters()
    return json_answer(
        shown(await done(remove_member, access_of(call), author_of(call), account_of(call), call.ids["actor"]))
    )


async def get_links(call: Call) -> Response:
    """Links that can still be used, and those whose sessions last; no link itself."""
    call.only_parameters()
    return json_answer({"links": [shown(link) for link in list_links(access_of(call), call.who, account_of(call))]})


async def post_link(call: Call) -> Response:
    """Make a link. The answer shows its token, this once, and the path that a browser opens."""
    call.only_parameters()
    body = await read_object(call)
    role, expires_in = _role(body), DAY
    given = body.text("expires_in")
    if given is not None:
        try:
            expires_in = parse_duration(given)
        except ValueError as error:
            body.wrong("expires_in", str(error))
    order = LinkOrder(role, account_of(call), body.text("actor"), body.text("name") or "", expires_in)
    body.finish()
    made = await done(create_link, access_of(call), author_of(call), order)
    call.facts["changed"] = made.link.link_id
    path = f"{SIGN_IN_PATH}{made.token}"
    return json_answer({"path": path, **shown(made.link)}, 201, {"cache-control": "no-store"})


async def delete_link(call: Call) -> Response:
    """End a link and the session that it began; again gives the first revocation."""
    call.only_parameters()
    access, link_id = access_of(call), call.ids["id"]
    await asyncio.to_thread(access.read_to_end)
    known = access.state.link(link_id)
    if known is None or known.account_id != account_of(call):
        raise Failed(f"there is no link {link_id}", ErrorCode.NOT_FOUND)
    return json_answer(shown(await done(revoke_link, access, author_of(call), link_id)))


async def get_changes(call: Call) -> Response:
    """Who changed what, newest first: of the account in the path, else of all."""
    call.only_parameters("since", "limit")
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


def _role(body: Fields) -> Role:
    """A role of the customer's ladder."""
    given = body.text("role")
    if given not in {Role.MEMBER, Role.OWNER}:
        body.wrong("role", "member or owner")
        return Role.MEMBER
    return Role(given)


_KEYS, _MEMBERS, _LINKS = (f"/v1/accounts/{{account}}/{name}" for name in ("keys", "members", "links"))
OPERATIONS = (
    Operation("GET", _KEYS, Action.MANAGE_KEYS, get_keys, "An account's keys"),
    Operation("POST", _KEYS, Action.MANAGE_KEYS, post_key, "Make a key"),
    Operation("DELETE", f"{_KEYS}/{{id}}", Action.MANAGE_KEYS, delete_key, "Revoke a key"),
    Operation("GET", _MEMBERS, Action.MANAGE_MEMBERS, get_members, "An account's members"),
    Operation("PUT", f"{_MEMBERS}/{{actor}}", Action.MANAGE_MEMBERS, put_one_member, "Add or change a member"),
    Operation("DELETE", f"{_MEMBERS}/{{actor}}", Action.MANAGE_MEMBERS, delete_member, "Remove a member"),
    Operation("GET", _LINKS, Action.MANAGE_LINKS, get_links, "An account's sign-in links"),
    Operation("POST", _LINKS, Action.MANAGE_LINKS, post_link, "Make a sign-in link"),
    Operation("DELETE", f"{_LINKS}/{{id}}", Action.MANAGE_LINKS, delete_link, "End a link and its session"),
    Operation("GET", "/v1/accounts/{account}/changes", Action.READ_CHANGES, get_changes, "Who changed what"),
    Operation("GET", "/v1/changes", Action.READ_STATUS, get_changes, "Who changed what, of all accounts"),
)
