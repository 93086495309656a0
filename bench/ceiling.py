"""The ceiling: the same rating loop, fed by a confluent-kafka consumer instead of Faust.

`python -m bench.ceiling BOOTSTRAP PREFIX FOLDER`. It keeps the guarantees of the pipeline while it has all partitions
to itself; what it lacks is sharing them out: no second process, no rebalance, no health, no metrics.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, cast

from confluent_kafka import Consumer
from confluent_kafka import Message as KafkaMessage

from streams import garbage_collection
from streams.log.client import client_config
from streams.log.protocols import Message, producer_of
from streams.log.seals import Sealer
from streams.log.topics import TopicNames
from streams.rating.worker import WorkerSettings, open_loop

if TYPE_CHECKING:
    from collections.abc import Iterable

COMMIT_SECONDS = 1.0
WAIT_SECONDS = 0.02


def main(bootstrap: str, prefix: str, folder: str) -> NoReturn:
    settings = WorkerSettings(bootstrap, TopicNames(prefix), Path(folder), Sealer(b"bench"))
    loop = open_loop(settings)
    consumer = Consumer(
        client_config(
            bootstrap,
            group_id=settings.names.rating_group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_bytes=32 << 20,
            max_partition_fetch_bytes=4 << 20,
            queued_max_messages_kbytes=32 << 10,
            fetch_queue_backoff_ms=10,
        )
    )
    consumer.subscribe([settings.names.requests])
    garbage_collection.collect_rarely()
    commit_at = time.monotonic() + COMMIT_SECONDS
    while True:
        found = consumer.consume(settings.group_messages, timeout=WAIT_SECONDS)
        for each in found:
            if each.error() is not None:
                raise RuntimeError(each.error())
        if found:
            loop.process([_message(each) for each in found])
        if time.monotonic() >= commit_at:
            consumer.commit(asynchronous=True)
            commit_at = time.monotonic() + COMMIT_SECONDS


def _message(each: KafkaMessage) -> Message:
    headers = cast("Iterable[tuple[str, bytes | None]] | None", each.headers())
    value = each.value() or b""
    return Message(each.partition() or 0, each.offset() or 0, each.timestamp()[1], value, producer_of(headers))


if __name__ == "__main__":
    main(*sys.argv[1:])
