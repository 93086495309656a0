"""Links and the sessions that they begin: once, for 12 hours, until somebody ends them."""

import threading
from dataclasses import replace

import pytest

from application.access.access import Access
from application.access.checks import BadAccessFields
from application.access.errors import KeyRefused, KeyRevoked, KeyUnknown, NotAllowed
from application.access.identity import Identity, Role
from application.access.links import (
    DAY,
    LinkOrder,
    create_link,
    list_links,
    presented_link,
    revoke_link,
    use_link,
)
from application.access.secret_keys import SecretKeys
from application.access.sessions import SESSION_MS, Session, find_session, known_session
from application.errors import ErrorCode, Failed, Misconfigured
from tests.application.access.world import MEMBER, OPERATOR, OWNER, PRODUCER, STRANGER, World, a_link

OTHER = SecretKeys([b"another secret of many characters"])


@pytest.fixture
def world() -> World:
    return World()


def test_a_link_signs_in_whom_it_was_made_for(world: World) -> None:
    with world.server() as one, world.server() as other:
        made = a_link(one, actor="anna")
        session = use_link(other, made.token, "192.0.2.9")
        anna = Identity(Role.MEMBER, "acme", "anna", made.link.link_id, "Anna")
        assert session == Session(session.token, anna, world.now + SESSION_MS)
        assert known_session(other, session.token) == session
        assert known_session(one, session.token) is None
        assert find_session(one, session.token) == session
        link = one.state.link(made.link.link_id)
        assert link is not None
        assert (link.used_at, link.used_from, link.created_by) == (world.now, "192.0.2.9", "key_owner")


def test_looking_at_a_link_as_mail_scanners_do_uses_nothing(world: World) -> None:
    with world.server() as access:
        made = a_link(access)
        for _ in range(3):
            assert presented_link(access, made.token) == made.link
        assert use_link(access, made.token, "").identity.account_id == "acme"


def test_a_link_is_used_once(world: World) -> None:
    with world.server() as one, world.server() as other:
        made = a_link(one)
        use_link(one, made.token, "")
        for access in (one, other):
            for attempt in (presented_link, lambda access, token: use_link(access, token, "")):
                with pytest.raises(KeyRevoked, match="used already"):
                    attempt(access, made.token)


def test_of_two_who_use_a_link_at_once_one_signs_in(world: World) -> None:
    sessions: list[Session] = []
    refusals: list[KeyRefused] = []

    def sign_in(access: Access, token: str) -> None:
        try:
            sessions.append(use_link(access, token, ""))
        except KeyRefused as error:
            refusals.append(error)

    with world.server() as one, world.server() as other:
        for number in range(1, 11):
            made = a_link(one)
            threads = [threading.Thread(target=sign_in, args=(access, made.token)) for access in (one, other)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert (len(sessions), len(refusals)) == (number, number)
            assert find_session(one, sessions[-1].token) == find_session(other, sessions[-1].token)


def test_a_revoked_link_signs_in_nobody(world: World) -> None:
    with world.server() as access:
        made = a_link(access)
        first = revoke_link(access, OWNER, made.link.link_id)
        world.now += 1
        assert revoke_link(access, OPERATOR, made.link.link_id) == first
        with pytest.raises(KeyRevoked, match="revoked"):
            use_link(access, made.token, "")


def test_forged_and_foreign_tokens(world: World) -> None:
    with world.server() as access, world.server(OTHER) as other_secret:
        made = a_link(access)
        session = use_link(access, a_link(access).token, "")
        for token in ("", "x.y", made.token[:-2], made.token + "A", session.token):
            with pytest.raises(KeyUnknown):
                presented_link(access, token)
        for token in ("", "x.y", session.token[:-2], made.token):
            with pytest.raises(KeyUnknown):
                find_session(access, token)
        with pytest.raises(KeyUnknown):
            presented_link(other_secret, made.token)
        with pytest.raises(KeyUnknown):
            find_session(other_secret, session.token)
        never_used = access.session_signer.sign(f"{made.link.link_id} {world.now + 1_000}".encode())
        with pytest.raises(KeyUnknown):
            find_session(access, never_used)


def test_who_may_make_and_see_links(world: World) -> None:
    with world.server() as access:
        for author, order in [
            (OWNER, LinkOrder(Role.OPERATOR)), (OWNER, LinkOrder(Role.OWNER, "zeta")),
            (MEMBER, LinkOrder(Role.MEMBER, "acme")), (PRODUCER, LinkOrder(Role.OPERATOR)),
        ]:  # fmt: skip
            with pytest.raises(NotAllowed):
                create_link(access, author, order)
        with pytest.raises(BadAccessFields, match="signs in nowhere"):
            create_link(access, OPERATOR, LinkOrder(Role.PRODUCER, "acme"))
        for expires_in in (0, -1, 31 * DAY):
            with pytest.raises(BadAccessFields, match="expires_in"):
                create_link(access, OWNER, LinkOrder(Role.MEMBER, "acme", expires_in=expires_in))
        support = create_link(access, OPERATOR, LinkOrder(Role.OPERATOR))
        assert use_link(access, support.token, "").identity.role is Role.OPERATOR
        made = a_link(access)
        assert list_links(access, OWNER.identity, "acme") == [made.link]
        for author in (STRANGER, MEMBER, PRODUCER):
            with pytest.raises(NotAllowed):
                list_links(access, author.identity, "acme")
        with pytest.raises(Failed) as caught:
            revoke_link(access, STRANGER, made.link.link_id)
        assert caught.value.code is ErrorCode.NOT_FOUND
        assert access.state.link(made.link.link_id) == made.link


def test_lists_leave_out_what_opens_nothing(world: World) -> None:
    with world.server() as access:
        revoked, used, open_link = a_link(access), a_link(access), a_link(access)
        revoke_link(access, OWNER, revoked.link.link_id)
        session = use_link(access, used.token, "")
        shown = {link.link_id for link in list_links(access, OWNER.identity, "acme")}
        assert shown == {session.identity.key_id, open_link.link.link_id}
        world.now += SESSION_MS
        assert [link.link_id for link in list_links(access, OWNER.identity, "acme")] == [open_link.link.link_id]


def test_without_a_secret_key_there_are_no_links(world: World) -> None:
    with world.server(None) as access:
        with pytest.raises(Misconfigured, match="secret_key is not set"):
            a_link(access)
        assert access.state.links("acme") == []


def test_a_link_of_a_newer_version_signs_in_nobody(world: World) -> None:
    with world.server() as access:
        made = a_link(access)
        access.state.apply(replace(made.link, role="unknown", revision=2))
        with pytest.raises(KeyUnknown):
            use_link(access, made.token, "")
