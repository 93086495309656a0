"""Reading dead letters: places, duplicates, originals that were cut, and where a replay goes."""

from typing import Any

import pytest

from application.dead_letters.reading import DeadLetterLog, hex_lines
from metering import MemoryStore, State
from schemas.codec import Codec
from schemas.price_book import read_book
from streams.log.memory import MemoryBroker, MemoryInputLog, MemoryOutputLog
from streams.log.partitioner import partition_of
from streams.log.place import Place
from streams.log.protocols import LostPrefix, Message
from streams.log.topics import TopicNames
from streams.rating.deciding import ORIGINAL_BYTES, apply_message
from streams.rating.outputs import encoded, topics_by_kind
from streams.rating.partition import Wiring

NAMES = TopicNames()
PARTITIONS = 3
NOW = 1_770_000_000_000


class Pipeline:
    """A log, and the dead letters that a worker makes of it."""

    def __init__(self) -> None:
        self.broker, self.codec = MemoryBroker(), Codec()
        commands = MemoryInputLog(self.broker, NAMES.requests)
        out = MemoryOutputLog(self.broker, self.codec.read_position)
        self._wiring = Wiring(NAMES, PARTITIONS, self.codec, read_book, commands, out)
        self._state = State(MemoryStore(), read_book)
        self.log = DeadLetterLog(MemoryInputLog(self.broker, NAMES.dead_letters), commands, self.codec, PARTITIONS)

    def put(self, partition: int, value: bytes, producer: str | None = None) -> int:
        """Adds a message to the input and what it causes to the outputs; gives its offset."""
        offset = self.broker.append(NAMES.requests, partition, value, timestamp=NOW, producer=producer)
        outputs = apply_message(self._wiring, self._state, Message(partition, offset, NOW, value, producer))
        for topic, _, message in encoded(self.codec, topics_by_kind(NAMES), outputs, partition, offset):
            self.broker.append(topic, partition, message)
        return offset

    def batch(self, *events: dict[str, Any]) -> bytes:
        return self.codec.encode("RequestBatch", {"events": list(events)})


@pytest.fixture
def pipeline() -> Pipeline:
    return Pipeline()


def event(event_id: str, **fields: Any) -> dict[str, Any]:
    plain = {"account_id": "acme", "occurred_at": NOW, "endpoint": "/x", "channel": "api", "outcome": "processed"}
    return {"event_id": event_id} | plain | fields


HOME = partition_of("acme", PARTITIONS)


def test_each_has_its_place_and_its_original(pipeline: Pipeline) -> None:
    good, bad = event("good"), event("bad", ip="nowhere")
    pipeline.put(HOME, pipeline.batch(good, bad, event("late", occurred_at=NOW * 2)), "api-1")
    pipeline.put(0, b"poison")
    letters = {str(letter.place): letter for letter in pipeline.log.read()}
    assert set(letters) == {f"{HOME}@0/1", f"{HOME}@0/2", f"0@{1 if HOME == 0 else 0}"}
    letter = letters[f"{HOME}@0/1"]
    assert (letter.record["reason"], letter.record["field"], letter.record["producer"]) == (
        "invalid_event",
        "ip",
        "api-1",
    )
    original = pipeline.log.original(letter)
    decoded = pipeline.log.decoded(original)
    assert decoded is not None
    assert [event["event_id"] for event in decoded[1]["events"]] == ["bad"]
    poison = next(letter for letter in letters.values() if letter.record["reason"] == "undecodable")
    assert pipeline.log.original(poison) == b"poison"
    assert pipeline.log.decoded(b"poison") is None
    assert "original" not in poison.row()


def test_what_a_worker_sent_twice_is_read_once(pipeline: Pipeline) -> None:
    pipeline.put(1, b"poison")
    pipeline.put(1, b"more poison")
    for message in pipeline.broker.records(NAMES.dead_letters, 1):
        pipeline.broker.append(NAMES.dead_letters, 1, message.value)
    assert [str(letter.place) for letter in pipeline.log.read()] == ["1@0", "1@1"]


def test_what_no_worker_wrote_is_passed_over(pipeline: Pipeline) -> None:
    """One stray record must not hide the dead letters behind it for ever; the audit reports it."""
    broker, codec = pipeline.broker, pipeline.codec
    broker.append(NAMES.dead_letters, 1, b"stray")
    broker.append(NAMES.dead_letters, 1, b"")
    broker.append(NAMES.dead_letters, 1, codec.encode("PriceBook", {"book_id": "b", "yaml": "", "published_at": NOW}))
    broker.append(NAMES.dead_letters, 1, pipeline.batch(event("stray")))
    pipeline.put(1, b"poison")
    assert [str(letter.place) for letter in pipeline.log.read()] == ["1@0"]
    assert pipeline.log.earliest() == NOW


def test_find(pipeline: Pipeline) -> None:
    pipeline.put(HOME, pipeline.batch(event("good"), event("bad", ip="nowhere")))
    pipeline.put(HOME, pipeline.batch(event("bad1", ip="nowhere"), event("bad2", ip="nowhere")))

    def find(text: str) -> Any:
        return pipeline.log.find(Place.parse(text))

    assert find(f"{HOME}@0/1").record["id"] == "bad"
    assert find(f"{HOME}@0").record["id"] == "bad"  # the only one of its message
    assert find(f"{HOME}@1/0").record["id"] == "bad1"
    assert find(f"{HOME}@1") is None
    assert find(f"{HOME}@0/0") is None
    assert find(f"{HOME}@7") is None
    assert find("99@0") is None


def test_an_original_that_was_cut_is_read_from_the_input(pipeline: Pipeline) -> None:
    poison = b"p" * (ORIGINAL_BYTES + 1)
    pipeline.put(2, poison)
    big = event("big", ip="nowhere", attributes={f"a{number}": "x" * 9_000 for number in range(30)})
    pipeline.put(HOME, pipeline.batch(event("good"), big))
    alone = pipeline.batch(big)
    pipeline.put(HOME, alone)
    letters = [letter for letter in pipeline.log.read() if letter.is_cut]
    assert len(letters) == 3
    originals = sorted(pipeline.log.original(letter) for letter in letters)
    assert originals == sorted([poison, alone, alone])
    pipeline.broker.expire(NAMES.requests, 2, 1)
    with pytest.raises(LostPrefix):
        pipeline.log.original(next(letter for letter in letters if letter.place.partition == 2))


def test_a_replay_goes_to_the_accounts_own_partition(pipeline: Pipeline) -> None:
    stray = (HOME + 1) % PARTITIONS
    pipeline.put(stray, pipeline.batch(event("stray")))
    pipeline.put(stray, b"poison")
    wrong, poison = pipeline.log.read(stray)
    assert wrong.record["reason"] == "wrong_partition"
    assert (pipeline.log.target(wrong), pipeline.log.target(poison)) == (HOME, stray)


@pytest.mark.parametrize("text", ["", "3", "3@", "@4", "3@4/", "3@4/x", "-1@4", "3@4/5/6", "\uff13@4"])
def test_what_is_no_place(text: str) -> None:
    with pytest.raises(ValueError, match="is not a place"):
        Place.parse(text)


def test_places_come_back_as_they_were_written() -> None:
    for text in ("0@0", "3@1042", "3@1042/17"):
        assert str(Place.parse(text)) == text


def test_bytes_for_people() -> None:
    assert list(hex_lines(b"AB\x00" * 6)) == [
        "00000000  41 42 00 41 42 00 41 42 00 41 42 00 41 42 00 41  AB.AB.AB.AB.AB.A",
        "00000010  42 00                                            B.",
    ]
