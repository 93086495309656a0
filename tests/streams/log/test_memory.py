"""The in-memory logs: the contract, and their faults."""

import pytest

from streams.log.memory import FaultPoint, MemoryBroker, MemoryInputLog, MemoryOutputLog
from streams.log.protocols import DeliveryFailed, Message, OutputLog
from streams.log.seals import Sealer
from tests.streams.log.contract_logs import InputLogContract, InputSide, OutputLogContract, OutputSide, position_of


class MemoryInputSide:
    def __init__(self) -> None:
        self.broker = MemoryBroker()
        self.log = MemoryInputLog(self.broker, "credits.requests")

    def append(self, partition: int, value: bytes, producer: str | None = None) -> None:
        self.broker.append("credits.requests", partition, value, timestamp=0, producer=producer)

    def skip(self, partition: int) -> None:
        self.broker.skip("credits.requests", partition)

    def expire(self, partition: int, before: int) -> None:
        self.broker.expire("credits.requests", partition, before)


class TestMemoryInputLog(InputLogContract):
    @pytest.fixture
    def side(self) -> InputSide:
        return MemoryInputSide()


class MemoryOutputSide:
    topics = ("credits.billed", "credits.refunds")

    def __init__(self) -> None:
        self.broker = MemoryBroker()

    def new(self, seals: Sealer | None = None) -> OutputLog:
        return MemoryOutputLog(self.broker, position_of, seals=seals)

    def messages(self, topic: str, partition: int) -> list[Message]:
        return self.broker.records(topic, partition)

    def append(self, topic: str, value: bytes, headers: dict[str, bytes]) -> None:
        self.broker.append(topic, 0, value, headers=headers)

    def values(self, topic: str, partition: int) -> list[bytes]:
        return [message.value for message in self.broker.records(topic, partition)]

    def skip(self, topic: str, partition: int) -> None:
        self.broker.skip(topic, partition)

    def expire(self, topic: str, partition: int, before: int) -> None:
        self.broker.expire(topic, partition, before)


class TestMemoryOutputLog(OutputLogContract):
    @pytest.fixture
    def side(self) -> OutputSide:
        return MemoryOutputSide()


class Strike:
    """Ends the process at the n-th time that a step comes."""

    def __init__(self, step: FaultPoint, count: int, error: BaseException) -> None:
        self.step, self.count, self.error = step, count, error

    def __call__(self, step: FaultPoint, topic: str, partition: int) -> None:
        if step is self.step:
            self.count -= 1
            if self.count == 0:
                raise self.error


def send_all(log: OutputLog, values: list[bytes]) -> None:
    for value in values:
        log.send("billed", 0, value)
    log.wait()


@pytest.mark.parametrize(
    ("step", "there"),
    [
        (FaultPoint.SEND, []),
        (FaultPoint.APPEND, [b"0,0"]),
        (FaultPoint.ACKNOWLEDGE, [b"0,0", b"1,0"]),
        (FaultPoint.RETURN, None),
    ],
)
@pytest.mark.parametrize("error", [DeliveryFailed("lost"), KeyboardInterrupt()], ids=["failed", "killed"])
def test_a_fault_leaves_a_prefix_and_nothing_goes_out_after_it(
    step: FaultPoint, there: list[bytes] | None, error: BaseException
) -> None:
    broker = MemoryBroker()
    log = MemoryOutputLog(broker, position_of, Strike(step, 1 if step is FaultPoint.RETURN else 2, error))
    everything = [b"0,0", b"1,0", b"2,0"]
    with pytest.raises(type(error)):
        send_all(log, everything)
    with pytest.raises(DeliveryFailed, match=step):
        log.send("billed", 0, b"3,0")
    with pytest.raises(DeliveryFailed):
        log.wait()
    assert [m.value for m in broker.records("billed", 0)] == (everything if there is None else there)


def test_a_worker_that_lost_its_partition_sends_late() -> None:
    broker = MemoryBroker()
    slow, quick = MemoryOutputLog(broker, position_of), MemoryOutputLog(broker, position_of)
    for n in range(3):
        slow.send("billed", 0, b"%d,0" % n)
    slow.push(1)
    for n in range(1, 3):
        quick.send("billed", 0, b"%d,0" % n)
    quick.wait()
    slow.close()
    assert slow.send_late() == 2
    assert [m.value for m in broker.records("billed", 0)] == [b"0,0", b"1,0", b"2,0", b"1,0", b"2,0"]
