"""Plain Faust: what one writes first. One event a message, state in dictionaries, nothing survives a crash.

`python -m bench.plain_faust BOOTSTRAP PREFIX FOLDER`. The same work on each event as the pipeline (decode, drop
repeats, price, unique window, balance, encode, acks=all), written straight down, with Faust set up for throughput.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import fastavro
import faust

from bench.rules import Meter
from schemas.catalog import current, fingerprint_of
from schemas.wire import SINGLE_OBJECT_LENGTH, single_object_header
from streams.log.topics import TopicNames

REQUESTS = fastavro.parse_schema(dict(current("RequestBatch")))
BILLED = fastavro.parse_schema(dict(current("BilledBatch")))
HEADER = single_object_header(fingerprint_of(current("BilledBatch")))


def make_app(bootstrap: str, prefix: str, folder: str) -> faust.App:
    names = TopicNames(prefix)
    app = faust.App(
        f"{prefix}-plain",
        broker=f"aiokafka://{bootstrap}",
        datadir=folder,
        store="memory://",
        key_serializer="raw",
        value_serializer="raw",
        consumer_auto_offset_reset="earliest",
        consumer_max_fetch_size=4 << 20,
        producer_acks=-1,
        producer_linger=0.005,
        producer_max_batch_size=1 << 20,
        producer_max_request_size=4 << 20,
        stream_wait_empty=False,
        topic_disable_leader=True,
        topic_allow_declare=False,
        web_enabled=False,
    )
    requests = app.topic(names.requests, value_type=bytes, value_serializer="raw", key_serializer="raw")
    billed = app.topic(names.billed, value_type=bytes, value_serializer="raw", key_serializer="raw")
    meter = Meter({}, {}, {}, {})

    async def rate(stream: Any) -> None:
        async for item in stream.events():
            message = item.message
            if message.offset == 0:  # the price book, which stands in PRICES
                continue
            body = io.BytesIO(item.value)
            body.seek(SINGLE_OBJECT_LENGTH)
            batch: Any = fastavro.schemaless_reader(body, REQUESTS, None)
            for event in batch["events"]:
                lines = meter.rate(event)
                if lines:
                    answer = io.BytesIO(HEADER)
                    answer.seek(SINGLE_OBJECT_LENGTH)
                    place = {"source_partition": message.partition, "source_offset": message.offset}
                    fastavro.schemaless_writer(answer, BILLED, {**place, "part": 0, "parts": 1, "events": lines})
                    await billed.send(value=answer.getvalue(), partition=message.partition)

    app.agent(requests, name="rate")(rate)
    return app


if __name__ == "__main__":
    Path(sys.argv[3]).mkdir(parents=True, exist_ok=True)
    app = make_app(*sys.argv[1:])
    worker = app.Worker(loglevel="WARNING", quiet=True, redirect_stdouts=False)
    worker.spinner = None
    worker.execute_from_commandline()
