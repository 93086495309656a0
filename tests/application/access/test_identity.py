"""Who may do what, as one table: every role, for its own account, another and all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from application.access.identity import NEEDS, Action, Identity, Role, allows, may_give, may_see_actor, scope_problem

MEMBER = Identity(Role.MEMBER, "acme", None, "key_m", "reader")
ANNA = Identity(Role.MEMBER, "acme", "anna", "key_a", "Anna")
OWNER = Identity(Role.OWNER, "acme", None, "key_o", "owner")
PRODUCER = Identity(Role.PRODUCER, "acme", None, "key_p", "service")
PRODUCER_OF_ALL = Identity(Role.PRODUCER, None, None, "key_q", "gateway")
OPERATOR = Identity(Role.OPERATOR, None, None, "key_r", "support")
ALL = (MEMBER, ANNA, OWNER, PRODUCER, PRODUCER_OF_ALL, OPERATOR)

# Action: who may do it for account acme, for another account, and for every account at once.
MEMBERS, MEMBERS_ELSEWHERE = {MEMBER, ANNA, OWNER, OPERATOR}, {OPERATOR}
OWNERS, PRODUCERS, PRODUCERS_ELSEWHERE = (
    {OWNER, OPERATOR},
    {PRODUCER, PRODUCER_OF_ALL, OPERATOR},
    {PRODUCER_OF_ALL, OPERATOR},
)
TABLE = {
    Action.SEND_EVENTS: (PRODUCERS, PRODUCERS_ELSEWHERE),
    Action.READ_RECEIPTS: (PRODUCERS, PRODUCERS_ELSEWHERE),
    Action.HOLD: (PRODUCERS, PRODUCERS_ELSEWHERE),
    Action.ESTIMATE: (MEMBERS, MEMBERS_ELSEWHERE),
    Action.READ_ACCOUNT: (MEMBERS, MEMBERS_ELSEWHERE),
    Action.READ_USAGE: (MEMBERS, MEMBERS_ELSEWHERE),
    Action.EXPLAIN: (MEMBERS, MEMBERS_ELSEWHERE),
    Action.READ_PRICES: (MEMBERS, MEMBERS_ELSEWHERE),
    Action.READ_RATE_LIMITS: (MEMBERS, MEMBERS_ELSEWHERE),
    Action.MANAGE_WEBHOOKS: (OWNERS, {OPERATOR}),
    Action.MANAGE_KEYS: (OWNERS, {OPERATOR}),
    Action.MANAGE_MEMBERS: (OWNERS, {OPERATOR}),
    Action.MANAGE_LINKS: (OWNERS, {OPERATOR}),
    Action.READ_CHANGES: (OWNERS, {OPERATOR}),
    Action.GRANT: ({OPERATOR}, {OPERATOR}),
    Action.REFUND: ({OPERATOR}, {OPERATOR}),
    Action.CHANGE_SETTINGS: ({OPERATOR}, {OPERATOR}),
    Action.LIST_ACCOUNTS: ({OPERATOR}, {OPERATOR}),
    Action.READ_DEAD_LETTERS: ({OPERATOR}, {OPERATOR}),
    Action.REPLAY_DEAD_LETTERS: ({OPERATOR}, {OPERATOR}),
    Action.READ_STATUS: ({OPERATOR}, {OPERATOR}),
}


def test_every_action_has_its_row_and_its_role() -> None:
    assert set(TABLE) == set(Action) == set(NEEDS)


@pytest.mark.parametrize("action", Action)
def test_who_may_do_it(action: Action) -> None:
    own, elsewhere = TABLE[action]
    assert {identity for identity in ALL if allows(identity, action, "acme")} == own
    assert {identity for identity in ALL if allows(identity, action, "zeta")} == elsewhere
    assert {identity for identity in ALL if allows(identity, action)} == elsewhere, "all accounts at once"


@pytest.mark.parametrize("role", Role)
def test_a_role_is_covered_by_itself_and_those_above_it(role: Role) -> None:
    above = {Role.MEMBER: MEMBERS, Role.OWNER: OWNERS, Role.PRODUCER: PRODUCERS, Role.OPERATOR: {OPERATOR}}
    assert {identity for identity in ALL if allows(identity, role, "acme")} == above[role]


def test_a_customer_never_writes_what_decides_the_bill() -> None:
    writing = {Action.SEND_EVENTS, Action.HOLD, Action.GRANT, Action.REFUND, Action.CHANGE_SETTINGS,
               Action.REPLAY_DEAD_LETTERS}  # fmt: skip
    for action in writing:
        assert not any(
            allows(identity, action, account) for identity in (MEMBER, ANNA, OWNER) for account in ("acme", None)
        )


def test_a_member_with_an_actor_sees_only_that_actor() -> None:
    assert may_see_actor(ANNA, "anna")
    assert not may_see_actor(ANNA, "ben")
    assert not may_see_actor(ANNA, None)
    assert all(may_see_actor(identity, actor) for identity in ALL if identity is not ANNA for actor in ("anna", None))


@pytest.mark.parametrize("role", Role)
def test_who_may_give_a_role(role: Role) -> None:
    givers = {identity for identity in ALL if may_give(identity, role, "acme")}
    assert givers == ({OWNER, OPERATOR} if role in {Role.MEMBER, Role.OWNER} else {OPERATOR})
    assert {identity for identity in ALL if may_give(identity, role, "zeta")} == {OPERATOR}
    assert {identity for identity in ALL if may_give(identity, role, None)} == {OPERATOR}


@pytest.mark.parametrize(
    ("role", "account", "actor"),
    [
        (Role.MEMBER, None, None), (Role.OWNER, None, None), (Role.OPERATOR, "acme", None),
        (Role.OWNER, "acme", "anna"), (Role.PRODUCER, "acme", "anna"), (Role.PRODUCER, None, "anna"),
    ],
)  # fmt: skip
def test_nobody_has_a_role_that_cannot_be(role: Role, account: str | None, actor: str | None) -> None:
    problem = scope_problem(role, account, actor)
    assert problem is not None
    with pytest.raises(ValueError, match=r"account|actor"):
        Identity(role, account, actor, "key_x", "nobody")


@given(
    st.sampled_from(Role), st.sampled_from(["acme", "zeta", None]), st.sampled_from(["anna", None]),
    st.sampled_from(Action), st.sampled_from(["acme", "zeta", None]),
)  # fmt: skip
def test_nobody_reaches_another_account(
    role: Role, account: str | None, actor: str | None, action: Action, asked: str | None
) -> None:
    if scope_problem(role, account, actor) is not None:
        return
    identity = Identity(role, account, actor, "key_x", "somebody")
    if allows(identity, action, asked):
        assert account in {None, asked}
