"""Whose usage who may read: decided once, and part of every statement."""

from __future__ import annotations

import pytest

from application.access.errors import NotAllowed
from application.access.identity import Identity, Role
from application.usage.as_of import AsOf, BadAsOf, Reached
from application.usage.conditions import Bound, line_conditions, refund_source
from application.usage.query import VALUES, Filters
from application.usage.scope import UsageScope, check_actors, scope_of
from tests.application.usage.test_history import QUOTES

AS_OF = AsOf({0: Reached(5, 5)})
ANN = Identity(Role.MEMBER, "acme", "ann", "k", "ann")


@pytest.mark.parametrize(
    ("identity", "own", "other", "everyone"),
    [
        (Identity(Role.MEMBER, "acme", None, "k", ""), True, False, False), (ANN, True, False, False),
        (Identity(Role.OWNER, "acme", None, "k", ""), True, False, False),
        (Identity(Role.PRODUCER, "acme", None, "k", ""), False, False, False),
        (Identity(Role.PRODUCER, None, None, "k", ""), False, False, False),
        (Identity(Role.OPERATOR, None, None, "k", ""), True, True, True),
    ],
)  # fmt: skip
def test_who_may_read_what(identity: Identity, own: bool, other: bool, everyone: bool) -> None:
    for account_id, may in (("acme", own), ("zenith", other), (None, everyone)):
        if may:
            assert scope_of(identity, account_id) == UsageScope(account_id, identity.actor)
        else:
            with pytest.raises(NotAllowed):
                scope_of(identity, account_id)


def test_an_actor_asks_for_no_other() -> None:
    check_actors(ANN, ("ann",))
    for actors in (("bob",), ("ann", "bob"), ("",)):
        with pytest.raises(NotAllowed):
            check_actors(ANN, actors)


@pytest.mark.parametrize("text", QUOTES)
def test_every_statement_has_account_and_actor_and_no_value_in_its_text(text: str) -> None:
    marked = f"marked{text}marked"
    filters = Filters(5, 6, text=marked, **dict.fromkeys(VALUES, (marked,)))
    for make in (line_conditions, refund_source):
        bound = Bound()
        sql = make(bound, UsageScope("the account", "the actor"), filters, AS_OF, AS_OF)
        assert "marked" not in sql
        assert "the a" not in sql
        names = {value: name for name, value in bound.parameters.items() if isinstance(value, str)}
        assert f"account_id = {{{names['the account']}:String}}" in sql
        assert f"actor = {{{names['the actor']}:String}}" in sql
        assert all(f"{{{name}:" in sql for name in bound.parameters)


def test_an_as_of_comes_back_as_it_was_written() -> None:
    as_of = AsOf({3: Reached(120, 88), 0: Reached(-1, -1)})
    assert str(as_of) == "0.-1.-1_3.120.88"
    assert AsOf.parsed(str(as_of)) == as_of
    assert (AsOf.parsed("").reached, as_of.lines(), as_of.refunds()) == ({}, [-1, -1, -1, 120], [-1, -1, -1, 88])
    for wrong in (
        "x", "1", "1.2", "1.2.3.4", "-1.2.3", "1.-2.3", "1.2.3_1.2.3", "1.2.3_0.2.3", " 1.2.3", "1.2.03", "1.2.٣",
        "10000.1.1", f"1.{2**63}.1", "1.2.3_",
    ):  # fmt: skip
        with pytest.raises(BadAsOf):
            AsOf.parsed(wrong)
