"""Reads stretches of Kafka partitions by offset, outside of any consumer group."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from streams import clock
from streams.log.client import client_config
from streams.log.protocols import HeldBack, LogChanged, LogError, LogUnavailable, LostPrefix

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from confluent_kafka import Message

_FETCH_BYTES = 32 << 20
_QUEUE_KIB = 64 << 10
_AT_ONCE = 64  # messages handed over by the client in one call: a bound on memory when each is large
_BACK_FACTOR = 8
_PAUSE = 0.1
_POLL = 0.5
_ASK = 2.0
_ASK_LONGEST = 10.0
BROKER_AWAY_SECONDS = 300.0
"""How long a worker and a loader wait for a broker that is away: to be updated and started takes it minutes."""
Answer = TypeVar("Answer")
# A partition that was just made, or whose leader moves, answers so for a moment.
_SETTLING = {KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE}
# What the client says at once where the broker goes away under a question; it may be back before our time is over.
_AWAY = {
    KafkaError._TIMED_OUT,  # noqa: SLF001 (their names)
    KafkaError._TRANSPORT,  # noqa: SLF001
    KafkaError._ALL_BROKERS_DOWN,  # noqa: SLF001
    KafkaError._DESTROY_BROKER,  # noqa: SLF001
}
# What the client says of a partition that there is not, and of any while the broker is away.
_UNKNOWN = {KafkaError._UNKNOWN_PARTITION, KafkaError._UNKNOWN_TOPIC, KafkaError.UNKNOWN_TOPIC_OR_PART}  # noqa: SLF001


class KafkaReader:
    """Reads any topic of one cluster. Clients are kept and used again; several reads may go on at once, in any thread.

    Reads what is committed: records of a transaction that was aborted are no records. `timeout`: seconds without any
    answer or progress before LogUnavailable.
    """

    def __init__(
        self, bootstrap: str, *, security: Mapping[str, str] | None = None, timeout: float = 30.0,
        isolation: str = "read_committed",
    ) -> None:  # fmt: skip
        self._bootstrap = bootstrap
        self._security = security
        self._timeout = timeout
        self._uncommitted: KafkaReader | None = None
        self._config = client_config(
            bootstrap,
            security,
            group_id="creditmeter.reader",  # the client wants one; nothing joins it or commits to it
            enable_auto_commit=False,
            enable_auto_offset_store=False,
            enable_partition_eof=True,
            auto_offset_reset="error",
            isolation_level=isolation,
            check_crcs=True,
            fetch_max_bytes=_FETCH_BYTES,
            max_partition_fetch_bytes=_FETCH_BYTES,
            receive_message_max_bytes=_FETCH_BYTES * 2,
            fetch_wait_max_ms=10,
            queued_max_messages_kbytes=_QUEUE_KIB,
            fetch_queue_backoff_ms=10,  # else a full queue pauses a long read for a second each time
        )
        self._idle: list[Consumer] = []
        self._lock = threading.Lock()

    def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        """First offset that is kept, and the offset before which everything is decided (no open transaction)."""
        place = TopicPartition(topic, partition)
        return self._settled(
            lambda consumer, left: consumer.get_watermark_offsets(place, timeout=left), topic, partition
        )

    def read(self, topic: str, partition: int, first: int, stop: int) -> Iterator[Message]:
        """Every record with first <= offset < stop, in order. Raises LostPrefix, LogChanged, LogUnavailable."""
        if first >= stop:
            return
        low, end = self.bounds(topic, partition)
        if first < low:
            raise LostPrefix(
                f"{topic}[{partition}]@{first}: no longer in the log, which begins at {low}; "
                "restore a state that is at least as new, or restore the topic"
            )
        if stop > end:
            raise LogChanged(
                f"{topic}[{partition}]: the log ends at {end}, but {stop} had been reached before; "
                "the topic was cut or made again: do not go on before you know why"
            )
        consumer = self._take()
        try:
            consumer.assign([TopicPartition(topic, partition, first)])
            yield from self._until(consumer, topic, partition, stop)
        finally:
            self._give_back(consumer)

    def offset_at(self, topic: str, partition: int, timestamp: int) -> int:
        """The first offset whose record is not before the time (ms, the broker's); where there is none, the end."""
        end = self.bounds(topic, partition)[1]
        asked = [TopicPartition(topic, partition, max(0, timestamp))]
        offsets = self._settled(
            lambda consumer, left: consumer.offsets_for_times(asked, timeout=left), topic, partition
        )
        return end if offsets[0].offset < 0 else min(offsets[0].offset, end)

    def last(self, topic: str, partition: int, counts: Callable[[Message], bool]) -> Message | None:
        """The last record that is kept and that ``counts``; None when there is none.

        Steps back over offsets that hold no record and over records that do not count.
        """
        low, stop = self.bounds(topic, partition)
        step = 1
        while stop > low:
            first = max(low, stop - step)
            newest = None
            try:
                for message in self.read(topic, partition, first, stop):
                    if counts(message):
                        newest = message
            except LostPrefix:  # retention went on meanwhile
                low = self.bounds(topic, partition)[0]
                continue
            if newest is not None:
                return newest
            stop, step = first, step * _BACK_FACTOR
        return None

    def held_back(self, topic: str, partition: int) -> HeldBack:
        """What stands behind the first open transaction of a partition; see `RecordLog`. Raises LogUnavailable."""
        everything = self._of_everything()
        stable = self.bounds(topic, partition)[1]
        end = everything.bounds(topic, partition)[1]
        first = next(iter(everything.read(topic, partition, stable, end)), None) if end > stable else None
        return HeldBack(max(0, end - stable), None if first is None else first.timestamp()[1])

    def _of_everything(self) -> KafkaReader:
        """A reader that sees records of transactions that have not ended, too."""
        if self._uncommitted is None:
            self._uncommitted = KafkaReader(
                self._bootstrap, security=self._security, timeout=self._timeout, isolation="read_uncommitted"
            )
        return self._uncommitted

    def close(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for consumer in idle:
            consumer.close()
        if self._uncommitted is not None:
            self._uncommitted.close()

    def _until(self, consumer: Consumer, topic: str, partition: int, stop: int) -> Iterator[Message]:
        silent_since = clock.monotonic()
        while True:
            for message in _waiting(consumer):
                error = message.error()
                offset = message.offset()
                if error is None or error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 (their name)
                    if offset is None or offset >= stop:
                        return
                    if error is None:
                        yield message
                        if offset == stop - 1:
                            return
                    silent_since = clock.monotonic()
                elif not _passes(error) and error.code() not in _UNKNOWN:  # it was known when its bounds were asked
                    raise self._explain(error, topic, partition)
            if clock.monotonic() - silent_since > self._timeout:
                raise self._unavailable(topic, partition)

    def _settled(self, ask: Callable[[Consumer, float], Answer | None], topic: str, partition: int) -> Answer:
        """The broker's answer to a question that is given the seconds left; a partition that settles is waited for.

        A client that has asked for a partition which the broker did not know yet may answer so for ever, or wait for
        its leader: a new one asks again.
        """
        deadline = clock.monotonic() + self._timeout
        consumer = self._take()
        try:
            while (left := deadline - clock.monotonic()) > 0:
                try:
                    answer = ask(consumer, min(left, _ASK_LONGEST))
                except KafkaException as error:
                    cause: KafkaError = error.args[0]
                    consumer.close()
                    consumer = Consumer(self._config)
                    is_unknown = cause.code() in _UNKNOWN
                    if not (self._may_be_there(consumer, topic, partition) if is_unknown else _passes(cause)):
                        raise self._explain(cause, topic, partition) from error
                    clock.sleep(_PAUSE)
                else:
                    if answer is not None:
                        return answer
        finally:
            self._give_back(consumer)
        raise self._unavailable(topic, partition)

    def _may_be_there(self, consumer: Consumer, topic: str, partition: int) -> bool:
        """Whether a partition that a client does not know is there, or no broker answers."""
        try:
            return partition in consumer.list_topics(topic, timeout=_ASK).topics[topic].partitions
        except KafkaException:
            return True

    def _explain(self, error: KafkaError, topic: str, partition: int) -> LogError:
        if error.code() in _UNKNOWN:
            return LogChanged(f"{topic}[{partition}]: there is no such partition; see topic_prefix and partitions")
        return LogError(f"{topic}[{partition}]: cannot be read: {error.str()} ({error.name()})")

    def _unavailable(self, topic: str, partition: int) -> LogUnavailable:
        return LogUnavailable(
            f"{topic}[{partition}]: no answer from {self._bootstrap} within {self._timeout:g} s; see that Kafka runs"
        )

    def _take(self) -> Consumer:
        with self._lock:
            if self._idle:
                return self._idle.pop()
        return Consumer(self._config)

    def _give_back(self, consumer: Consumer) -> None:
        consumer.unassign()
        with self._lock:
            self._idle.append(consumer)


def _passes(error: KafkaError) -> bool:
    """Whether asking again may help."""
    return bool(error.retriable()) or error.code() in _SETTLING | _AWAY


def _waiting(consumer: Consumer) -> list[Message]:
    """What has arrived; waits for the first only (`consume` would wait until it has all that it was asked for)."""
    first = consumer.poll(_POLL)
    return [] if first is None else [first, *consumer.consume(_AT_ONCE, timeout=0)]
