"""Members: the people of an account, by the actor that its events name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from application.access.access import Access
from application.access.authors import Author, raise_unless_owner
from application.access.checks import raise_on_mistakes
from application.errors import ErrorCode, Failed
from streams.access.records import Member, Thing
from streams.access.state import AccessState


def put_member(access: Access, author: Author, account_id: str, actor: str, name: str = "", email: str = "") -> Member:
    """Add a member, or change name and email of one; one who was removed comes back.

    Raises BadAccessFields, NotAllowed, AccessUnavailable.
    """
    now = access.now()
    raise_on_mistakes({"account_id": account_id, "actor": actor, "name": name, "email": email}, now)
    raise_unless_owner(author, account_id)
    written: list[Member] = []

    def decide(state: AccessState) -> Sequence[Thing]:
        known = state.member(account_id, actor)
        written[:] = [
            Member(
                account_id=account_id, actor=actor, name=name, email=email, changed_at=now, changed_by=author.name,
                changed_from=author.address, revision=1 if known is None else known.revision + 1,
            )
        ]  # fmt: skip
        return written

    access.change(author, "member.changed", actor, decide, account_id, name=name, email=email)
    return written[0]


def remove_member(access: Access, author: Author, account_id: str, actor: str) -> Member:
    """End a member: links, sessions and keys with this actor open nothing any more.

    Raises Failed (NOT_FOUND), NotAllowed, AccessUnavailable.
    """
    raise_unless_owner(author, account_id)
    written: list[Member] = []

    def decide(state: AccessState) -> Sequence[Thing]:
        known = state.member(account_id, actor)
        if known is None or known.removed_at is not None:
            raise Failed(f"there is no member {actor}", ErrorCode.NOT_FOUND)
        written[:] = [
            replace(
                known, removed_at=access.now(), removed_by=author.name, removed_from=author.address,
                revision=known.revision + 1,
            )
        ]  # fmt: skip
        return written

    access.change(author, "member.removed", actor, decide, account_id)
    return written[0]


def list_members(access: Access, account_id: str) -> list[Member]:
    """The account's present members, by name. Never waits."""
    members = [member for member in access.state.members(account_id) if member.removed_at is None]
    return sorted(members, key=lambda member: (member.name.casefold(), member.actor))


def member_names(access: Access, account_id: str) -> dict[str, str]:
    """By actor the name of each member who has one, removed ones among them: history names people who have left."""
    return {member.actor: member.name for member in access.state.members(account_id) if member.name}
