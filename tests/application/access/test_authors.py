"""Who changes something: as records keep it, and what they may give."""

import pytest

from application.access.authors import Author, raise_unless_given, raise_unless_owner
from application.access.errors import NotAllowed
from application.access.identity import Role
from tests.application.access.world import MEMBER, OPERATOR, OWNER, PRODUCER, STRANGER


def test_an_author_is_an_identity_at_an_address() -> None:
    assert (OPERATOR.name, OPERATOR.address) == ("ops@host", "")
    assert Author(OWNER.identity, "192.0.2.1") == OWNER


def test_what_an_author_may_not_give_is_refused() -> None:
    raise_unless_given(OWNER, Role.MEMBER, "acme")
    raise_unless_given(OPERATOR, Role.PRODUCER, None)
    for author in (STRANGER, MEMBER, PRODUCER):
        with pytest.raises(NotAllowed):
            raise_unless_given(author, Role.MEMBER, "acme")
        with pytest.raises(NotAllowed):
            raise_unless_owner(author, "acme")
    raise_unless_owner(OWNER, "acme")
    raise_unless_owner(OPERATOR, "acme")
