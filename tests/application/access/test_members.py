"""Members: added, renamed, removed, back again."""

import pytest

from application.access.authenticator import KeyAuthenticator
from application.access.checks import BadAccessFields
from application.access.errors import KeyRevoked, NotAllowed
from application.access.identity import Role
from application.access.members import list_members, member_names, put_member, remove_member
from application.errors import ErrorCode, Failed
from tests.application.access.world import MEMBER, OPERATOR, OWNER, PRODUCER, STRANGER, World, a_key


@pytest.fixture
def world() -> World:
    return World()


def test_members_come_change_go_and_come_back(world: World) -> None:
    with world.server() as one, world.server() as other:
        put_member(one, OWNER, "acme", "anna", "Anna", "anna@example.com")
        put_member(other, OPERATOR, "acme", "ben", "Ben")
        changed = put_member(one, OPERATOR, "acme", "anna", "Anna B.")
        assert (changed.revision, changed.changed_by, changed.email) == (2, "ops@host", "")
        assert [member.name for member in list_members(one, "acme")] == ["Anna B.", "Ben"]
        removed = remove_member(other, OWNER, "acme", "anna")
        assert (removed.removed_by, removed.removed_from) == ("key_owner", "192.0.2.1")
        assert [member.actor for member in list_members(other, "acme")] == ["ben"]
        assert member_names(other, "acme") == {"anna": "Anna B.", "ben": "Ben"}
        back = put_member(one, OWNER, "acme", "anna", "Anna")
        assert (back.removed_at, back.revision) == (None, 4)
        assert [member.actor for member in list_members(one, "acme")] == ["anna", "ben"]


def test_a_key_for_an_actor_ends_with_the_member(world: World) -> None:
    with world.server() as access:
        put_member(access, OWNER, "acme", "anna")
        made = a_key(access, Role.MEMBER, actor="anna")
        without_actor = a_key(access, Role.MEMBER)
        assert KeyAuthenticator(access).known(made.text) is not None
        remove_member(access, OWNER, "acme", "anna")
        with pytest.raises(KeyRevoked, match="member"):
            KeyAuthenticator(access).known(made.text)
        assert KeyAuthenticator(access).known(without_actor.text) is not None


def test_only_owners_and_operators_change_members(world: World) -> None:
    with world.server() as access:
        put_member(access, OWNER, "acme", "anna")
        for author in (STRANGER, MEMBER, PRODUCER):
            with pytest.raises(NotAllowed):
                put_member(access, author, "acme", "anna", "Eve")
            with pytest.raises(NotAllowed):
                remove_member(access, author, "acme", "anna")
        with pytest.raises(Failed, match="no member ben") as caught:
            remove_member(access, OWNER, "acme", "ben")
        assert caught.value.code is ErrorCode.NOT_FOUND
        with pytest.raises(BadAccessFields, match="actor"):
            put_member(access, OWNER, "acme", "")
