"""Seals: what they cover, which record counts in which era, and the ledger that all processes read the eras from."""

from __future__ import annotations

import json
import logging
from hashlib import blake2b

import pytest

from streams.log.memory import MemoryBroker, MemoryInputLog
from streams.log.protocols import LostPrefix, Message
from streams.log.seal_ledger import SealKeys, SealKeyWrong, SealLedger, key_id, note_of
from streams.log.seals import SEAL_HEADER, Era, SealedLog, Sealer
from streams.log.topics import TopicNames

NAMES = TopicNames("sealed")
TOPIC = NAMES.billed
LOG_ID = "qD1c0b7nTbu0pDDhs0UrLA"
OLD, NEW = b"the key of 2025, long enough", b"the key of 2026, long enough"


def message(offset: int, value: bytes, seal: bytes | None, partition: int = 0) -> Message:
    return Message(partition, offset, 0, value, None, seal)


def test_the_seal_is_what_the_specification_says() -> None:
    wanted = blake2b(b"credits.billed\0" + b"\0\0\1\2" + b"value", digest_size=16, key=NEW).digest()
    assert Sealer(NEW).seal("credits.billed", 258, b"value") == wanted


@pytest.mark.parametrize("key", [b"", b"x" * 65])
def test_a_key_that_blake2b_does_not_take(key: bytes) -> None:
    with pytest.raises(ValueError, match=f"1 to 64 bytes, this one {len(key)}"):
        Sealer(key)


def test_only_the_same_topic_partition_value_and_key_count() -> None:
    seals = Sealer(NEW)
    right = seals.seal(TOPIC, 1, b"value")
    assert seals.is_ours(TOPIC, message(9, b"value", right, 1))
    others = [
        (TOPIC, message(9, b"value", None, 1)), (TOPIC, message(9, b"value", b"", 1)),
        (TOPIC, message(9, b"value", right[:15], 1)), (TOPIC, message(9, b"value", right, 2)),
        (TOPIC, message(9, b"valuf", right, 1)), (NAMES.refunds, message(9, b"value", right, 1)),
        (TOPIC, message(9, b"value", Sealer(OLD).seal(TOPIC, 1, b"value"), 1)),
    ]  # fmt: skip
    assert not any(seals.is_ours(topic, message) for topic, message in others)


def test_each_record_is_judged_by_the_key_of_its_era() -> None:
    """Unsealed before 10, the old key before 20, the new one from there; a partition that is not named has no past."""
    seals = Sealer(NEW, [Era({(TOPIC, 0): 10}, None), Era({(TOPIC, 0): 20}, OLD)])

    def counts(offset: int, key: bytes | None, partition: int = 0) -> bool:
        seal = None if key is None else Sealer(key).seal(TOPIC, partition, b"value")
        return seals.is_ours(TOPIC, message(offset, b"value", seal, partition))

    assert [counts(9, key) for key in (None, OLD, NEW)] == [True, True, True]
    assert [counts(10, key) for key in (None, OLD, NEW)] == [False, True, False]
    assert [counts(19, key) for key in (None, OLD, NEW)] == [False, True, False]
    assert [counts(20, key) for key in (None, OLD, NEW)] == [False, False, True]
    assert [counts(0, key, 1) for key in (None, OLD, NEW)] == [False, False, True]


def test_a_reader_passes_over_stray_records_and_names_each_once(caplog: pytest.LogCaptureFixture) -> None:
    broker, seals = MemoryBroker(), Sealer(NEW)
    for n in range(6):
        value = b"%d" % n
        headers = {SEAL_HEADER: seals.seal(TOPIC, 0, value)} if n % 2 else {}
        broker.append(TOPIC, 0, value, headers=headers)
    log = SealedLog(MemoryInputLog(broker, TOPIC), TOPIC, seals)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert [message.value for message in log.read(0, *log.bounds(0))] == [b"1", b"3", b"5"]
    assert [record.getMessage().split(":")[0] for record in caplog.records] == [
        f"sealed.billed[0]@{offset}" for offset in (0, 2, 4)
    ]


class Place:
    """A ledger, and processes that open it with keys."""

    def __init__(self) -> None:
        self.broker = MemoryBroker()

    def ledger(self, key: bytes | None = None, *earlier: bytes, log_id: str = LOG_ID) -> SealLedger:
        return SealLedger(NAMES, SealKeys(log_id, key, earlier), MemoryInputLog(self.broker, NAMES.seals))

    def note(self, key: bytes | None, ends: dict[int, int], log_id: str = LOG_ID, seal: bytes | None = None) -> None:
        keys = SealKeys(log_id, key)
        value = note_of(keys, {(TOPIC, partition): end for partition, end in ends.items()})
        seal = Sealer(keys.present).seal(NAMES.seals, 0, value) if seal is None else seal
        self.broker.append(NAMES.seals, 0, value, headers={SEAL_HEADER: seal})


@pytest.fixture
def place() -> Place:
    return Place()


def sealed(offset: int, key: bytes | None) -> Message:
    return message(offset, b"value", None if key is None else Sealer(key).seal(TOPIC, 0, b"value"))


def counting(ledger: SealLedger, offset: int) -> list[bool]:
    """Whether an unsealed record counts there, and one with the log's id, the old and the new key."""
    return [ledger.is_ours(TOPIC, sealed(offset, key)) for key in (None, LOG_ID.encode(), OLD, NEW)]


def test_before_the_first_note_every_record_counts_and_nobody_seals(place: Place) -> None:
    ledger = place.ledger(NEW)
    assert counting(ledger, 10**6) == [True, True, True, True]
    with pytest.raises(SealKeyWrong, match=r"sealed\.seals\[0\]: nothing is noted yet"):
        _ = ledger.sealer


