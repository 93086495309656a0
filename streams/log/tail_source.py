"""The ends of output topics in Kafka, as a `DecisionTail` follows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Consumer, KafkaError, KafkaException, TopicPartition

from streams import clock
from streams.log.client import client_config, logger
from streams.log.decision_tail import TailRecord
from streams.log.input_log import as_message
from streams.log.protocols import LogError, LogUnavailable

_AT_ONCE = 500
_FETCH_BYTES = 32 << 20
_QUEUE_KIB = 32 << 10
_TIMEOUT = 15.0
_FURTHEST_BACK = 2_000
"""Records of a partition that a start reads at most: it must not grow with what the last minute holds."""
_PATIENCE = 30.0
"""Seconds that a start waits for topics that the broker does not know yet, and for a broker that comes back."""
_PAUSE = 0.2
_NOT_YET = frozenset(
    {
        KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.LEADER_NOT_AVAILABLE, KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001 (their names)
        # What a broker that comes back answers before it answers for topics.
        KafkaError._TRANSPORT, KafkaError._TIMED_OUT,  # noqa: SLF001
    }
)  # fmt: skip


class KafkaTailSource:
    """`TailSource` over a cluster.

    `back_ms`: how far before now it begins; `patience`: seconds that a start waits for topics that are not known yet.
    """

    def __init__(
        self, bootstrap: str, topics: Sequence[str], partitions: int, security: Mapping[str, str] | None = None, *,
        back_ms: int = 60_000, patience: float = _PATIENCE,
    ) -> None:  # fmt: skip
        self._bootstrap = bootstrap
        self._topics = tuple(topics)
        self._patience = patience
        self._places = [(topic, partition) for topic in topics for partition in range(partitions)]
        self._back_ms = back_ms
        self._config = client_config(
            bootstrap, security,
            group_id="creditmeter.tail",  # the client wants one; nothing joins it or commits to it
            enable_auto_commit=False, enable_auto_offset_store=False, auto_offset_reset="latest",
            isolation_level="read_committed", check_crcs=True, fetch_wait_max_ms=100, fetch_min_bytes=1,
            fetch_max_bytes=_FETCH_BYTES, max_partition_fetch_bytes=_FETCH_BYTES,
            receive_message_max_bytes=_FETCH_BYTES * 2, queued_max_messages_kbytes=_QUEUE_KIB,
            fetch_queue_backoff_ms=10,
        )  # fmt: skip
        self._consumer: Consumer | None = None
        self._problem: str | None = None

    def start(self) -> None:
        """Begins at the tail. Waits for topics that were made so recently that the broker does not know them yet.

        Raises LogUnavailable.
        """
        deadline = clock.monotonic() + self._patience
        has_warned = False
        while self._consumer is None:
            # A new client for each try: one that has asked for a topic too early may answer "unknown" for ever.
            consumer = Consumer(self._config)
            try:
                consumer.assign(self._beginnings(consumer))
                self._consumer = consumer
            except KafkaException as error:
                cause: KafkaError = error.args[0]
                if cause.code() not in _NOT_YET:
                    raise LogUnavailable(f"{self._bootstrap}: {cause.str()}; see that Kafka runs") from error
                if clock.monotonic() >= deadline:
                    raise LogUnavailable(self._not_known(consumer, cause)) from error
                if not has_warned:
                    logger.warning(
                        "the tail of decisions waits for %s: %s", ", ".join(self._missing(consumer)), cause.str()
                    )
                    has_warned = True
                clock.sleep(_PAUSE)
            finally:
                if self._consumer is None:
                    consumer.close()

    def poll(self, seconds: float) -> Sequence[TailRecord]:
        if self._consumer is None:
            raise LogError("a tail is started before it is read")
        first = self._consumer.poll(seconds)
        if first is None:
            return []
        records = []
        for message in [first, *self._consumer.consume(_AT_ONCE, timeout=0)]:
            if (error := message.error()) is not None:
                self._note(error)
                continue
            self._problem = None
            records.append(TailRecord(message.topic() or "", as_message(message)))
        return records

    def problem(self) -> str | None:
        return self._problem

    def close(self) -> None:
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None

    def _beginnings(self, consumer: Consumer) -> list[TopicPartition]:
        """Where reading begins. Raises KafkaException."""
        since = clock.now_ms() - self._back_ms
        by_time = self._offsets(consumer, since)
        first, end = self._offsets(consumer, OFFSET_BEGINNING), self._offsets(consumer, OFFSET_END)
        return [
            TopicPartition(topic, partition, max(low, wanted if wanted >= 0 else high, high - _FURTHEST_BACK))
            for (topic, partition), wanted, low, high in zip(self._places, by_time, first, end, strict=True)
        ]

    def _offsets(self, consumer: Consumer, at: int) -> list[int]:
        """The offset of each place at a time (ms, or what stands for beginning and end): one question for all."""
        asked = [TopicPartition(topic, partition, at) for topic, partition in self._places]
        offsets = {}
        for place in consumer.offsets_for_times(asked, timeout=_TIMEOUT):
            if place.error is not None:
                raise KafkaException(place.error)
            offsets[place.topic, place.partition] = place.offset
        return [offsets[place] for place in self._places]

    def _not_known(self, consumer: Consumer, cause: KafkaError) -> str:
        topics = ", ".join(self._missing(consumer))
        return (
            f"{topics}: {cause.str()}, for {self._patience:g} s at {self._bootstrap}; see that Kafka runs, that the "
            "topics are there and have leaders, and that topic_prefix is right"
        )

    def _missing(self, consumer: Consumer) -> Sequence[str]:
        """The topics that the broker does not know; where it knows all of them, all: one has no leader."""
        try:
            known = consumer.list_topics(timeout=_TIMEOUT).topics
        except KafkaException:
            return self._topics
        return [topic for topic in self._topics if topic not in known] or self._topics

    def _note(self, error: KafkaError) -> None:
        """The client goes on by itself: it waits for a broker, and reads on at the end of a topic that was cut."""
        if self._problem is None:
            logger.warning("the tail of decisions: %s", error.str())
        self._problem = error.str()
