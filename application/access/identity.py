"""Who asks, and what they may do (SERVER 3): two ladders of roles, so that nobody writes what decides their own bill.

`member` < `owner` is a customer's ladder, always for one account. `producer` < `operator` is the company's: a producer
has one account or all, an operator everything. An owner is above a member and an operator above everyone; a producer
reads nobody's usage. Pure: no clock, no log.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What a key, a link or a session is for."""

    MEMBER = "member"
    OWNER = "owner"
    PRODUCER = "producer"
    OPERATOR = "operator"


COVERS: Mapping[Role, frozenset[Role]] = {
    Role.MEMBER: frozenset({Role.MEMBER}),
    Role.OWNER: frozenset({Role.MEMBER, Role.OWNER}),
    Role.PRODUCER: frozenset({Role.PRODUCER}),
    Role.OPERATOR: frozenset(Role),
}
"""By role, the roles whose actions it may do."""


class Action(StrEnum):
    """What can be asked for; the set is closed, and each has the one role that it needs at least."""

    SEND_EVENTS = "send_events"
    READ_RECEIPTS = "read_receipts"
    HOLD = "hold"
    ESTIMATE = "estimate"
    READ_ACCOUNT = "read_account"
    READ_USAGE = "read_usage"
    EXPLAIN = "explain"
    READ_PRICES = "read_prices"
    READ_RATE_LIMITS = "read_rate_limits"
    MANAGE_WEBHOOKS = "manage_webhooks"
    MANAGE_KEYS = "manage_keys"
    MANAGE_MEMBERS = "manage_members"
    MANAGE_LINKS = "manage_links"
    READ_CHANGES = "read_changes"
    GRANT = "grant"
    REFUND = "refund"
    CHANGE_SETTINGS = "change_settings"
    LIST_ACCOUNTS = "list_accounts"
    READ_DEAD_LETTERS = "read_dead_letters"
    REPLAY_DEAD_LETTERS = "replay_dead_letters"
    READ_STATUS = "read_status"


NEEDS: Mapping[Action, Role] = {
    Action.SEND_EVENTS: Role.PRODUCER,
    Action.READ_RECEIPTS: Role.PRODUCER,
    Action.HOLD: Role.PRODUCER,
    Action.ESTIMATE: Role.MEMBER,
    Action.READ_ACCOUNT: Role.MEMBER,
    Action.READ_USAGE: Role.MEMBER,
    Action.EXPLAIN: Role.MEMBER,
    Action.READ_PRICES: Role.MEMBER,
    Action.READ_RATE_LIMITS: Role.MEMBER,
    Action.MANAGE_WEBHOOKS: Role.OWNER,
    Action.MANAGE_KEYS: Role.OWNER,
    Action.MANAGE_MEMBERS: Role.OWNER,
    Action.MANAGE_LINKS: Role.OWNER,
    Action.READ_CHANGES: Role.OWNER,
    Action.GRANT: Role.OPERATOR,
    Action.REFUND: Role.OPERATOR,
    Action.CHANGE_SETTINGS: Role.OPERATOR,
    Action.LIST_ACCOUNTS: Role.OPERATOR,
    Action.READ_DEAD_LETTERS: Role.OPERATOR,
    Action.REPLAY_DEAD_LETTERS: Role.OPERATOR,
    Action.READ_STATUS: Role.OPERATOR,
}
"""By action, the role that it needs; `COVERS` says which others have it, too."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks. `account_id` None: every account; `actor` not None: of the account's usage, only that actor's.

    `key_id` names the key, or for a session the link that it began with (`link_…`), or user@host of a typed command;
    `name` is for people. Neither is secret. Raises ValueError for what no role can be.
    """

    role: Role
    account_id: str | None
    actor: str | None
    key_id: str
    name: str

    def __post_init__(self) -> None:
        if (problem := scope_problem(self.role, self.account_id, self.actor)) is not None:
            raise ValueError(problem)


def scope_problem(role: Role, account_id: str | None, actor: str | None) -> str | None:
    """Why nobody can have this role for this account and actor; None where somebody can."""
    if role in {Role.MEMBER, Role.OWNER} and account_id is None:
        return f"{_a(role)} is always of one account: name it"
    if role is Role.OPERATOR and account_id is not None:
        return "an operator is for every account: leave the account out"
    if actor is not None and role is not Role.MEMBER:
        return f"{_a(role)} has no actor: only a member can be limited to one"
    return None


def allows(identity: Identity, needed: Action | Role, account_id: str | None = None) -> bool:
    """Whether the identity may do this for the account; `account_id` None: for every account, or none in particular.

    An action that is about no account (status, or the price list of everyone) is asked for with the identity's own
    account. Which actor's usage may be seen is `may_see_actor`'s answer.
    """
    role = needed if isinstance(needed, Role) else NEEDS[needed]
    return role in COVERS[identity.role] and identity.account_id in {None, account_id}


def may_see_actor(identity: Identity, actor: str | None) -> bool:
    """Whether usage of this actor may be seen; `actor` None: usage that names no actor, or everybody's."""
    return identity.actor is None or identity.actor == actor


def may_give(identity: Identity, role: Role, account_id: str | None) -> bool:
    """Whether the identity may make or revoke a key, link or member of this role for this account.

    An owner gives the two roles of a customer's ladder for the own account, an operator every role.
    """
    if identity.role is Role.OPERATOR:
        return True
    return role in {Role.MEMBER, Role.OWNER} and account_id is not None and allows(identity, Role.OWNER, account_id)


def _a(role: Role) -> str:
    return f"an {role}" if role in {Role.OWNER, Role.OPERATOR} else f"a {role}"