def test_an_upgraded_pipeline_has_unsealed_records_up_to_the_noted_end_and_none_after_it(place: Place) -> None:
    place.note(None, {0: 100})
    for ledger in (place.ledger(), place.ledger()):
        assert counting(ledger, 99) == [True, True, True, True]
        assert counting(ledger, 100) == [False, True, False, False]
        assert ledger.sealer.seal(TOPIC, 0, b"value") == sealed(0, LOG_ID.encode()).seal


@pytest.mark.parametrize("topic", [NAMES.access, NAMES.deliveries])
def test_no_record_of_a_process_s_own_counts_unsealed_at_any_time_and_a_rotation_keeps_the_earlier_ones(
    place: Place, topic: str
) -> None:
    def counts(ledger: SealLedger, offset: int) -> list[bool]:
        seals = [None if key is None else Sealer(key).seal(topic, 0, b"value") for key in (None, OLD, NEW)]
        return [ledger.is_ours(topic, message(offset, b"value", seal)) for seal in seals]

    before = place.ledger(OLD)
    assert counts(before, 3) == [False, True, False]
    assert before.access_sealer.seal(topic, 0, b"v") == Sealer(OLD).seal(topic, 0, b"v")
    place.note(OLD, {0: 100})
    assert counts(before, 3) == counts(place.ledger(OLD), 3) == [False, True, False]
    keys = SealKeys(LOG_ID, NEW, (OLD,))
    value = note_of(keys, {(TOPIC, 0): 200, (topic, 0): 7})
    place.broker.append(NAMES.seals, 0, value, headers={SEAL_HEADER: Sealer(NEW).seal(NAMES.seals, 0, value)})
    rotated = place.ledger(NEW, OLD)
    assert counts(rotated, 6) == [False, True, False]
    assert counts(rotated, 7) == [False, False, True]
    assert rotated.access_sealer.seal(topic, 0, b"v") == Sealer(NEW).seal(topic, 0, b"v")
    with pytest.raises(SealKeyWrong, match="another key"):
        _ = before.access_sealer


def test_a_new_pipeline_has_none(place: Place) -> None:
    place.note(None, {0: 0})
    assert counting(place.ledger(), 0) == [False, True, False, False]


def test_the_first_of_two_notes_at_once_counts(place: Place) -> None:
    place.note(None, {0: 5})
    place.note(None, {0: 50})
    ledger = place.ledger()
    assert len(ledger.notes) == 1
    assert counting(ledger, 5) == [False, True, False, False]


def test_keys_are_rotated_and_each_stretch_keeps_its_own(place: Place) -> None:
    place.note(None, {0: 5})
    place.note(OLD, {0: 10})
    place.note(NEW, {0: 20})
    ledger = place.ledger(NEW, OLD)
    assert counting(ledger, 4) == [True, True, True, True]
    assert counting(ledger, 5) == [False, True, False, False]
    assert counting(ledger, 10) == [False, False, True, False]
    assert counting(ledger, 20) == [False, False, False, True]
    assert [note.key for note in ledger.notes] == [key_id(key) for key in (LOG_ID.encode(), OLD, NEW)]


def test_a_key_that_was_changed_without_a_rotation_is_refused(place: Place) -> None:
    place.note(OLD, {0: 0})
    with pytest.raises(SealKeyWrong, match=r"sealed\.seals\[0\]@0: .*another key .*seal_key, id .*seal rotate"):
        place.ledger(NEW)
    with pytest.raises(SealKeyWrong, match="as no seal_key is configured"):
        place.ledger()
    with pytest.raises(SealKeyWrong, match="seal rotate"):  # it knows the old one, and may read, but not write
        _ = place.ledger(NEW, OLD).sealer
    assert counting(place.ledger(NEW, OLD), 0) == [False, False, True, False]


def test_a_key_that_is_rotated_under_a_reader_ends_it_instead_of_losing_records(place: Place) -> None:
    place.note(OLD, {0: 0})
    old, both = place.ledger(OLD), place.ledger(OLD, NEW)
    place.note(NEW, {0: 7})
    assert both.is_ours(TOPIC, sealed(7, NEW))
    with pytest.raises(SealKeyWrong, match=r"sealed\.seals\[0\]@1"):
        old.is_ours(TOPIC, sealed(7, NEW))


def test_the_input_topic_made_again(place: Place) -> None:
    place.note(None, {0: 0}, log_id="AAAAAAAAAAAAAAAAAAAAAA")
    with pytest.raises(SealKeyWrong, match=r"made again. To begin anew, delete the output topics and sealed\.seals"):
        place.ledger()


def test_what_is_no_note_of_ours_is_passed_over_and_named(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    place.note(None, {0: 0})
    place.broker.append(NAMES.seals, 0, b"noise")
    place.broker.append(NAMES.seals, 0, json.dumps({"format": 1, "ends": []}).encode())
    place.note(None, {0: 1_000}, seal=bytes(16))
    with caplog.at_level(logging.WARNING):
        ledger = place.ledger()
    assert counting(ledger, 0) == [False, True, False, False]
    assert [record.getMessage().split(":")[0] for record in caplog.records] == [
        f"sealed.seals[0]@{offset}" for offset in (1, 2, 3)
    ]


def test_a_ledger_that_retention_cut_is_refused(place: Place) -> None:
    place.note(None, {0: 0})
    place.broker.expire(NAMES.seals, 0, 1)
    with pytest.raises(LostPrefix, match=r"sealed\.seals\[0\]: offsets before 1 are deleted.*retention"):
        place.ledger()
