"""What is wrong with a field: all of it at once, and nothing is written."""

import pytest

from application.access.checks import BadAccessFields, raise_on_mistakes
from application.access.identity import Role
from application.access.keys import KeyOrder, create_key
from tests.application.access.world import OPERATOR, World


@pytest.fixture
def world() -> World:
    return World()


def test_all_mistakes_are_said_at_once(world: World) -> None:
    with world.server() as access:
        with pytest.raises(BadAccessFields) as caught:
            create_key(access, OPERATOR, KeyOrder(Role.MEMBER, "a" * 129, "\x00", "n" * 201, world.now))
        assert [field for field, _ in caught.value.mistakes] == ["account_id", "actor", "name", "expires_at"]
        with pytest.raises(BadAccessFields, match="always of one account"):
            create_key(access, OPERATOR, KeyOrder(Role.OWNER))
        with pytest.raises(BadAccessFields, match="one of member, owner, producer, operator"):
            create_key(access, OPERATOR, KeyOrder("unknown", "acme"))  # type: ignore[arg-type]


@pytest.mark.parametrize("account_id", ["a", "a" * 128, "a/b", "~", "\u00e4 \u202e", " "])
def test_ids_that_events_may_have_are_ids_here(account_id: str) -> None:
    raise_on_mistakes({"role": Role.OWNER, "account_id": account_id}, 0)


@pytest.mark.parametrize("name", ["\x00", "a\nb", "\x7f", "\ud800", "\x9b"])
def test_control_characters_are_in_no_name(name: str) -> None:
    with pytest.raises(BadAccessFields, match="no control characters"):
        raise_on_mistakes({"name": name}, 0)
