"""From a presented key to who asks: the interface that a front uses."""

from __future__ import annotations

from typing import Protocol

from application.access.identity import Identity


class Authenticator(Protocol):
    """Tells who presents a key. Safe to call from any thread.

    `known` never waits and is right for an event loop; it does not know a key that was made a moment ago elsewhere.
    `identify` looks at the end of `credits.access` before it says that there is no such key, and may wait for Kafka:
    call it in a thread, and only where `known` returned None.
    """

    def known(self, presented_key: str) -> Identity | None:
        """Who presents the key; None where this process knows no such key yet.

        Raises KeyRevoked, KeyExpired, AccessUnavailable, and KeyUnknown where it cannot be a key at all.
        """
        ...

    def identify(self, presented_key: str) -> Identity:
        """Who presents the key. Raises KeyUnknown, KeyRevoked, KeyExpired, AccessUnavailable."""
        ...
