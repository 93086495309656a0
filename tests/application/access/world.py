"""A pipeline in memory with several servers over it, and a clock that tests move."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from application.access.access import Access, opened_access
from application.access.authors import Author, local_author
from application.access.identity import Identity, Role
from application.access.keys import KeyOrder, NewKey, create_key
from application.access.links import LinkOrder, NewLink, create_link
from application.access.secret_keys import SecretKeys
from application.in_memory import in_memory_pipeline
from application.pipeline import Pipeline
from streams import clock

OPERATOR = local_author("ops", "host")
OWNER = Author(Identity(Role.OWNER, "acme", None, "key_owner", "owner"), "192.0.2.1")
STRANGER = Author(Identity(Role.OWNER, "zeta", None, "key_zeta", "owner of zeta"), "192.0.2.2")
MEMBER = Author(Identity(Role.MEMBER, "acme", None, "key_member", "member"), "192.0.2.3")
PRODUCER = Author(Identity(Role.PRODUCER, None, None, "key_producer", "gateway"), "192.0.2.4")
SECRETS = SecretKeys([b"a secret of thirty-two characters"])


@dataclass
class World:
    """`server` opens one more process over the same topics. `now` in ms."""

    pipeline: Pipeline = field(default_factory=in_memory_pipeline)
    now: int = field(default_factory=clock.now_ms)

    @contextmanager
    def server(self, secrets: SecretKeys | None = SECRETS) -> Iterator[Access]:
        with opened_access(self.pipeline, secrets) as access:
            access.now = lambda: self.now
            yield access


def a_key(access: Access, role: Role = Role.OWNER, account_id: str | None = "acme", actor: str | None = None) -> NewKey:
    """A key that an operator makes."""
    return create_key(access, OPERATOR, KeyOrder(role, account_id, actor))


def a_link(access: Access, role: Role = Role.MEMBER, actor: str | None = None) -> NewLink:
    """A link that acme's owner makes."""
    return create_link(access, OWNER, LinkOrder(role, "acme", actor, "Anna"))
