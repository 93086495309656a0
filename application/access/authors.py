"""Who changes something, and from where: every change by an owner or operator is kept with both."""

from __future__ import annotations

from dataclasses import dataclass

from application.access.errors import NotAllowed
from application.access.identity import Identity, Role, allows, may_give


@dataclass(frozen=True, slots=True)
class Author:
    """An identity, and the network address that it asks from; none for a command typed on a machine."""

    identity: Identity
    address: str = ""

    @property
    def name(self) -> str:
        """As records keep it."""
        return self.identity.key_id


def local_author(user: str, host: str) -> Author:
    """Somebody who types a command where Kafka can be written: an operator, since nobody could forbid them anything."""
    return Author(Identity(Role.OPERATOR, None, None, f"{user}@{host}", f"{user} at {host}"))


def raise_unless_given(author: Author, role: Role, account_id: str | None) -> None:
    """Raises NotAllowed where the author may not give or take this role for this account."""
    if not may_give(author.identity, role, account_id):
        raise NotAllowed(f"{author.identity.role} may not give or take the role {role} of this account")


def raise_unless_owner(author: Author, account_id: str) -> None:
    """Raises NotAllowed where the author neither owns the account nor operates."""
    if not allows(author.identity, Role.OWNER, account_id):
        raise NotAllowed("this is for an owner of the account")
