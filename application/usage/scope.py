"""Whose usage may be read. The only way to a statement's conditions leads through here."""

from __future__ import annotations

from dataclasses import dataclass

from application.access.errors import NotAllowed
from application.access.identity import Action, Identity, allows, may_see_actor


@dataclass(frozen=True, slots=True)
class UsageScope:
    """The account whose usage is read, None for all of them; and the one actor that it is limited to, None for none.

    Every statement of this package is made with one, and `conditions.py` puts it into each.
    """

    account_id: str | None
    actor: str | None = None


def scope_of(identity: Identity, account_id: str | None, action: Action = Action.READ_USAGE) -> UsageScope:
    """What the identity may read of this account; None: of all accounts, for those who may. Raises NotAllowed."""
    if not allows(identity, action, account_id):
        whose = "every account's usage" if account_id is None else "that account's usage"
        raise NotAllowed(f"this key may not read {whose}")
    return UsageScope(account_id, identity.actor)


def check_actors(identity: Identity, actors: tuple[str, ...]) -> None:
    """Raises NotAllowed where usage of another actor than its own is asked for by name."""
    if not all(may_see_actor(identity, actor) for actor in actors):
        raise NotAllowed("this key sees only its own actor's usage")
