"""What every input log and every output log does: run over the twins and over Kafka."""

from itertools import islice
from typing import Protocol

import pytest

from streams.log.protocols import DeliveryFailed, LogChanged, LostPrefix, Message, OutputLog, TimedLog
from streams.log.seals import Sealer


def position_of(value: bytes) -> tuple[int, int]:
    offset, part = value.split(b",")[:2]
    return int(offset), int(part)


class InputSide(Protocol):
    """A log under test, with what its producers and its broker do to it."""

    @property
    def log(self) -> TimedLog: ...
    def append(self, partition: int, value: bytes, producer: str | None = None) -> None: ...
    def skip(self, partition: int) -> None:
        """Use up at least one offset without a record."""

    def expire(self, partition: int, before: int) -> None: ...


class InputLogContract:
    """A subclass gives the fixture `side`, with two empty partitions."""

    @pytest.fixture
    def side(self) -> InputSide:
        raise NotImplementedError

    def test_an_empty_partition(self, side: InputSide) -> None:
        assert side.log.bounds(0) == (0, 0)
        assert list(side.log.read(0, 0, 0)) == []

    def test_records_come_in_order_with_what_they_carry(self, side: InputSide) -> None:
        side.append(0, b"a", "importer \u00e4")
        side.append(1, b"other")
        side.append(0, b"")
        side.append(0, b"c" * 2_000_000)
        assert side.log.bounds(0) == (0, 3)
        read = list(side.log.read(0, 0, 3))
        assert [(m.partition, m.offset, m.producer) for m in read] == [
            (0, 0, "importer \u00e4"),
            (0, 1, None),
            (0, 2, None),
        ]
        assert [m.value for m in read] == [b"a", b"", b"c" * 2_000_000]
        assert all(type(m) is Message and type(m.timestamp) is int for m in read)
        assert [m.timestamp for m in read] == sorted(m.timestamp for m in read)
        assert [m.value for m in side.log.read(1, 0, 1)] == [b"other"]

    @pytest.mark.parametrize(("first", "stop"), [(0, 5), (0, 1), (2, 4), (4, 5), (3, 3), (4, 2), (5, 5)])
    def test_a_stretch(self, side: InputSide, first: int, stop: int) -> None:
        for n in range(5):
            side.append(0, b"%d" % n)
        assert [m.offset for m in side.log.read(0, first, stop)] == list(range(first, stop))

    def test_many_records(self, side: InputSide) -> None:
        for n in range(1000):
            side.append(0, b"%d" % n)
        assert [m.value for m in side.log.read(0, 10, 990)] == [b"%d" % n for n in range(10, 990)]

    def test_offsets_without_a_record_are_passed_over(self, side: InputSide) -> None:
        side.skip(0)
        side.append(0, b"a")
        side.skip(0)
        side.skip(0)
        side.append(0, b"b")
        side.skip(0)
        first, end = side.log.bounds(0)
        assert first == 0
        assert end >= 6
        read = list(side.log.read(0, 0, end))
        assert [m.value for m in read] == [b"a", b"b"]
        assert list(side.log.read(0, read[1].offset + 1, end)) == []
        assert list(side.log.read(0, 0, read[0].offset)) == []
        assert [m.value for m in side.log.read(0, 0, read[1].offset)] == [b"a"]
        assert [m.value for m in side.log.read(0, read[0].offset + 1, end)] == [b"b"]

    def test_a_lost_prefix_is_an_error(self, side: InputSide) -> None:
        for n in range(5):
            side.append(0, b"%d" % n)
        side.expire(0, 3)
        assert side.log.bounds(0) == (3, 5)
        assert [m.offset for m in side.log.read(0, 3, 5)] == [3, 4]
        with pytest.raises(LostPrefix, match=r"\[0\]@2"):
            list(side.log.read(0, 2, 5))
        with pytest.raises(LostPrefix):
            list(side.log.read(0, 0, 1))

    def test_everything_has_expired(self, side: InputSide) -> None:
        side.append(0, b"a")
        side.append(0, b"b")
        side.expire(0, 2)
        assert side.log.bounds(0) == (2, 2)
        assert list(side.log.read(0, 2, 2)) == []
        side.append(0, b"c")
        assert [m.offset for m in side.log.read(0, 2, 3)] == [2]

    def test_where_a_time_is(self, side: InputSide) -> None:
        assert side.log.offset_at(0, 0) == 0
        for n in range(3):
            side.append(0, b"%d" % n)
        times = [m.timestamp for m in side.log.read(0, 0, 3)]
        assert [side.log.offset_at(0, time) for time in times] == [times.index(time) for time in times]
        assert side.log.offset_at(0, times[0] - 1) == 0
        assert side.log.offset_at(0, times[2] + 1) == 3

    def test_a_log_that_ends_too_early_is_an_error(self, side: InputSide) -> None:
        side.append(0, b"a")
        with pytest.raises(LogChanged, match=r"\[0\].* ends at 1"):
            list(side.log.read(0, 0, 2))

    def test_reads_do_not_disturb_each_other(self, side: InputSide) -> None:
        for n in range(20):
            side.append(n % 2, b"%d" % n)
        left = side.log.read(0, 0, 10)
        assert [m.value for m in islice(left, 3)] == [b"0", b"2", b"4"]
        assert len(list(side.log.read(1, 0, 10))) == 10
        assert [m.value for m in side.log.read(0, 8, 10)] == [b"16", b"18"]
        assert [m.value for m in left] == [b"%d" % n for n in range(6, 20, 2)]

    def test_a_read_may_be_left(self, side: InputSide) -> None:
        for n in range(5):
            side.append(0, b"%d" % n)
        for _ in range(3):
            assert next(iter(side.log.read(0, 1, 5))).offset == 1


