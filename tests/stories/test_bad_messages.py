"""Messages whose parts are far too large: each costs its own dead letter, and the good events beside it are billed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local.shared import SharedKafka
from streams.log.partitioner import partition_of
from tests.harness import Pipeline
from tests.streams.traffic import BOOK, START, book_command, event

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

KEPT = 64 * 1024
MIB = 1 << 20


@pytest.fixture
def pipeline(kafka: SharedKafka, tmp_path: Path) -> Iterator[Pipeline]:
    made = Pipeline(kafka.bootstrap, kafka.fresh_prefix(), tmp_path, partitions=2)
    yield made
    made.close()


def letters_of(pipeline: Pipeline) -> list[dict[str, Any]]:
    batches = pipeline._read(pipeline.names.dead_letters)
    return [letter | {"offset": batch["source_offset"]} for batch in batches for letter in batch["dead_letters"]]


def test_parts_that_are_far_too_large(pipeline: Pipeline) -> None:
    """Ids of 1 MB, a batch of which every event is too large, and one event of 9 MB."""
    account = next(name for name in map("account-{}".format, range(100)) if partition_of(name, 2) == 0)
    encode, huge = pipeline.codec.encode, "\N{PILE OF POO}" * (MIB // 4)

    def batch(*events: dict[str, Any]) -> bytes:
        return encode("RequestBatch", {"events": list(events)})

    grant = {
        "grant_id": huge, "account_id": account, "credit_type": "credit", "credits": 5, "granted_at": START,
        "expires_at": None, "reason": "",
    }  # fmt: skip
    refund = {
        "refund_id": "r", "account_id": account, "event_id": huge, "charge": None, "credits": None, "reason": "",
        "requested_at": START,
    }  # fmt: skip
    wide = [event(f"wide-{n}", account, attributes={"a": "x" * 80_000}) for n in range(100)]
    # value -> (index, field, size and bytes of what is kept)
    sent: list[tuple[bytes, list[tuple[int | None, str, bytes]]]] = [
        (value := batch(event(huge, account)), [(0, "event_id", value)]),
        (value := batch(event("e", huge)), [(0, "account_id", value)]),
        (
            batch(event("between-1", account), event(huge, account), event("between-2", account)),
            [(1, "event_id", batch(event(huge, account)))],
        ),
        (value := encode("Grant", grant), [(None, "grant_id", value)]),
        (value := encode("RefundRequest", refund), [(None, "event_id", value)]),
        (
            batch(event("before-the-wide", account), *wide, event("after-the-wide", account)),
            [(n + 1, "attributes", batch(item)) for n, item in enumerate(wide)],
        ),
        (value := batch(event("9 MB", account, endpoint="/" * (9 * MIB))), [(0, "endpoint", value)]),
    ]
    pipeline.send([(partition, 0, encode("PriceBook", book_command(BOOK, START))) for partition in range(2)])
    for number, (value, _) in enumerate(sent):
        pipeline.send([(0, 0, value), (0, 0, batch(event(f"good-{number}", account)))])
    pipeline.start("worker")
    pipeline.wait_until_rated()
    pipeline.stop("worker")

    wanted = [
        (1 + 2 * at, index, "invalid_event", field, len(original), original[:KEPT])
        for at, (_, letters) in enumerate(sent)
        for index, field, original in letters
    ]
    letters = letters_of(pipeline)
    shown = [
        (letter["offset"], letter["index"], str(letter["reason"]), letter["field"], letter["size"], letter["original"])
        for letter in letters
    ]
    assert [row[:5] for row in shown] == [row[:5] for row in wanted]
    assert shown == wanted
    assert max(len(letter[name] or "") for letter in letters for name in ("id", "account_id", "detail")) < KEPT
    sizes = [len(value) for value in pipeline.bytes_in_topics()[pipeline.names.dead_letters, 0]]
    print(f"{len(letters)} dead letters in {len(sizes)} messages, the largest of {max(sizes):,} bytes")
    assert max(sizes) < MIB
    billed = {line[1]: line[9] for line in pipeline.in_topics()["billed"]}
    good = {f"good-{number}" for number in range(len(sent))}
    assert billed == dict.fromkeys(good | {"between-1", "between-2", "before-the-wide", "after-the-wide"}, 1)
