"""Sign-in links: made for somebody, used once, then a session; revoked, listed.

A link's token is signed with a key derived from secret_key and names the link's record in `credits.access`, which says
whom it signs in and whether it was used. The first use in the log wins: it is decided on the newest state, by the one
writer that the topic has at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from application.access.access import Access
from application.access.authors import Author, raise_unless_given
from application.access.checks import BadAccessFields, raise_on_mistakes
from application.access.errors import KeyExpired, KeyRevoked, KeyUnknown, NotAllowed
from application.access.identity import Identity, Role, allows
from application.access.ids import new_id
from application.access.secret_keys import BadToken
from application.access.sessions import SESSION_MS, Session, session_token, signed_in
from application.configuration.settings import Settings
from application.errors import ErrorCode, Failed
from streams.access.records import LinkUse, Thing
from streams.access.state import AccessState

SIGN_IN_PATH = "/sign-in/"
"""A link's token follows it. GET shows a button, POST signs in: mail scanners follow GET."""
DAY = 24 * 3_600_000
LONGEST = 30 * DAY
"""For how long a link can be used at most, ms."""


@dataclass(frozen=True, slots=True)
class LinkOrder:
    """Whom a link signs in, and for how long it can be used (ms). No account: an operator."""

    role: Role
    account_id: str | None = None
    actor: str | None = None
    name: str = ""
    expires_in: int = DAY


@dataclass(frozen=True, slots=True)
class NewLink:
    """A link that was just made. Who has the token can sign in with it, once: it is kept nowhere."""

    token: str
    link: LinkUse


def create_link(access: Access, author: Author, order: LinkOrder) -> NewLink:
    """Make a link. Raises BadAccessFields, NotAllowed, Misconfigured without a secret_key, AccessUnavailable."""
    now = access.now()
    fields = {"role": order.role, "account_id": order.account_id, "actor": order.actor, "name": order.name}
    raise_on_mistakes(fields, now)
    if not 0 < order.expires_in <= LONGEST:
        raise BadAccessFields([("expires_in", "more than nothing, and at most 30 days")])
    if order.role is Role.PRODUCER:
        raise BadAccessFields([("role", "a producer has keys and signs in nowhere")])
    raise_unless_given(author, order.role, order.account_id)
    link = LinkUse(
        link_id=new_id("link"), role=order.role, account_id=order.account_id, actor=order.actor, name=order.name,
        created_at=now, created_by=author.name, created_from=author.address, expires_at=now + order.expires_in,
    )  # fmt: skip
    token = access.link_signer.sign(f"{link.link_id} {link.expires_at}".encode())
    access.change(
        author, "link.created", link.link_id, lambda _state: [link], order.account_id, role=order.role, name=order.name
    )
    return NewLink(token, link)


def link_url(settings: Settings, token: str) -> str:
    """Where a browser opens a link."""
    base = settings.public_url or f"http://127.0.0.1:{settings.serve_port}"
    return f"{base.rstrip('/')}{SIGN_IN_PATH}{token}"


def presented_link(access: Access, token: str) -> LinkUse:
    """The link of a token while it can still be used: what a page with a button shows; nothing changes.

    Raises KeyUnknown, KeyExpired, KeyRevoked (also where it was used), AccessUnavailable, Misconfigured.
    """
    try:
        link_id, expires_at = access.link_signer.read(token).decode().split(" ")
    except (BadToken, ValueError):
        raise KeyUnknown("there is no such link") from None
    if int(expires_at) <= access.now():
        raise KeyExpired("this link's time is over: ask for a new one")
    access.read_to_end()
    return _usable(access.state, link_id)


def use_link(access: Access, token: str, address: str) -> Session:
    """Sign in, which each link allows once. Raises as `presented_link`."""
    link_id = presented_link(access, token).link_id
    used: list[LinkUse] = []

    def decide(state: AccessState) -> Sequence[Thing]:
        link, now = _usable(state, link_id), access.now()
        if link.expires_at <= now:
            raise KeyExpired("this link's time is over: ask for a new one")
        used[:] = [
            replace(
                link, used_at=now, used_from=address, session_ends_at=now + SESSION_MS, revision=link.revision + 1
            )
        ]  # fmt: skip
        return used

    link = access.state.link(link_id)
    author = Author(signed_in(link or _usable(access.state, link_id)), address)
    access.change(author, "link.used", link_id, decide, author.identity.account_id)
    return Session(session_token(access, used[0]), signed_in(used[0]), used[0].session_ends_at or 0)


def _usable(state: AccessState, link_id: str) -> LinkUse:
    link = state.link(link_id)
    if link is None:
        raise KeyUnknown("there is no such link")
    if link.revoked_at is not None:
        raise KeyRevoked("this link was revoked: ask for a new one")
    if link.used_at is not None:
        raise KeyRevoked("this link was used already: ask for a new one")
    if link.actor is not None and link.account_id is not None:
        member = state.member(link.account_id, link.actor)
        if member is not None and member.removed_at is not None:
            raise KeyRevoked("the member whom this link is for was removed")
    return link


def revoke_link(access: Access, author: Author, link_id: str) -> LinkUse:
    """End a link, and the session that it began. One that was revoked stays as it is, with who did it first.

    Raises Failed (NOT_FOUND), also for another account's; NotAllowed; AccessUnavailable.
    """
    access.read_to_end()
    known = access.state.link(link_id)
    if known is None or (author.identity.role is not Role.OPERATOR and known.account_id != author.identity.account_id):
        raise Failed(f"there is no link {link_id}", ErrorCode.NOT_FOUND)
    raise_unless_given(author, Role(known.role), known.account_id)
    return _revoked(access, author, known, "link.revoked")


def sign_out(access: Access, session: Session, address: str) -> None:
    """End a session by its own wish. Raises AccessUnavailable."""
    link = access.state.link(session.identity.key_id)
    if link is not None:
        _revoked(access, Author(session.identity, address), link, "link.signed_out")


def _revoked(access: Access, author: Author, known: LinkUse, action: str) -> LinkUse:
    if known.revoked_at is not None:
        return known
    revoked: list[LinkUse] = []

    def decide(state: AccessState) -> Sequence[Thing]:
        link = state.link(known.link_id) or known
        revoked[:] = [link]
        if link.revoked_at is not None:
            return []
        revoked[:] = [
            replace(
                link, revoked_at=access.now(), revoked_by=author.name, revoked_from=author.address,
                revision=link.revision + 1,
            )
        ]  # fmt: skip
        return revoked

    access.change(author, action, known.link_id, decide, known.account_id)
    return revoked[0]


def list_links(access: Access, identity: Identity, account_id: str | None) -> list[LinkUse]:
    """The account's links that can still be used or whose sessions last, newest first; None: operators' own.

    Raises NotAllowed. Never waits.
    """
    if not allows(identity, Role.OWNER, account_id):
        raise NotAllowed("links are for an owner of the account to see")
    now = access.now()
    links = [link for link in access.state.links(account_id) if link.opens_until > now and link.revoked_at is None]
    links = [link for link in links if link.used_at is None or (link.session_ends_at or 0) > now]
    return sorted(links, key=lambda link: link.created_at, reverse=True)
