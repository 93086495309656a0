"""Who presents a key: known at once, looked for at the end, ended, or nobody."""

from dataclasses import replace

import pytest

from application.access.access import STALE_SECONDS
from application.access.authenticator import KeyAuthenticator
from application.access.errors import AccessUnavailable, KeyExpired, KeyUnknown
from application.access.identity import Identity, Role
from application.access.key_text import checksum
from application.access.keys import KeyOrder, create_key
from streams.log.protocols import LogUnavailable
from tests.application.access.world import OWNER, World, a_key


@pytest.fixture
def world() -> World:
    return World()


def test_a_new_key_is_known_at_once_where_it_was_made_and_elsewhere_when_it_is_presented(world: World) -> None:
    with world.server() as one, world.server() as other:
        made = create_key(one, OWNER, KeyOrder(Role.MEMBER, "acme", "anna", "dashboard"))
        anna = Identity(Role.MEMBER, "acme", "anna", made.key.key_id, "dashboard")
        assert KeyAuthenticator(one).known(made.text) == anna
        assert KeyAuthenticator(other).known(made.text) is None
        assert KeyAuthenticator(other).identify(made.text) == anna
        assert KeyAuthenticator(other).known(made.text) == anna
        assert (made.key.created_at, made.key.created_by, made.key.created_from) == (
            world.now,
            "key_owner",
            "192.0.2.1",
        )


def test_what_is_no_key_is_never_looked_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with world.server() as access:
        authenticator = KeyAuthenticator(access)
        body = "0" * 32
        unknown = f"cm_live_{body}{checksum(body)}"
        with pytest.raises(KeyUnknown):
            authenticator.identify(unknown)
        monkeypatch.setattr(access, "read_to_end", lambda: pytest.fail("it was looked up"))
        monkeypatch.setattr(access.state, "find", lambda _digest: pytest.fail("it was looked up"))
        for text in ("", "two words", f"cm_live_{body}000000", unknown[:-1], "x" * 513):
            with pytest.raises(KeyUnknown):
                authenticator.identify(text)


def test_a_key_ends_with_its_time(world: World) -> None:
    with world.server() as access:
        made = create_key(access, OWNER, KeyOrder(Role.OWNER, "acme", expires_at=world.now + 1_000))
        assert KeyAuthenticator(access).known(made.text) is not None
        world.now += 1_000
        with pytest.raises(KeyExpired):
            KeyAuthenticator(access).known(made.text)


def test_a_server_that_is_cut_off_answers_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with world.server() as access:
        made = a_key(access)
        monkeypatch.setattr(access.view, "age", lambda: STALE_SECONDS + 1)
        with pytest.raises(AccessUnavailable, match="31 s"):
            KeyAuthenticator(access).known(made.text)


def test_an_unknown_key_is_not_called_unknown_while_the_end_cannot_be_read(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_patience: float = 0) -> None:
        raise LogUnavailable("no broker")

    with world.server() as access, world.server() as other:
        made = a_key(other)
        monkeypatch.setattr(access.view, "read_to_end", away)
        with pytest.raises(AccessUnavailable, match="no broker"):
            KeyAuthenticator(access).identify(made.text)


def test_a_role_of_a_newer_version_opens_nothing(world: World) -> None:
    with world.server() as access:
        made = a_key(access)
        access.state.apply(replace(made.key, role="unknown", revision=2))
        with pytest.raises(KeyUnknown, match="this version"):
            KeyAuthenticator(access).known(made.text)
