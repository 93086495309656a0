"""Sessions of browsers: what a used link gives, for 12 hours, and the tokens of forms in their pages.

A session's token is signed, not stored; it holds as long as the record of its link says so. It opens pages only: a
front never takes it for a key.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from hashlib import sha256

from application.access.access import Access
from application.access.errors import KeyExpired, KeyRevoked, KeyUnknown
from application.access.identity import Identity, Role
from application.access.secret_keys import BadToken
from streams.access.records import LinkUse

SESSION_MS = 12 * 3_600_000
"""How long a session lasts, from its sign-in."""
_UNKNOWN = "there is no such session: sign in again"


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody who has signed in. `token` goes into the cookie, and is secret; `ends_at` in ms."""

    token: str
    identity: Identity
    ends_at: int


def session_token(access: Access, link: LinkUse) -> str:
    """The token of the session that a used link began."""
    return access.session_signer.sign(f"{link.link_id} {link.session_ends_at}".encode())


def known_session(access: Access, token: str) -> Session | None:
    """The session of a cookie; None where this process does not know its sign-in yet: see `find_session`. Never waits.

    Raises KeyUnknown, KeyExpired, KeyRevoked, AccessUnavailable, Misconfigured.
    """
    try:
        link_id, ends_at = access.session_signer.read(token).decode().split(" ")
    except (BadToken, ValueError):
        raise KeyUnknown(_UNKNOWN) from None
    if int(ends_at) <= access.now():
        raise KeyExpired("this session's time is over: sign in again")
    access.raise_if_stale()
    link = access.state.link(link_id)
    if link is None or link.used_at is None:
        return None
    if link.session_ends_at != int(ends_at):
        raise KeyUnknown(_UNKNOWN)
    if link.revoked_at is not None:
        raise KeyRevoked("this session was ended: sign in again")
    if link.actor is not None and link.account_id is not None:
        member = access.state.member(link.account_id, link.actor)
        if member is not None and member.removed_at is not None:
            raise KeyRevoked("the member whom this session is for was removed")
    return Session(token, signed_in(link), int(ends_at))


def find_session(access: Access, token: str) -> Session:
    """As `known_session`, after a look at the topic's end where that is needed. May wait. Raises as it."""
    session = known_session(access, token)
    if session is None:
        access.read_to_end()
        session = known_session(access, token)
    if session is None:
        raise KeyUnknown(_UNKNOWN)
    return session


def signed_in(link: LinkUse) -> Identity:
    """Who a link signs in; its id stands for the key's. Raises KeyUnknown for what a newer version wrote."""
    try:
        return Identity(Role(link.role), link.account_id, link.actor, link.link_id, link.name)
    except ValueError:
        raise KeyUnknown(_UNKNOWN) from None


def csrf_token(access: Access, session: Session) -> str:
    """What a form in a page of this session carries. Raises Misconfigured."""
    return access.csrf_signer.sign(_of_session(session))


def is_csrf_token(access: Access, session: Session, token: str) -> bool:
    """Whether a form came from a page of this session. Raises Misconfigured."""
    try:
        return hmac.compare_digest(access.csrf_signer.read(token), _of_session(session))
    except BadToken:
        return False


def _of_session(session: Session) -> bytes:
    """Names the session in a page without giving its token away."""
    return sha256(session.token.encode()).digest()[:16]
