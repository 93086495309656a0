"""Plain Faust: what one writes first. One event a message, state in dictionaries, nothing survives a crash.

`python -m bench.plain_faust BOOTSTRAP PREFIX FOLDER`. The same work on each event as the pipeline (decode, drop
repeats, price, unique window, balance, encode, acks=all), written straight down, with Faust set up for throughput.
"""

from __future__ import annotations

import io
import ipaddress
import sys
from pathlib import Path
from typing import Any

import fastavro
import faust

from bench.events import START
from schemas.catalog import current, fingerprint_of
from schemas.wire import SINGLE_OBJECT_LENGTH, single_object_header
from streams.log.topics import TopicNames

DAY = 86_400_000
ACCEPT_WINDOW = 35 * DAY
VERSION = "2026-01"
REQUESTS = fastavro.parse_schema(dict(current("RequestBatch")))
BILLED = fastavro.parse_schema(dict(current("BilledBatch")))
HEADER = single_object_header(fingerprint_of(current("BilledBatch")))

# (endpoint, channel) -> charge, feature, action, credits, subjects of the 24 hours' window
PRICES: dict[tuple[str, str], list[tuple[str, str, str, int, tuple[str, ...]]]] = {
    ("/pixel/hit", "js"): [
        ("pageview", "Pixel", "Pageview", 1, ()),
        ("pixel-lookup", "Identification", "IP to company lookup", 20, ("user_id", "ip")),
    ],
    ("/v1/ip-lookup", "api"): [("ip-lookup", "Identification", "IP to company lookup", 20, ("ip",))],
}


class Meter:
    """State in dictionaries, and what one event does to it."""

    def __init__(self) -> None:
        self.seen: dict[tuple[str, str], int] = {}
        self.claims: dict[tuple[str, ...], tuple[int, str]] = {}
        self.balances: dict[str, int] = {}
        self.stream_time: dict[str, int] = {}

    def rate(self, event: dict[str, Any]) -> list[dict[str, Any]]:
        """The event's lines; none for a repeat and for one that is too late."""
        account, event_id, at = event["account_id"], event["event_id"], event["occurred_at"]
        now = self.stream_time[account] = max(self.stream_time.get(account, START), at)
        if (account, event_id) in self.seen or at < now - ACCEPT_WINDOW:
            return []
        self.seen[account, event_id] = at
        lines = []
        for number, price in enumerate(PRICES.get((event["endpoint"], event["channel"]), ())):
            charge, feature, action, credits_, subjects = price
            owner = ends_at = None
            if subjects:
                values = [str(ipaddress.ip_address(event[s])) if s == "ip" else event[s] for s in subjects]
                owner = self.claims.get((account, charge, *values))
                if owner is not None and abs(at - owner[0]) >= DAY:
                    owner = None
                if owner is None:
                    self.claims[account, charge, *values] = (at, event_id)
                ends_at = (owner[0] if owner else at) + DAY
            cost = 0 if owner else credits_
            balance = self.balances[account] = self.balances.get(account, 0) - cost
            lines.append(
                {
                    **event,
                    "line": number,
                    "decision": "duplicate" if owner else "charged",
                    "charge": charge,
                    "feature": feature,
                    "action": action,
                    "credit_type": "credit",
                    "price_version": VERSION,
                    "units": 1,
                    "unit_credits": credits_,
                    "credits": cost,
                    "owner_event_id": owner[1] if owner else None,
                    "window_ends_at": ends_at,
                    "balance_after": balance,
                    "grants_used": [],
                }
            )
        return lines


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
    meter = Meter()

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
