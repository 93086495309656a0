"""A bulk import at a steady rate: `python -m bench.importer BOOTSTRAP PREFIX EVENTS_A_SECOND`, until it is ended."""

from __future__ import annotations

import sys
import time
from itertools import cycle
from typing import NoReturn

from confluent_kafka import Producer

from bench.backlog import batched
from bench.events import BATCH
from schemas.codec import Codec
from streams.log.output_log import ordered_config
from streams.log.topics import TopicNames

MESSAGES = 8_000
"""Made before the first is sent, so that making them takes nothing from those who are measured; then the same again."""


def main(bootstrap: str, prefix: str, rate: float) -> NoReturn:
    topic = TopicNames(prefix).requests
    wires = batched(MESSAGES, Codec(), seed=5)
    producer = Producer(ordered_config(bootstrap, None))
    began = time.monotonic()
    for count, wire in enumerate(cycle(wires)):
        due = began + count * BATCH / rate
        while (left := due - time.monotonic()) > 0:
            producer.poll(left)
        producer.produce(topic, wire.value, partition=wire.partition)
        producer.poll(0)
    raise AssertionError("the import goes on until it is ended")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]))
