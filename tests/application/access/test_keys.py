"""Keys: made, imported, revoked, listed, and what presenting one comes to."""

import threading

import pytest

from application.access.authenticator import KeyAuthenticator
from application.access.errors import KeyRevoked, NotAllowed
from application.access.identity import Identity, Role
from application.access.key_text import digest_of
from application.access.keys import KeyOrder, create_key, import_key, list_keys, revoke_key
from application.errors import ErrorCode, Failed
from tests.application.access.world import MEMBER, OPERATOR, OWNER, PRODUCER, STRANGER, World, a_key


@pytest.fixture
def world() -> World:
    return World()


def test_the_key_itself_is_nowhere_in_the_topic(world: World) -> None:
    with world.server() as access:
        made = a_key(access)
        records = world.pipeline.connections.access_log().read(0, *access.reader.bounds())
        whole = b"".join(record.value for record in records)
        assert digest_of(made.text) in whole
        assert made.text[len(made.key.hint) :].encode() not in whole


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
            (MEMBER, KeyOrder(Role.MEMBER, "acme")), (PRODUCER, KeyOrder(Role.PRODUCER)),
            (PRODUCER, KeyOrder(Role.MEMBER, "acme")),
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
