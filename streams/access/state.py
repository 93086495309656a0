"""What the topic of access comes to: the newest revision of each key, member, webhook and link, found by any front.

Pure of Kafka and clocks. One thread applies records; any thread may look things up meanwhile.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from streams.access.records import AccessKey, ChangeRecord, KeyUse, LinkUse, Member, Webhook

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streams.access.records import AccessRecord, Thing

_CHANGES_REMEMBERED = 1_000
logger = logging.getLogger(__name__)
T = TypeVar("T", AccessKey, Member, Webhook, LinkUse)


class _Newest(Generic[T]):
    """The newest revision of each thing, by record key and by account."""

    def __init__(self, lock: threading.Lock) -> None:
        self._lock = lock
        self._by_key: dict[str, T] = {}
        self._by_account: dict[str | None, dict[str, T]] = {}

    def get(self, record_key: str) -> T | None:
        return self._by_key.get(record_key)

    def put(self, thing: T) -> None:
        with self._lock:
            self._by_key[thing.record_key] = thing
            self._by_account.setdefault(thing.account_id, {})[thing.record_key] = thing

    def remove(self, thing: T) -> None:
        with self._lock:
            self._by_key.pop(thing.record_key, None)
            of_account = self._by_account.get(thing.account_id, {})
            of_account.pop(thing.record_key, None)
            if not of_account:
                self._by_account.pop(thing.account_id, None)

    def of_account(self, account_id: str | None) -> list[T]:
        with self._lock:
            return list(self._by_account.get(account_id, {}).values())

    def all(self) -> list[T]:
        with self._lock:
            return list(self._by_key.values())


class AccessState:
    """Everything of access but the list of changes, of which only the newest ids are remembered."""

    def __init__(self) -> None:
        lock = threading.Lock()
        self._keys = _Newest[AccessKey](lock)
        self._members = _Newest[Member](lock)
        self._webhooks = _Newest[Webhook](lock)
        self._links = _Newest[LinkUse](lock)
        self._by_digest: dict[bytes, str] = {}
        self._used_at: dict[str, int] = {}
        self._changes: deque[str] = deque(maxlen=_CHANGES_REMEMBERED)

    def apply(self, record: AccessRecord) -> None:
        """Take in one record, in the log's order. One that is not newer than what is known changes nothing.

        What was ended stays ended: such a record of a later revision is logged and skipped.
        """
        match record:
            case AccessKey():
                if self._put(self._keys, record):
                    self._by_digest[record.digest] = record.record_key
            case Member():
                self._put(self._members, record, ends_for_ever=False)
            case Webhook():
                self._put(self._webhooks, record)
            case LinkUse():
                self._put(self._links, record)
            case KeyUse():
                self._used_at[record.key_id] = max(record.used_at, self._used_at.get(record.key_id, 0))
            case ChangeRecord():
                self._changes.append(record.change_id)

    def _put(self, kept: _Newest[T], thing: T, *, ends_for_ever: bool = True) -> bool:
        known = kept.get(thing.record_key)
        if known is not None and known.revision >= thing.revision:
            return False
        if known is not None and ends_for_ever and known.ended_at is not None and thing.ended_at is None:
            logger.warning("%s: a record that would undo its end is skipped", thing.record_key)
            return False
        kept.put(thing)
        return True

    def find(self, digest: bytes) -> AccessKey | None:
        """The key of this SHA-256, revoked or not."""
        record_key = self._by_digest.get(digest)
        return None if record_key is None else self._keys.get(record_key)

    def key(self, key_id: str) -> AccessKey | None:
        """The key of this id, revoked or not."""
        return self._keys.get(f"key:{key_id}")

    def keys(self, account_id: str | None) -> list[AccessKey]:
        """The keys of an account; None: those of no single account."""
        return self._keys.of_account(account_id)

    def all_keys(self) -> list[AccessKey]:
        """Every key."""
        return self._keys.all()

    def key_used_at(self, key_id: str) -> int | None:
        """When the key was used last, ms, to the hour; None: never."""
        return self._used_at.get(key_id)

    def member(self, account_id: str, actor: str) -> Member | None:
        """The member who stands for an actor, removed or not."""
        return self._members.get(f"member:{len(account_id)}:{account_id}:{actor}")

    def members(self, account_id: str) -> list[Member]:
        """The account's members, removed ones among them."""
        return self._members.of_account(account_id)

    def webhook(self, webhook_id: str) -> Webhook | None:
        """The webhook of this id, removed or not."""
        return self._webhooks.get(f"webhook:{webhook_id}")

    def webhooks(self, account_id: str | None) -> list[Webhook]:
        """The account's webhooks, removed ones among them; None: those for every account."""
        return self._webhooks.of_account(account_id)

    def all_webhooks(self) -> list[Webhook]:
        """Every webhook."""
        return self._webhooks.all()

    def link(self, link_id: str) -> LinkUse | None:
        """The link of this id, used or not."""
        return self._links.get(f"link:{link_id}")

    def links(self, account_id: str | None) -> list[LinkUse]:
        """The account's links whose time is not long over; None: those of operators."""
        return self._links.of_account(account_id)

    def newest(self, thing: Thing) -> Thing | None:
        """What is known of the same key, member, webhook or link."""
        kept: Mapping[type, _Newest[Any]] = {
            AccessKey: self._keys, Member: self._members, Webhook: self._webhooks, LinkUse: self._links,
        }  # fmt: skip
        known: Thing | None = kept[type(thing)].get(thing.record_key)
        return known

    def has_change(self, change_id: str) -> bool:
        """Whether this change is there, if it is one of the newest thousand."""
        return change_id in self._changes

    def expired_links(self, before: int) -> list[LinkUse]:
        """Links that, like their sessions, open nothing since before this time (ms)."""
        return [link for link in self._links.all() if link.opens_until < before]

    def forget(self, links: list[LinkUse]) -> None:
        """Drop links whose time is long over: their tokens say so themselves."""
        for link in links:
            self._links.remove(link)
