"""The benchmark's price book on Quix Streams: batches of request events in, one batch of billed lines out for each.

`credit_meter.py BOOTSTRAP REQUESTS BILLED APPLICATION FOLDER SCHEMAS`, with the libraries of requirements.txt. See
../README.md for what it leaves out.
"""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import fastavro
from fastavro.schema import fingerprint, to_parsing_canonical_form
from quixstreams import Application, State, message_context

from bench.rules import Meter

HEADER_LENGTH = 10


class Format:
    """One of Avro's formats of a message (single-object encoding)."""

    def __init__(self, file: Path) -> None:
        schema = json.loads(file.read_text(encoding="utf-8"))
        self._schema = fastavro.parse_schema(schema)
        canonical = to_parsing_canonical_form(schema)
        self.header = b"\xc3\x01" + bytes.fromhex(fingerprint(canonical, "CRC-64-AVRO"))

    def decode(self, value: bytes) -> Any:
        body = io.BytesIO(value)
        body.seek(HEADER_LENGTH)
        return fastavro.schemaless_reader(body, self._schema, None)

    def encode(self, record: dict[str, Any]) -> bytes:
        body = io.BytesIO(self.header)
        body.seek(HEADER_LENGTH)
        fastavro.schemaless_writer(body, self._schema, record)
        return body.getvalue()


class Table:
    """One kind of row in a partition's state, which has one space of keys for all."""

    def __init__(self, state: State, kind: str) -> None:
        self._state = state
        self._kind = kind

    def get(self, key: Any, default: Any = None) -> Any:
        return self._state.get([self._kind, key], default)

    def __setitem__(self, key: Any, value: Any) -> None:
        self._state.set([self._kind, key], value)


class Rating:
    """What happens to a message."""

    def __init__(self, schemas: Path) -> None:
        self._events, self._book, self._lines = (
            Format(schemas / f"{name}.avsc") for name in ("RequestBatch", "PriceBook", "BilledBatch")
        )

    def has_events(self, value: bytes) -> bool:
        """Not so a price book: its prices stand in bench.rules. A message that is neither is an error."""
        if not value.startswith((self._events.header, self._book.header)):
            raise ValueError("a message that is neither a price book nor events of this version")
        return value.startswith(self._events.header)

    def rate(self, value: bytes, state: State) -> bytes:
        """The message with the lines of the events."""
        meter = Meter(*(Table(state, kind) for kind in ("seen", "claim", "balance", "newest")))
        place = message_context()
        batch = {"source_partition": place.partition, "source_offset": place.offset, "part": 0, "parts": 1}
        lines = [line for event in self._events.decode(value)["events"] for line in meter.rate(event)]
        return self._lines.encode({**batch, "events": lines})


def make_app(bootstrap: str, requests: str, billed: str, application: str, folder: str, schemas: str) -> Application:
    app = Application(
        bootstrap,
        consumer_group=application,
        auto_offset_reset="earliest",
        state_dir=folder,
        loglevel="WARNING",
        auto_create_topics=True,  # the changelog topic's; those of requests and billed lines are there
        consumer_extra_config={"max.partition.fetch.bytes": 4 << 20},
        producer_extra_config={"acks": "all", "compression.type": "lz4", "linger.ms": 5, "batch.size": 1 << 20},
    )
    rating = Rating(Path(schemas))
    source = app.topic(requests, key_deserializer="bytes", value_deserializer="bytes")
    sink = app.topic(billed, key_serializer="bytes", value_serializer="bytes")
    # Messages have no key, so that all rows of a partition have one prefix: accounts are in the keys of the tables.
    app.dataframe(source).filter(rating.has_events).apply(rating.rate, stateful=True).to_topic(sink)
    return app


if __name__ == "__main__":
    make_app(*sys.argv[1:]).run()
