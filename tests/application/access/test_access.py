"""What every use case of access shares: uses of keys, a view of some age, and the derived keys."""

import pytest

from application.access.access import HOUR, STALE_SECONDS, secret_keys_of
from application.access.authenticator import KeyAuthenticator
from application.access.errors import AccessUnavailable
from application.access.keys import list_keys, revoke_key
from application.configuration.settings import Settings
from application.errors import Misconfigured
from streams.access.changes import AccessChanges
from tests.application.access.world import OPERATOR, World, a_key


@pytest.fixture
def world() -> World:
    return World()


def test_uses_are_noted_to_the_hour_and_undo_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.now = 500_000 * HOUR + 1
    with world.server() as one, world.server() as other:
        made = a_key(one)
        KeyAuthenticator(one).known(made.text)
        revoke_key(other, OPERATOR, made.key.key_id)
        one.write_uses()
        one.read_to_end()
        (listed,) = list_keys(one, OPERATOR.identity)
        assert (listed.used_at, listed.key.revoked_at) == (500_000 * HOUR, world.now)
    with world.server() as again:
        fresh = a_key(again)
        KeyAuthenticator(again).known(fresh.text)
        again.write_uses()
        again.read_to_end()
        monkeypatch.setattr(AccessChanges, "note", lambda *_: pytest.fail("the same hour was written twice"))
        KeyAuthenticator(again).known(fresh.text)
        again.write_uses()


def test_a_view_of_some_age_is_said_to_be_stale(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with world.server() as access:
        access.raise_if_stale()
        monkeypatch.setattr(access.view, "age", lambda: STALE_SECONDS + 1)
        with pytest.raises(AccessUnavailable, match="31 s"):
            access.raise_if_stale()
        monkeypatch.setattr(access.view, "age", lambda: float("inf"))
        with pytest.raises(AccessUnavailable, match="not yet"):
            access.raise_if_stale()


def test_a_server_that_follows_writes_the_uses_of_keys(world: World) -> None:
    with world.server() as one:
        made = a_key(one)
        with world.server() as other:
            other.view.follow(0.01, other.write_uses)
            KeyAuthenticator(other).known(made.text)
        one.read_to_end()
        assert one.state.key_used_at(made.key.key_id) == world.now // HOUR * HOUR


def test_the_configured_secrets_are_the_present_one_first() -> None:
    assert secret_keys_of(Settings()) is None
    one, other = "1" * 32, "2" * 32
    keys = secret_keys_of(Settings(secret_key=f"{one},{other}"))
    assert keys is not None
    assert keys.secrets == [one.encode(), other.encode()]


def test_without_a_secret_nothing_can_be_signed(world: World) -> None:
    with world.server(None) as access:
        for signer in ("link_signer", "session_signer", "csrf_signer", "cursor_signer"):
            with pytest.raises(Misconfigured, match="secret_key is not set"):
                getattr(access, signer)
    with world.server() as access:
        tokens = {signer: getattr(access, signer).sign(b"x") for signer in ("link_signer", "cursor_signer")}
        assert len(set(tokens.values())) == len(tokens)
