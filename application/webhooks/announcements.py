"""Tells webhooks of prices to come: when a book is published, each whose account's prices it changes (SERVER 4).

Only accounts that have a webhook for it are looked at. An account's plan is asked of ClickHouse; where that is away the
book waits, and nothing else does.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from application.errors import Failed
from application.prices.differences import BookChange
from application.prices.price_list import AccountPlan
from application.prices.publishing import BookLog, PublishedBook
from application.webhooks.events import EventSequence, EventType, Happening
from application.webhooks.messages import delivery_for, wants
from application.webhooks.price_changes import (
    AnnouncedVersion,
    announced_versions,
    changes_for_account,
    changes_for_everybody,
)
from metering.windows import format_instant
from schemas.codec import Codec
from schemas.errors import Undecodable
from schemas.wire import frame_length
from streams.access.records import Webhook
from streams.deliveries.records import Delivery
from streams.log.protocols import InputLog, Message

_BOOK = "PriceBook"
_MOST_CHANGES = 1_000
PlanOf = Callable[[str], AccountPlan | None]
"""The plan of an account, None where it has none. Raises Failed where that cannot be known now."""


class NotYet(Exception):
    """A book cannot be announced now; trying again later is right."""


class Announcements:
    """The price books of one partition of the input log: a book is written to every one, this one speaks for all."""

    PARTITION = 0

    def __init__(self, log_: InputLog, topic: str, codec: Codec, log_id: str, plan_of: PlanOf) -> None:
        self._log = log_
        self._topic = topic
        self._codec = codec
        self._log_id = log_id
        self._plan_of = plan_of
        self._names: dict[bytes, str] = {}
        self._books: deque[Message] = deque()

    @property
    def waiting(self) -> Message | None:
        """The book that is to be announced next; None where none waits."""
        return self._books[0] if self._books else None

    def note(self, message: Message) -> bool:
        """Keeps a message of the log for later if it may be a price book; whether it may."""
        if self._may_be_book(message):
            self._books.append(message)
            return True
        return False

    def done(self) -> None:
        """The book that waited first is announced."""
        self._books.popleft()

    def forget(self) -> None:
        """Another process has the partition."""
        self._books.clear()

    def of(self, message: Message, webhooks: Sequence[Webhook], now: int) -> list[Delivery]:
        """The messages about a book: none where it does not count, or begins nothing later. Raises NotYet, LogError."""
        wanting = [
            webhook for webhook in webhooks if EventType.PRICES_ANNOUNCED in webhook.events
        ]  # fmt: skip
        if not wanting:
            return []
        published = self._in_force(message.offset + 1)
        if published is None or published.offset != message.offset:
            return []
        old = self._in_force(message.offset)
        versions = list(
            announced_versions(None if old is None else old.book, published.book, published.published_at)
        )  # fmt: skip
        try:
            return [
                delivery
                for webhook in wanting
                for delivery in self._for_webhook(webhook, published, versions, message, now)
            ]
        except Failed as error:
            raise NotYet(error.message) from error

    def _for_webhook(
        self,
        webhook: Webhook,
        published: PublishedBook,
        versions: Sequence[AnnouncedVersion],
        message: Message,
        now: int,
    ) -> Iterator[Delivery]:
        account = webhook.account_id
        plan = None if account is None or not versions else self._plan_of(account)
        for announced in versions:
            if account is None:
                changes = changes_for_everybody(announced)
            else:
                changes = changes_for_account(published.book, announced, plan)
            sequence = EventSequence(message.partition, message.offset, 0, announced.index)
            data = _told(account, published, announced, changes)
            happening = Happening(EventType.PRICES_ANNOUNCED, account, published.published_at, sequence, data)
            if changes and wants(webhook, happening, message.timestamp):
                yield delivery_for(webhook, happening, self._log_id, message.timestamp, now)

    def _in_force(self, stop: int) -> PublishedBook | None:
        return BookLog(_Before(self._log, stop), self._codec, self._topic, 1).in_force()[self.PARTITION]

    def _may_be_book(self, message: Message) -> bool:
        """Most messages are no books, and are recognised by their first bytes."""
        try:
            header = message.value[: frame_length(message.value)]
            if header not in self._names:
                self._names[header] = self._codec.decode(message.value)[0]
        except Undecodable:
            return False
        return self._names[header] == _BOOK


class _Before:
    """A log up to an offset."""

    def __init__(self, log_: InputLog, stop: int) -> None:
        self._log, self._stop = log_, stop

    def bounds(self, partition: int) -> tuple[int, int]:
        return self._log.bounds(partition)[0], self._stop

    def read(self, partition: int, first: int, stop: int) -> Iterator[Message]:
        return iter(self._log.read(partition, first, stop))


def _told(
    account: str | None, published: PublishedBook, announced: AnnouncedVersion, changes: Sequence[BookChange]
) -> Mapping[str, Any]:
    version = announced.version
    return {
        "account_id": account,
        "book_id": published.book_id,
        "published_at": format_instant(published.published_at),
        "version": version.version,
        "effective_from": format_instant(version.effective_from),
        "overrides_lock": version.overrides_lock,
        "changes": [
            {
                "kind": change.kind.value, "charge": change.charge, "field": change.field, "old": change.old,
                "new": change.new,
            }
            for change in changes[:_MOST_CHANGES]
        ],
        "changes_in_all": len(changes),
    }  # fmt: skip
