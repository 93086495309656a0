"""From the output topics to deliveries: what one process does with the partitions that it has.

Order of effects, of a group of records:
1. make the deliveries that are not there yet; 2. write them, then the positions behind them, and wait for every
acknowledgement; 3. only then offer them to be tried. What came of a try is written in the same way before the next one.
A crash after 1 makes them again, after 2 finds them in the topic; a try whose result was not written is made again,
with the same id. So a message may come twice, and none is lost.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from application.webhooks.announcements import Announcements, NotYet
from application.webhooks.events import EventType, Happening, happenings
from application.webhooks.health import WebhookHealth
from application.webhooks.messages import deliveries, is_on
from application.webhooks.schedule import Outcome, TryResult, after_try, dropped
from schemas.batches import read_position
from schemas.codec import Codec
from schemas.errors import Undecodable
from streams.access.records import Webhook
from streams.deliveries.records import Delivery, DeliveryPosition, DeliveryStatus
from streams.deliveries.state import DeliveryState
from streams.deliveries.topic import DeliveryTopic, Written
from streams.log.protocols import LogChanged, LogError, Message, RecordLog
from streams.log.seals import SealCheck, stray
from streams.log.shared_partitions import FollowedRecord, Place
from streams.log.topics import TopicNames

MOST_WAITING = 100_000
"""Messages that wait for one webhook in one partition; further ones are kept as dropped, and may be sent by hand."""
KEPT_MS = 30 * 24 * 3_600_000
"""For so long after its end a delivery stays in the topic; in ClickHouse it stays."""
_POSITION_MS = 30_000
_LOOK_MS = 1_000
_SWEEP_MS = 24 * 3_600_000
_CLOCKS_DIFFER_MS = 60_000
logger = logging.getLogger(__name__)


class Tries(Protocol):
    """Who makes the tries; called from the thread of `DeliveryWork`, and never waits."""

    def offer(self, partition: int, delivery: Delivery) -> None:
        """To be tried at its next_at; it takes the place of an earlier record of the same delivery."""
        ...

    def withdraw(self, delivery_id: str) -> None:
        """Not to be tried any more."""
        ...

    def leave(self, partition: int) -> None:
        """Nothing of this partition is to be begun any more."""
        ...


class TurnOff(Protocol):
    """Turns a webhook off; never waits."""

    def __call__(self, webhook: Webhook, reason: str, *, because_failing: bool) -> None: ...


@dataclass(frozen=True, slots=True)
class WorkParts:
    """What the work is done with. `webhooks` gives all that are known, `find` one by its id; `now` gives ms.

    `read_webhooks` returns when all are known that were added before the call, or raises UseCaseError.
    """

    names: TopicNames
    codec: Codec
    seals: SealCheck
    log: Callable[[str], RecordLog]
    topic: DeliveryTopic
    log_id: str
    webhooks: Callable[[], Sequence[Webhook]]
    find: Callable[[str], Webhook | None]
    turn_off: TurnOff
    now: Callable[[], int]
    read_webhooks: Callable[[], None] = lambda: None
    announcements: Announcements | None = None
    made: Callable[[str, int], None] = lambda _event, _count: None
    stray: Callable[[str], None] = lambda _topic: None


class DeliveryWork:
    """A `PartitionOwner`. All calls come from one thread."""

    def __init__(self, parts: WorkParts, tries: Tries) -> None:
        self._parts = parts
        self._tries = tries
        self._health = WebhookHealth()
        self._states: dict[int, DeliveryState] = {}
        self._swept: dict[int, int] = {}
        self._moved: dict[Place, int] = {}
        self._looked_at = 0
        self.has_share = False
        """Whether the group has said once which partitions are this process's."""

    @property
    def pending(self) -> int:
        """How many messages wait in the partitions at hand."""
        return sum(len(state.pending) for state in self._states.values())

    @property
    def reached(self) -> dict[Place, int]:
        """The next offset of each output topic, of the partitions at hand."""
        return {
            (topic, partition): position.next_offset
            for partition, state in self._states.items()
            for topic, position in state.positions.items()
        }  # fmt: skip

    def take(self, partitions: Sequence[int]) -> Mapping[Place, int]:
        """Reads what is to be done. Raises LogError."""
        begins: dict[Place, int] = {}
        for partition in partitions:
            state = self._states[partition] = DeliveryState()
            self._read_whole(partition, state)
            begins[self._parts.names.deliveries, partition] = state.next_offset
            for topic in self._followed(partition):
                begins[topic, partition] = self._begin(topic, partition, state)
            logger.info("partition %d: %d messages for webhooks wait", partition, len(state.pending))
        self.has_share = True
        return begins

    def leave(self, partitions: Sequence[int], *, is_lost: bool) -> None:
        """Lets go; where nobody else has them yet, how far they are is written."""
        for partition in partitions:
            self._tries.leave(partition)
        if not is_lost:
            self._write_positions([place for place in self._moved if place[1] in partitions])
        for partition in partitions:
            self._states.pop(partition, None)
            if self._parts.announcements is not None and partition == Announcements.PARTITION:
                self._parts.announcements.forget()
        self._moved = {place: at for place, at in self._moved.items() if place[1] not in partitions}

    def process(self, records: Iterable[FollowedRecord]) -> None:
        """Takes in what has come. Raises LogError, RegistryUnavailable, and what `read_webhooks` raises."""
        made: list[Written] = []
        records = list(records)
        if any(topic != self._parts.names.deliveries for topic, _ in records):
            self._parts.read_webhooks()  # one that was added before something happened is told of it
        for topic, message in records:
            state = self._states.get(message.partition)
            if state is None:
                continue
            if topic == self._parts.names.deliveries:
                self._take_in(state, message)
            elif topic == self._parts.names.requests:
                self._note_book(message)
            else:
                made += self._made(state, topic, message)
        self._write(made)

    def results(self, results: Iterable[tuple[int, Delivery, TryResult]]) -> None:
        """Writes what came of tries: the partition, the delivery as it was tried, the result. Raises DeliveryFailed."""
        written: list[Written] = []
        results = list(results)
        for partition, tried, result in results:
            state = self._states.get(partition)
            known = tried if state is None else state.pending.get(tried.delivery_id)
            # Another process has it, or it is over: that it was taken is all that is worth writing.
            if known is not None and (state is not None or result.outcome is Outcome.DELIVERED):
                written.append(Written(partition, after_try(known, result)))
        self._write(written)
        for partition, tried, result in results:
            if partition in self._states:
                self._judge(tried, result)

    def tick(self) -> None:
        """What time asks for. To be called often; looks once a second. Raises LogError."""
        now = self._parts.now()
        if now - self._looked_at < _LOOK_MS:
            return
        self._looked_at = now
        self._write_positions([place for place, since in self._moved.items() if now - since >= _POSITION_MS])
        self._drop_what_is_off(now)
        self._announce()
        for partition, state in self._states.items():
            if now - self._swept.get(partition, now) >= _SWEEP_MS:
                self._read_whole(partition, state)

    def _followed(self, partition: int) -> list[str]:
        names = self._parts.names
        topics = [names.alerts, names.grants, names.refunds, names.holds, names.dead_letters]
        if self._parts.announcements is not None and partition == Announcements.PARTITION:
            topics.append(names.requests)
        return topics

    def _read_whole(self, partition: int, state: DeliveryState) -> None:
        """Reads the partition from its beginning; removes what is long over, and offers what is to be done."""
        now = self._parts.now()
        first, end = self._parts.topic.bounds(partition)
        old: dict[str, None] = {}
        for offset, record in self._parts.topic.read(partition, first, end):
            state.apply(offset, record)
            if isinstance(record, Delivery):
                self._note_health(record)
                if record.finished_at is not None and record.finished_at < now - KEPT_MS:
                    old[record.record_key] = None
                else:
                    old.pop(record.record_key, None)
        state.read_up_to(end)
        self._parts.topic.forget(partition, list(old))
        self._swept[partition] = now
        for delivery in state.pending.values():
            self._tries.offer(partition, delivery)

    def _begin(self, topic: str, partition: int, state: DeliveryState) -> int:
        """Where to go on reading; without a position, at the oldest webhook's beginning. Raises LogChanged."""
        log = self._parts.log(topic)
        first, end = log.bounds(partition)
        known = state.positions.get(topic)
        if known is None:
            created = [webhook.created_at for webhook in self._parts.webhooks() if is_on(webhook)]
            start = log.offset_at(partition, max(0, min(created) - _CLOCKS_DIFFER_MS)) if created else end
            state.positions[topic] = DeliveryPosition(topic=topic, next_offset=start, at=self._parts.now())
            self._moved.setdefault((topic, partition), self._parts.now())
            return start
        if known.next_offset > end:
            raise LogChanged(
                f"{topic}[{partition}] ends at {end}, and what was told to webhooks goes up to {known.next_offset}: it "
                f"was made again or restored to an earlier copy. Delete {self._parts.topic.topic} too where it was "
                "made again; put the newer copy back where it was restored"
            )
        if known.next_offset < first:
            logger.error(
                "%s[%d]: retention deleted offsets %d to %d before webhooks were told of them: give the topic a longer "
                "retention", topic, partition, known.next_offset, first - 1,
            )  # fmt: skip
        return max(first, known.next_offset)

    def _take_in(self, state: DeliveryState, message: Message) -> None:
        """A record of the topic itself: another process wrote it, or this one."""
        if message.offset < state.next_offset:  # of before a rebalance
            return
        record = self._parts.topic.decoded(message)
        if record is not None and state.apply(message.offset, record) and isinstance(record, Delivery):
            self._show(message.partition, record)
        state.read_up_to(message.offset + 1)

    def _made(self, state: DeliveryState, topic: str, message: Message) -> Iterator[Written]:
        """The deliveries of an output that was not seen before. Stray ones are skipped. Raises LogError."""
        if not self._parts.seals.is_ours(topic, message):
            logger.warning("%s", stray(topic, message))
            self._parts.stray(topic)
            return
        position = state.positions[topic]
        seen = position.source_offset, position.part
        try:
            source = read_position(message.value)
            name, batch = self._parts.codec.decode(message.value)
        except Undecodable as error:
            raise LogError(
                f"{topic}[{message.partition}]@{message.offset}: {error.detail}, though the record counts as a "
                "worker's: a newer version may have written it: upgrade this process"
            ) from None
        self._move(state, topic, message, max(source, seen))
        if source > seen:
            for happening in happenings(name, batch):
                yield from self._deliveries(state, happening, message)

    def _move(self, state: DeliveryState, topic: str, message: Message, source: tuple[int, int]) -> None:
        now = self._parts.now()
        state.positions[topic] = DeliveryPosition(
            topic=topic, next_offset=message.offset + 1, source_offset=source[0], part=source[1], at=now
        )
        self._moved.setdefault((topic, message.partition), now)

    def _deliveries(self, state: DeliveryState, happening: Happening, message: Message) -> Iterator[Written]:
        parts, now = self._parts, self._parts.now()
        new = deliveries(happening, parts.webhooks(), parts.log_id, message.timestamp, now)
        for delivery in new:
            if delivery.delivery_id in state.pending:
                continue  # a crash came between it and the position
            waits = state.waiting_for(delivery.webhook_id) < MOST_WAITING
            record = delivery if waits else dropped(delivery, f"more than {MOST_WAITING:,} messages wait for it", now)
            yield Written(message.partition, record)
        if new:
            parts.made(happening.event, len(new))

    def _write(self, records: Sequence[Written]) -> None:
        """Writes them and the positions of their partitions behind them, then offers what is to be tried."""
        if not records:
            return
        partitions = {written.partition for written in records}
        places = [place for place in self._moved if place[1] in partitions]
        for partition, record, offset in self._parts.topic.write([*records, *self._positions(places)]):
            state = self._states.get(partition)
            if state is not None and state.apply(offset, record) and isinstance(record, Delivery):
                self._show(partition, record)
        for place in places:
            del self._moved[place]

    def _note_health(self, delivery: Delivery) -> None:
        webhook = self._parts.find(delivery.webhook_id)
        if webhook is not None and webhook.enabled_at is not None:
            self._health.begin_anew(webhook.webhook_id, webhook.enabled_at)
        self._health.apply(delivery)

    def _show(self, partition: int, delivery: Delivery) -> None:
        self._note_health(delivery)
        if delivery.status is DeliveryStatus.PENDING:
            self._tries.offer(partition, delivery)
        else:
            self._tries.withdraw(delivery.delivery_id)

    def _positions(self, places: Iterable[Place]) -> list[Written]:
        return [
            Written(partition, self._states[partition].positions[topic])
            for topic, partition in places
            if partition in self._states
        ]  # fmt: skip

    def _write_positions(self, places: Sequence[Place]) -> None:
        for partition, record, offset in self._parts.topic.write(self._positions(places)):
            self._states[partition].apply(offset, record)
        for place in places:
            self._moved.pop(place, None)

    def _judge(self, tried: Delivery, result: TryResult) -> None:
        """Turns a webhook off that wants nothing any more, or that has failed for three days."""
        webhook = self._parts.find(tried.webhook_id)
        if webhook is None or not is_on(webhook) or result.outcome is Outcome.DELIVERED:
            return
        if webhook.enabled_at is not None and result.attempt.at < webhook.enabled_at:
            return  # the try began before it was turned on again
        if result.outcome is Outcome.GONE:
            self._parts.turn_off(
                webhook, "it answered 410 Gone: nothing is wanted there any more", because_failing=False
            )
        elif self._health.to_turn_off(tried.webhook_id, self._parts.now()):
            self._parts.turn_off(
                webhook, f"no try has succeeded for three days; the last one: {result.attempt.error}",
                because_failing=True,
            )  # fmt: skip

    def _drop_what_is_off(self, now: int) -> None:
        gone: list[Written] = []
        for partition, state in self._states.items():
            for webhook_id in state.webhooks():
                webhook = self._parts.find(webhook_id)
                if webhook is not None and not is_on(webhook):
                    reason = "the webhook is off" if webhook.removed_at is None else "the webhook was removed"
                    gone += [
                        Written(partition, dropped(delivery, reason, now)) for delivery in state.of_webhook(webhook_id)
                    ]
        self._write(gone)

    def _note_book(self, message: Message) -> None:
        announcements, state = self._parts.announcements, self._states[message.partition]
        if announcements is not None and not announcements.note(message) and announcements.waiting is None:
            self._move(state, self._parts.names.requests, message, (message.offset, 0))

    def _announce(self) -> None:
        """Tells of the price books that have come; where ClickHouse is away, later. Nothing else waits for it."""
        announcements, state = self._parts.announcements, self._states.get(Announcements.PARTITION)
        while announcements is not None and state is not None and (message := announcements.waiting) is not None:
            try:
                new = announcements.of(message, self._parts.webhooks(), self._parts.now())
            except NotYet as problem:
                logger.warning("a price book waits to be announced: %s", problem)
                return
            made = [
                Written(message.partition, delivery) for delivery in new if delivery.delivery_id not in state.pending
            ]  # fmt: skip
            if made:
                self._parts.made(EventType.PRICES_ANNOUNCED, len(made))
            announcements.done()
            self._move(state, self._parts.names.requests, message, (message.offset, 0))
            self._write(made)
