"""What is said about a dead letter beyond its record."""

import zlib

import pytest

from application.dead_letters.hints import hint, row_with_hint
from application.dead_letters.reading import DeadLetter, Place
from application.explaining.sentences import letter_in_words
from metering.records import DeadLetterReason
from streams.log.partitioner import partition_of


def letter(reason: str, account_id: str | None, partition: int) -> DeadLetter:
    record = {"reason": reason, "account_id": account_id, "id": "e", "field": None, "detail": "d", "producer": None}
    return DeadLetter(Place(partition, 10, 0), record | {"recorded_at": 1_770_000_000_000, "original": b""})


def test_a_wrong_partition_names_both_partitions_and_the_setting() -> None:
    assert partition_of("acme", 8) == 4
    crc = zlib.crc32(b"acme") % 8
    other = next(number for number in range(8) if number not in {4, crc})
    said = hint(letter("wrong_partition", "acme", other), 8)
    assert said is not None
    assert said.startswith(f"found in partition {other}; account acme belongs in partition 4 of 8: ")
    assert "librdkafka: partitioner=murmur2_random" in said
    assert "docs/producers.md" in said
    by_default = hint(letter("wrong_partition", "acme", crc), 8)
    assert by_default is not None
    assert by_default.startswith(
        f"found in partition {crc}, where librdkafka's default partitioner puts it; account acme"
    )


@pytest.mark.parametrize("reason", [reason for reason in DeadLetterReason if reason != "wrong_partition"])
def test_other_reasons_have_none(reason: str) -> None:
    assert hint(letter(reason, "acme", 1), 8) is None
    assert row_with_hint(letter(reason, "acme", 1), 8)["hint"] is None
    assert hint(letter("wrong_partition", None, 1), 8) is None


def test_an_explanation_says_it_before_the_remedy() -> None:
    wrong = letter("wrong_partition", "acme", 1)
    lines = list(letter_in_words(wrong, hint(wrong, 8)))
    assert lines[-2].startswith("  Found in partition 1")
    assert lines[-2].endswith("docs/producers.md.")
    assert "dead-letters replay 1@10/0" in lines[-1]