class OutputSide(Protocol):
    """Output topics under test. `new` is another worker's log over the same topics."""

    @property
    def topics(self) -> tuple[str, str]: ...
    def new(self, seals: Sealer | None = None) -> OutputLog: ...
    def messages(self, topic: str, partition: int) -> list[Message]: ...
    def append(self, topic: str, value: bytes, headers: dict[str, bytes]) -> None: ...
    def values(self, topic: str, partition: int) -> list[bytes]: ...
    def skip(self, topic: str, partition: int) -> None: ...
    def expire(self, topic: str, partition: int, before: int) -> None: ...


class OutputLogContract:
    """A subclass gives the fixture `side`: two topics of two empty partitions."""

    @pytest.fixture
    def side(self) -> OutputSide:
        raise NotImplementedError

    def test_an_empty_partition_has_no_last_position(self, side: OutputSide) -> None:
        assert side.new().last_position(side.topics[0], 1) is None

    def test_what_was_sent_is_there_in_order_after_wait(self, side: OutputSide) -> None:
        log = side.new()
        for n in range(200):
            log.send(side.topics[n % 2], n // 2 % 2, b"%d,0" % n)
        log.wait()
        for number, topic in enumerate(side.topics):
            for partition in (0, 1):
                expected = [b"%d,0" % n for n in range(200) if n % 2 == number and n // 2 % 2 == partition]
                assert side.values(topic, partition) == expected
        assert log.last_position(side.topics[1], 1) == (199, 0)

    def test_acknowledgements_are_counted_by_partition(self, side: OutputSide) -> None:
        log = side.new()
        log.serve(0)
        for n in range(3):
            log.send(side.topics[n % 2], 0, b"%d,0" % n)
        log.send(side.topics[0], 1, b"9,0")
        for _ in range(10_000):  # each waits for a while
            if not log.unacknowledged(0) and not log.unacknowledged(1):
                break
            log.serve(0.01)
        assert side.values(side.topics[0], 0) == [b"0,0", b"2,0"]
        assert side.values(side.topics[0], 1) == [b"9,0"]
        log.send(side.topics[1], 1, b"10,0")
        log.wait()
        assert log.unacknowledged(1) == 0

    def test_wait_without_a_send(self, side: OutputSide) -> None:
        log = side.new()
        log.wait()
        log.send(side.topics[0], 0, b"1,0")
        log.wait()
        log.wait()
        assert side.values(side.topics[0], 0) == [b"1,0"]

    def test_another_worker_finds_the_last_position_and_goes_on(self, side: OutputSide) -> None:
        first, topic = side.new(), side.topics[0]
        first.send(topic, 0, b"7,0")
        first.send(topic, 0, b"7,1," + b"x" * 600_000)
        first.wait()
        first.close()
        second = side.new()
        assert second.last_position(topic, 0) == (7, 1)
        second.send(topic, 0, b"8,0")
        second.wait()
        assert second.last_position(topic, 0) == (8, 0)

    def test_expired_outputs(self, side: OutputSide) -> None:
        log, topic = side.new(), side.topics[0]
        for n in range(4):
            log.send(topic, 0, b"%d,0" % n)
        log.wait()
        side.expire(topic, 0, 3)
        assert log.last_position(topic, 0) == (3, 0)
        side.expire(topic, 0, 4)
        assert log.last_position(topic, 0) is None

    def test_the_last_offsets_may_hold_no_record(self, side: OutputSide) -> None:
        log, topic = side.new(), side.topics[0]
        side.skip(topic, 1)
        assert log.last_position(topic, 1) is None
        log.send(topic, 0, b"5,2")
        log.wait()
        for _ in range(7):
            side.skip(topic, 0)
        assert log.last_position(topic, 0) == (5, 2)

    def test_every_record_has_its_seal(self, side: OutputSide) -> None:
        seals = Sealer(b"ours")
        log = side.new(seals)
        for n in range(4):
            log.send(side.topics[n % 2], n // 2, b"%d,0" % n)
        log.wait()
        for topic in side.topics:
            for partition in (0, 1):
                (message,) = side.messages(topic, partition)
                assert message.seal == seals.seal(topic, partition, message.value)
        side.new().send(side.topics[0], 0, b"4,0")

    def test_a_position_is_believed_only_of_a_sealed_record(self, side: OutputSide) -> None:
        """Stray records first, in between, and behind the last, in any number and with any wrong seal."""
        topic, seals = side.topics[0], Sealer(b"ours")
        wrong = [{}, {"seal": b""}, {"seal": bytes(16)}, {"seal": Sealer(b"others").seal(topic, 0, b"99,0")}]
        wrong += [{"seal": seals.seal(topic, 1, b"99,0")}, {"seal": seals.seal(side.topics[1], 0, b"99,0")}]
        side.append(topic, b"99,0", {})
        assert side.new(seals).last_position(topic, 0) is None
        log = side.new(seals)
        log.send(topic, 0, b"7,0")
        log.wait()
        side.append(topic, b"99,0", {"seal": seals.seal(topic, 0, b"98,0")})
        log.send(topic, 0, b"7,1")
        log.wait()
        for n in range(60):
            side.append(topic, b"99,0", wrong[n % len(wrong)])
        assert side.new(seals).last_position(topic, 0) == (7, 1)
        assert side.new().last_position(topic, 0) == (99, 0), "who has no seals believes any record"

    def test_a_closed_log_sends_nothing(self, side: OutputSide) -> None:
        log, topic = side.new(), side.topics[0]
        log.close()
        with pytest.raises(DeliveryFailed, match="closed"):
            log.send(topic, 0, b"1,0")
        with pytest.raises(DeliveryFailed):
            log.wait()
        assert side.values(topic, 0) == []
