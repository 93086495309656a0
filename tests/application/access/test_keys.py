"""Keys: made, imported, revoked, listed, and what presenting one comes to."""

import threading
from dataclasses import replace

import pytest

from application.access.access import HOUR, STALE_SECONDS
from application.access.authenticator import KeyAuthenticator
from application.access.authors import Author
from application.access.checks import BadAccessFields
from application.access.errors import AccessUnavailable, KeyExpired, KeyRevoked, KeyUnknown, NotAllowed
from application.access.identity import Identity, Role
from application.access.key_text import checksum, digest_of
from application.access.keys import KeyOrder, create_key, import_key, list_keys, revoke_key
from application.errors import ErrorCode, Failed
from streams.access.changes import AccessChanges
from streams.log.protocols import LogUnavailable
from tests.application.access.world import MEMBER, OPERATOR, OWNER, PRODUCER, STRANGER, World, a_key


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


def test_the_key_itself_is_nowhere_in_the_topic(world: World) -> None:
    with world.server() as access:
        made = a_key(access)
        records = world.pipeline.connections.access_log().read(0, *access.reader.bounds())
        whole = b"".join(record.value for record in records)
        assert digest_of(made.text) in whole
        assert made.text[len(made.key.hint) :].encode() not in whole


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


def test_a_revoked_key_opens_nothing_and_keeps_who_ended_it_first(world: World) -> None:
    with world.server() as one, world.server() as other:
        made = a_key(one, Role.MEMBER)
        revoked = revoke_key(other, OWNER, made.key.key_id)
        assert (revoked.revoked_at, revoked.revoked_by, revoked.revoked_from) == (world.now, "key_owner", "192.0.2.1")
        with pytest.raises(KeyRevoked):
            KeyAuthenticator(other).known(made.text)
        one.read_to_end()
        with pytest.raises(KeyRevoked):
            KeyAuthenticator(one).identify(made.text)
        world.now += 1_000
        assert revoke_key(one, OPERATOR, made.key.key_id) == revoked


def test_a_key_that_is_revoked_by_two_at_once_has_one_end(world: World) -> None:
    with world.server() as one, world.server() as other:
        made = a_key(one)
        other.read_to_end()
        ends = []
        threads = [
            threading.Thread(target=lambda access=access, by=by: ends.append(revoke_key(access, by, made.key.key_id)))
            for access, by in ((one, OWNER), (other, OPERATOR))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert ends[0] == ends[1]


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


def test_a_key_that_was_made_elsewhere_is_taken_over_by_its_sha256(world: World) -> None:
    with world.server() as access:
        key = import_key(access, OPERATOR, KeyOrder(Role.PRODUCER, name="old gateway"), digest_of("sk-old-1"))
        identity = KeyAuthenticator(access).known("sk-old-1")
        assert identity == Identity(Role.PRODUCER, None, None, key.key_id, "old gateway")
        with pytest.raises(Failed, match=key.key_id) as caught:
            import_key(access, OPERATOR, KeyOrder(Role.OWNER, "acme"), digest_of("sk-old-1"))
        assert caught.value.code is ErrorCode.CONFLICT


def test_who_may_make_and_revoke_which_keys(world: World) -> None:
    with world.server() as access:
        for author, order in [
            (OWNER, KeyOrder(Role.PRODUCER, "acme")), (OWNER, KeyOrder(Role.PRODUCER)),
            (OWNER, KeyOrder(Role.OPERATOR)), (OWNER, KeyOrder(Role.OWNER, "zeta")),
            (MEMBER, KeyOrder(Role.MEMBER, "acme")), (PRODUCER, KeyOrder(Role.PRODUCER)), (PRODUCER, KeyOrder(Role.MEMBER, "acme")),
        ]:  # fmt: skip
            with pytest.raises(NotAllowed):
                create_key(access, author, order)
        producer, owner = a_key(access, Role.PRODUCER), a_key(access)
        for author, key in ((OWNER, producer), (STRANGER, owner), (STRANGER, producer)):
            with pytest.raises(Failed, match="there is no key") as caught:
                revoke_key(access, author, key.key.key_id)
            assert caught.value.code is ErrorCode.NOT_FOUND
        for author in (MEMBER, PRODUCER):
            with pytest.raises((NotAllowed, Failed)):
                revoke_key(access, author, owner.key.key_id)
        assert [key.key.revoked_at for key in list_keys(access, OPERATOR.identity)] == [None, None]


def test_lists_show_what_their_reader_may_see(world: World) -> None:
    with world.server() as access:
        owner, producer = a_key(access), a_key(access, Role.PRODUCER)
        zeta, operator = a_key(access, Role.OWNER, "zeta"), a_key(access, Role.OPERATOR, None)
        everything = {owner.key.key_id, producer.key.key_id, zeta.key.key_id, operator.key.key_id}
        assert {listed.key.key_id for listed in list_keys(access, OPERATOR.identity)} == everything
        of_acme = {listed.key.key_id for listed in list_keys(access, OPERATOR.identity, "acme")}
        assert of_acme == {owner.key.key_id, producer.key.key_id}
        assert [listed.key for listed in list_keys(access, OWNER.identity)] == [owner.key]
        with pytest.raises(NotAllowed):
            list_keys(access, OWNER.identity, "zeta")
        for author in (MEMBER, PRODUCER):
            with pytest.raises(NotAllowed):
                list_keys(access, author.identity, "acme")


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


def test_all_mistakes_are_said_at_once(world: World) -> None:
    with world.server() as access:
        with pytest.raises(BadAccessFields) as caught:
            create_key(access, OPERATOR, KeyOrder(Role.MEMBER, "a" * 129, "\x00", "n" * 201, world.now))
        assert [field for field, _ in caught.value.mistakes] == ["account_id", "actor", "name", "expires_at"]
        with pytest.raises(BadAccessFields, match="always of one account"):
            create_key(access, OPERATOR, KeyOrder(Role.OWNER))
        with pytest.raises(BadAccessFields, match="one of member, owner, producer, operator"):
            create_key(access, OPERATOR, KeyOrder("unknown", "acme"))  # type: ignore[arg-type]


def test_a_role_of_a_newer_version_opens_nothing(world: World) -> None:
    with world.server() as access:
        made = a_key(access)
        access.state.apply(replace(made.key, role="unknown", revision=2))
        with pytest.raises(KeyUnknown, match="this version"):
            KeyAuthenticator(access).known(made.text)


def test_an_author_is_an_identity_at_an_address() -> None:
    assert (OPERATOR.name, OPERATOR.address) == ("ops@host", "")
    assert Author(OWNER.identity, "192.0.2.1") == OWNER
