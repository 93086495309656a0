"""Sessions: for 12 hours, until somebody ends them, and for pages only."""

import pytest

from application.access.authenticator import KeyAuthenticator
from application.access.errors import KeyExpired, KeyRevoked, KeyUnknown
from application.access.links import DAY, presented_link, revoke_link, sign_out, use_link
from application.access.members import put_member, remove_member
from application.access.secret_keys import SecretKeys
from application.access.sessions import SESSION_MS, csrf_token, find_session, is_csrf_token, known_session
from tests.application.access.world import OWNER, SECRETS, World, a_link

OTHER = SecretKeys([b"another secret of many characters"])


@pytest.fixture
def world() -> World:
    return World()


def test_links_and_sessions_end_with_their_time(world: World) -> None:
    with world.server() as access:
        made, unused = a_link(access), a_link(access)
        session = use_link(access, made.token, "")
        world.now += SESSION_MS - 1
        assert known_session(access, session.token) == session
        world.now += 1
        with pytest.raises(KeyExpired):
            known_session(access, session.token)
        world.now += DAY
        with pytest.raises(KeyExpired):
            presented_link(access, unused.token)


def test_a_session_ends_with_its_link_its_member_and_by_its_own_wish(world: World) -> None:
    with world.server() as access:
        revoked = use_link(access, a_link(access).token, "")
        put_member(access, OWNER, "acme", "anna", "Anna")
        of_anna = use_link(access, a_link(access, actor="anna").token, "")
        unused = a_link(access, actor="anna")
        leaving = use_link(access, a_link(access).token, "")
        staying = use_link(access, a_link(access).token, "")
        revoke_link(access, OWNER, revoked.identity.key_id)
        remove_member(access, OWNER, "acme", "anna")
        sign_out(access, leaving, "192.0.2.9")
        for session in (revoked, of_anna, leaving):
            with pytest.raises(KeyRevoked):
                known_session(access, session.token)
        with pytest.raises(KeyRevoked, match="member"):
            use_link(access, unused.token, "")
        assert known_session(access, staying.token) == staying


def test_a_cookie_is_no_key(world: World) -> None:
    with world.server() as access:
        made = a_link(access)
        session = use_link(access, made.token, "")
        for token in (made.token, session.token):
            with pytest.raises(KeyUnknown):
                KeyAuthenticator(access).identify(token)


def test_a_rotated_secret_still_knows_what_the_one_before_made(world: World) -> None:
    with world.server() as access:
        made, session = a_link(access), use_link(access, a_link(access).token, "")
    with world.server(SecretKeys([*OTHER.secrets, *SECRETS.secrets])) as rotated:
        assert find_session(rotated, session.token) == session
        newer = use_link(rotated, made.token, "")
    with world.server(OTHER) as after:
        assert find_session(after, newer.token).identity == newer.identity


def test_forms_carry_a_token_of_their_session(world: World) -> None:
    with world.server() as access:
        one, other = (use_link(access, a_link(access).token, "") for _ in range(2))
        token = csrf_token(access, one)
        assert is_csrf_token(access, one, token)
        assert not is_csrf_token(access, other, token)
        assert not is_csrf_token(access, one, "")
        assert not is_csrf_token(access, one, one.token)
        assert one.token not in token
