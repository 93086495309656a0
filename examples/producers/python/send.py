"""Sends three request events of each account, one message an account, without creditmeter installed."""

import json
import sys
import time
import uuid
from io import BytesIO
from pathlib import Path
from typing import Any

import fastavro
from confluent_kafka import KafkaError, Message, Producer


def event(account: str, at: int, endpoint: str, outcome: str, **more: Any) -> dict[str, Any]:
    """What is left out has a default: null, or an empty map."""
    return {
        "event_id": str(uuid.uuid4()),  # made once, and kept when the event is sent again
        "account_id": account,
        "occurred_at": at,
        "endpoint": endpoint,
        "channel": "api",
        "outcome": outcome,
        **more,
    }


def batch(account: str) -> dict[str, Any]:
    """A RequestBatch of three events of one account."""
    now = time.time_ns() // 1_000_000
    company = {
        "domain": "example.com",
        "request_id": str(uuid.uuid4()),
        "quantities": {"companies": 1},
        "attributes": {"description": "Zoë, Example Inc."},
    }
    return {
        "events": [
            event(account, now, "/v1/ip-lookup", "processed", ip="203.0.113.7"),
            event(account, now, "/v1/company-enrichment", "processed", **company),
            event(account, now, "/v1/ip-lookup", "invalid"),
        ]
    }


def main(schema_file: str, bootstrap_servers: str, topic: str, *accounts: str) -> int:
    raw = json.loads(Path(schema_file).read_text("utf-8"))
    canonical = fastavro.schema.to_parsing_canonical_form(raw)
    # fastavro gives the fingerprint in the order in which it is written: least significant byte first.
    header = b"\xc3\x01" + bytes.fromhex(fastavro.schema.fingerprint(canonical, "CRC-64-AVRO"))
    schema = fastavro.parse_schema(raw)
    failures: list[KafkaError] = []

    def delivered(error: KafkaError | None, message: Message) -> None:
        if error is None:
            print(f"{message.topic()}[{message.partition()}]@{message.offset()}")
        else:
            failures.append(error)  # the broker did not take it: then send it again

    producer = Producer(
        {
            "bootstrap.servers": bootstrap_servers,
            "partitioner": "murmur2_random",  # librdkafka's own default is another hash
            "enable.idempotence": True,  # with it, acks=all
            "linger.ms": 20,
            "compression.type": "lz4",
        }
    )
    for account in accounts:
        body = BytesIO()
        fastavro.schemaless_writer(body, schema, batch(account))
        producer.produce(
            topic,
            header + body.getvalue(),
            key=account.encode(),  # the plain account_id
            headers={"creditmeter-producer": b"python-example"},
            on_delivery=delivered,
        )
        producer.poll(0)
    producer.flush()
    for failure in failures:
        print(f"not sent: {failure}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    if len(sys.argv) < 5:
        sys.exit("usage: send.py SCHEMA BOOTSTRAP_SERVERS TOPIC ACCOUNT_ID...")
    sys.exit(main(*sys.argv[1:]))
