"""Puts the work into the input topics before a contestant starts."""

from __future__ import annotations

import gc
from collections.abc import Iterable
from typing import NamedTuple

from confluent_kafka import Producer

from bench.events import BATCH, BOOK, PARTITIONS, START, batches
from schemas.codec import Codec
from schemas.price_book import book_id
from streams.log.output_log import ordered_config
from streams.log.protocols import PRODUCER_HEADER
from streams.log.topics import TopicNames, TopicSettings, ensure_topics

_HEADERS: list[tuple[str, str | bytes | None]] = [(PRODUCER_HEADER, b"bench")]
_POLL = 0.1


class Wire(NamedTuple):
    """One message as it goes out. ``events`` it holds, ``answers`` it causes in the billed topic."""

    partition: int
    value: bytes
    events: int
    answers: int


def batched(count: int, codec: Codec, seed: int = 1) -> list[Wire]:
    """The work in batches, encoded once for all contestants that take it."""
    gc.disable()  # nothing of it is garbage
    made = [
        Wire(batch.partition, codec.encode("RequestBatch", {"events": batch.events}), BATCH, int(batch.fresh > 0))
        for batch in batches(count, seed)
    ]
    gc.enable()
    return made


def single(count: int, codec: Codec, seed: int = 1) -> list[Wire]:
    """The first ``count`` batches of the same work, one event a message."""
    seen: set[tuple[str, str]] = set()
    made = []
    for batch in batches(count, seed):
        for event in batch.events:
            key = (event["account_id"], event["event_id"])
            made.append(Wire(batch.partition, codec.encode_event_alone(event), 1, int(key not in seen)))
            seen.add(key)
    return made


def prepare(bootstrap: str, names: TopicNames, codec: Codec) -> None:
    """Makes the topics, with the price book at the head of every partition."""
    ensure_topics(bootstrap, names, TopicSettings(PARTITIONS, 1))
    book = codec.encode("PriceBook", {"book_id": book_id(BOOK), "yaml": BOOK, "published_at": START})
    produce(bootstrap, names.requests, [Wire(partition, book, 0, 0) for partition in range(PARTITIONS)])


def produce(bootstrap: str, topic: str, messages: Iterable[Wire]) -> None:
    """Sends the messages as `CommandProducer` does; returns when all are acknowledged."""
    failures: list[object] = []
    producer = Producer(ordered_config(bootstrap, None, queue_buffering_max_kbytes=256 << 10))

    def delivered(error: object, _message: object) -> None:
        if error is not None:
            failures.append(error)

    for message in messages:
        while True:
            try:
                producer.produce(
                    topic, message.value, partition=message.partition, headers=_HEADERS, on_delivery=delivered
                )
            except BufferError:
                producer.poll(_POLL)
            else:
                break
    while producer.flush(_POLL):
        pass
    if failures:
        raise RuntimeError(f"{topic}: {failures[0]}")
