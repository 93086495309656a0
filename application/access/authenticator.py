"""From a presented key to who asks: what a front uses."""

from __future__ import annotations

import hmac
from typing import Protocol

from application.access.access import Access
from application.access.errors import KeyExpired, KeyRevoked, KeyUnknown
from application.access.identity import Identity, Role
from application.access.key_text import digest_of, may_be_a_key
from streams.access.records import AccessKey

_UNKNOWN = "there is no such key"


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


class KeyAuthenticator:
    """`Authenticator` by the keys of `credits.access`. Uses are noted, to the hour."""

    def __init__(self, access: Access) -> None:
        self.access = access

    def known(self, presented_key: str) -> Identity | None:
        if not may_be_a_key(presented_key):
            raise KeyUnknown(_UNKNOWN)
        self.access.raise_if_stale()
        digest = digest_of(presented_key)
        key = self.access.state.find(digest)
        if key is None or not hmac.compare_digest(key.digest, digest):
            return None
        identity = self._identity(key)
        self.access.note_use(key.key_id)
        return identity

    def identify(self, presented_key: str) -> Identity:
        identity = self.known(presented_key)
        if identity is None:
            self.access.read_to_end()
            identity = self.known(presented_key)
        if identity is None:
            raise KeyUnknown(_UNKNOWN)
        return identity

    def _identity(self, key: AccessKey) -> Identity:
        if key.revoked_at is not None:
            raise KeyRevoked("this key was revoked")
        if key.expires_at is not None and key.expires_at <= self.access.now():
            raise KeyExpired("this key's time is over")
        if key.actor is not None and key.account_id is not None:
            member = self.access.state.member(key.account_id, key.actor)
            if member is not None and member.removed_at is not None:
                raise KeyRevoked("the member whom this key is for was removed")
        try:
            return Identity(Role(key.role), key.account_id, key.actor, key.key_id, key.name)
        except ValueError:  # written by a newer version, with a role or scope that this one does not know
            raise KeyUnknown(f"{_UNKNOWN} for this version of the server") from None
