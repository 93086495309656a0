"""A hint beside a dead letter's record: which setting put a message into a wrong partition.

The record's own detail is a fixed text, the same in every replay of the log; wording that may change belongs here.
"""

from __future__ import annotations

import zlib
from typing import Any

from application.dead_letters.reading import DeadLetter
from metering.records import DeadLetterReason
from streams.log.partitioner import partition_of

SETTING = (
    "the producer's key must be the plain account_id and its partitioner Kafka's murmur2 (librdkafka: "
    "partitioner=murmur2_random); other clients: docs/producers.md"
)


def row_with_hint(letter: DeadLetter, partitions: int) -> dict[str, Any]:
    """The letter as plain data, without its original, and its `hint`."""
    return letter.row() | {"hint": hint(letter, partitions)}


def hint(letter: DeadLetter, partitions: int) -> str | None:
    """Where a letter of reason `wrong_partition` belongs, and the setting; None for any other letter.

    `partitions` is the input topic's partition count.
    """
    record = letter.record
    account_id = record["account_id"]
    if record["reason"] != DeadLetterReason.WRONG_PARTITION or account_id is None:
        return None
    actual, right = letter.place.partition, partition_of(account_id, partitions)
    # Not a proof, since other ways may lead to the same partition, but the most usual cause.
    by_crc = zlib.crc32(account_id.encode()) % partitions == actual
    cause = ", where librdkafka's default partitioner puts it" if by_crc else ""
    belongs = f"account {account_id} belongs in partition {right} of {partitions}"
    return f"found in partition {actual}{cause}; {belongs}: {SETTING}"
