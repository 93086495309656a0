"""An authenticator over a dictionary."""

from __future__ import annotations

from application.access.errors import KeyUnknown
from application.access.identity import Identity, Role

OPERATOR, PRODUCER, PRODUCER_OF_ACME, MEMBER_OF_ACME, OWNER_OF_ACME = (
    "operator",
    "producer",
    "acme-producer",
    "member",
    "owner",
)


ANN_OF_ACME = "ann"


class KnownKeys:
    """Keys by their text. `slow` keys are known only to `identify`, as keys made a moment ago are."""

    def __init__(self) -> None:
        self.identities = {
            OPERATOR: Identity(Role.OPERATOR, None, None, "k-operator", "operator"),
            PRODUCER: Identity(Role.PRODUCER, None, None, "k-producer", "producer"),
            PRODUCER_OF_ACME: Identity(Role.PRODUCER, "acme", None, "k-acme", "producer of acme"),
            MEMBER_OF_ACME: Identity(Role.MEMBER, "acme", None, "k-member", "member"),
            OWNER_OF_ACME: Identity(Role.OWNER, "acme", None, "k-owner", "owner"),
            ANN_OF_ACME: Identity(Role.MEMBER, "acme", "ann", "k-ann", "ann"),
        }
        self.slow: dict[str, Identity] = {}

    def known(self, presented_key: str) -> Identity | None:
        return self.identities.get(presented_key)

    def identify(self, presented_key: str) -> Identity:
        identity = self.slow.get(presented_key)
        if identity is None:
            raise KeyUnknown("no such key")
        return identity
