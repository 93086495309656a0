"""The list of who changed what, when and from where."""

import pytest

from application.access.changes import list_changes
from application.access.errors import NotAllowed
from application.access.identity import Role
from application.access.keys import KeyOrder, create_key, revoke_key
from application.access.links import LinkOrder, create_link, use_link
from application.access.members import put_member, remove_member
from tests.application.access.world import MEMBER, OPERATOR, OWNER, PRODUCER, STRANGER, World


@pytest.fixture
def world() -> World:
    return World()


def test_every_change_is_listed_with_who_when_and_from_where(world: World) -> None:
    with world.server() as access:
        begun = world.now
        key = create_key(access, OWNER, KeyOrder(Role.MEMBER, "acme", name="dashboard"))
        world.now += 1
        put_member(access, OWNER, "acme", "anna", "Anna")
        world.now += 1
        link = create_link(access, OPERATOR, LinkOrder(Role.MEMBER, "acme", "anna"))
        world.now += 1
        use_link(access, link.token, "192.0.2.9")
        world.now += 1
        revoke_key(access, OPERATOR, key.key.key_id)
        world.now += 1
        remove_member(access, OWNER, "acme", "anna")
        world.now += 1
        access.note_change(OPERATOR, "grant", "grant-7", "acme", credits="500", credit_type="credit")
        shown = [
            (change.at - begun, change.action, change.subject, change.changed_by, change.changed_from)
            for change in list_changes(access, OPERATOR.identity)
        ]
        assert shown == [
            (6, "grant", "grant-7", "ops@host", ""),
            (5, "member.removed", "anna", "key_owner", "192.0.2.1"),
            (4, "key.revoked", key.key.key_id, "ops@host", ""),
            (3, "link.used", link.link.link_id, link.link.link_id, "192.0.2.9"),
            (2, "link.created", link.link.link_id, "ops@host", ""),
            (1, "member.changed", "anna", "key_owner", "192.0.2.1"),
            (0, "key.created", key.key.key_id, "key_owner", "192.0.2.1"),
        ]
        assert list_changes(access, OPERATOR.identity)[0].details == {"credits": "500", "credit_type": "credit"}
        between = list_changes(access, OPERATOR.identity, since=begun + 1, until=begun + 3)
        assert [change.action for change in between] == ["link.created", "member.changed"]
        assert [change.at - begun for change in list_changes(access, OPERATOR.identity, limit=2)] == [6, 5]


def test_an_owner_sees_the_changes_of_the_own_account(world: World) -> None:
    with world.server() as access:
        create_key(access, OPERATOR, KeyOrder(Role.PRODUCER))
        create_key(access, OPERATOR, KeyOrder(Role.OWNER, "zeta"))
        create_key(access, OPERATOR, KeyOrder(Role.OWNER, "acme"))
        assert [change.account_id for change in list_changes(access, OWNER.identity)] == ["acme"]
        assert [change.account_id for change in list_changes(access, OPERATOR.identity, "zeta")] == ["zeta"]
        assert len(list_changes(access, OPERATOR.identity)) == 3
        for author, account_id in (
            (OWNER, "zeta"),
            (STRANGER, "acme"),
            (MEMBER, "acme"),
            (MEMBER, None),
            (PRODUCER, None),
        ):
            with pytest.raises(NotAllowed):
                list_changes(access, author.identity, account_id)


def test_what_was_refused_is_no_change(world: World) -> None:
    with world.server() as access:
        with pytest.raises(NotAllowed):
            create_key(access, MEMBER, KeyOrder(Role.OWNER, "acme"))
        assert list_changes(access, OPERATOR.identity) == []
