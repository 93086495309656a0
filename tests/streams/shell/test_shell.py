"""The Faust shell on a real broker: what a failing or stopping handler leaves committed, and that nothing is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from local.broker import LocalBroker
from local.shared import SharedKafka
from local.start import Broker

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

PARTITIONS = 2

PROGRAM = """
import json, sys, threading, time
from pathlib import Path
from streams.log.protocols import CatchUpInterrupted
from streams.shell import shell
from streams.shell.handler import Progress
from streams.shell.shell import Shell, ShellSettings

bootstrap, topic, folder, mode = sys.argv[1:]
leaving = threading.Event()

class Handler:
    held = []

    def piecemeal(self, groups):
        "Has much in hand, and carries one message through at a time."
        self.held += [message for messages in groups.values() for message in messages]
        message = self.held.pop(0)
        self.see([message])
        return Progress({(topic, message.partition): message.offset + 1}, len(self.held) // 2)

    def see(self, messages):
        with open(folder + "/seen", "a") as out:
            out.writelines(json.dumps([m.partition, m.offset]) + "\\n" for m in messages)

    def process(self, groups):
        global mode
        if mode == "piecemeal":
            return self.piecemeal(groups)
        if mode == "long-once":  # as a catch-up that takes an hour
            mode = "healthy"
            Path(folder, "begun").touch()
            assert leaving.wait(3_600)
            raise CatchUpInterrupted("simulated")
        with open(folder + "/times", "a") as out:
            out.write(f"{time.monotonic()}\\n")
        for messages in groups.values():
            if mode == "fail" or (mode == "fail-later" and any(m.offset > 30 for m in messages)):
                time.sleep(1.5)  # the messages behind it are waiting in Faust's queue by then
                raise RuntimeError("the handler failed")
            self.see(messages)
    def starts(self, places):
        "As a store does that has more than the group has acknowledged, or is away for a while."
        if mode == "slow to begin":
            time.sleep(6)
        return {place: 3 for place in places} if mode == "ahead" else {}
    def assign(self, places):
        if mode == "slow to take on":
            time.sleep(2)
            Path(folder, "taken on").touch()
    def release(self, partitions): pass
    def abandon(self): pass
    def close(self): pass

if mode == "slow to begin":
    from faust.types.settings import Settings
    Settings.SETTINGS["broker_request_timeout"].default = 3.0  # 90 s are long for a test
if mode == "short-stop":
    shell.LONGEST_STOP = 8.0
if mode == "discards":  # as where a rebalance begins while records are on their way
    from faust.transport.consumer import Consumer
    wait = Consumer._wait_next_records
    async def discard_once(self, timeout):
        records, active = await wait(self, timeout)
        if records:
            Consumer._wait_next_records = wait
            Path(folder, "discarded").touch()
            self.stop_flow()
            self.loop.call_later(0.5, self.resume_flow)
        return records, active
    Consumer._wait_next_records = discard_once
settings = ShellSettings(
    bootstrap, topic, (topic,), Path(folder) / "faust", group_messages=4, session_timeout=2.0,
    fetch_wait=10.0 if mode == "gathers" else 0.0,
)
Shell(settings, Handler(), leaving).run(lambda: Path(folder, "ready").touch())
"""


class Run:
    def __init__(self, kafka: SharedKafka | Broker, folder: Path, *, is_topic_there: bool = True) -> None:
        self.kafka = kafka
        self.folder = folder
        self.topic = kafka.fresh_prefix() if isinstance(kafka, SharedKafka) else "messages"
        self.admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
        if is_topic_there:
            self.make_topic()
        self.processes: list[subprocess.Popen[bytes]] = []

    def make_topic(self) -> None:
        for made in self.admin.create_topics([NewTopic(self.topic, PARTITIONS, 1)]).values():
            made.result()

    def produce(self, count: int, transaction: str | None = None, size: int = 7) -> None:
        """``count`` messages of so many bytes to every partition; a transaction that is named is aborted."""
        config = {"bootstrap.servers": self.kafka.bootstrap, "partitioner": "murmur2_random"}
        producer = Producer(config | ({"transactional.id": transaction} if transaction else {}))
        if transaction:
            producer.init_transactions()
            producer.begin_transaction()
        for number in range(count * PARTITIONS):
            producer.produce(self.topic, b"m" * size, partition=number % PARTITIONS)
        producer.flush()
        if transaction:
            before = self.ends()
            producer.abort_transaction()
            until = time.monotonic() + 20
            while self.ends() != {partition: end + 1 for partition, end in before.items()}:  # the abort's own markers
                assert time.monotonic() < until, f"no marker in every partition: {before} -> {self.ends()}"
                time.sleep(0.1)

    def ends(self) -> dict[int, int]:
        """The next offset of each partition, markers of transactions counted."""
        config = {"bootstrap.servers": self.kafka.bootstrap, "group.id": "looks", "isolation.level": "read_uncommitted"}
        consumer = Consumer(config)
        ends = {
            p: consumer.get_watermark_offsets(TopicPartition(self.topic, p), timeout=10)[1] for p in range(PARTITIONS)
        }
        consumer.close()
        return ends

    def start(self, mode: str) -> subprocess.Popen[bytes]:
        (self.folder / "ready").unlink(missing_ok=True)
        arguments = [sys.executable, "-c", PROGRAM, self.kafka.bootstrap, self.topic, str(self.folder), mode]
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(arguments, stdout=log, stderr=log)
        self.processes.append(process)
        return process

    def seen(self) -> list[tuple[int, int]]:
        path = self.folder / "seen"
        return [tuple(json.loads(line)) for line in path.read_text().splitlines()] if path.exists() else []

    def committed(self) -> dict[int, int]:
        consumer = Consumer({"bootstrap.servers": self.kafka.bootstrap, "group.id": self.topic})
        places = consumer.committed(
            [TopicPartition(self.topic, partition) for partition in range(PARTITIONS)], timeout=10
        )
        consumer.close()
        return {place.partition: max(0, place.offset) for place in places}

    def wait_for(self, wanted: set[tuple[int, int]]) -> None:
        until = time.monotonic() + 40
        while not wanted <= set(self.seen()):
            assert time.monotonic() < until, f"not seen: {sorted(wanted - set(self.seen()))}\n{self.log()}"
            time.sleep(0.2)

    def wait_for_file(self, name: str) -> None:
        self.wait_until((self.folder / name).exists, name)

    def wait_until(self, holds: Callable[[], bool], what: str) -> None:
        until = time.monotonic() + 120
        while not holds():
            assert time.monotonic() < until, f"not {what}\n{self.log()}"
            time.sleep(0.1)

    def log(self) -> str:
        return (self.folder / "log").read_text()[-3_000:]


@pytest.fixture
def run(kafka: SharedKafka, tmp_path: Path) -> Iterator[Run]:
    made = Run(kafka, tmp_path)
    yield made
    for process in made.processes:
        process.kill()
        process.wait()


def waves(run: Run) -> int:
    """In how many waves messages came to the handler, at least 0.7 s apart."""
    times = [float(line) for line in (run.folder / "times").read_text().splitlines()]
    return 1 + sum(later - earlier > 0.7 for earlier, later in pairwise(times))


def test_under_load_kafka_gathers_what_comes_before_it_answers(run: Run) -> None:
    """What is sent in 8 s comes in few waves, seconds apart: else every fifth of a second something would come."""
    run.start("gathers")
    run.wait_for_file("ready")
    for _ in range(40):
        run.produce(1, size=40_000)
        time.sleep(0.2)
    run.wait_for({(partition, offset) for partition in range(PARTITIONS) for offset in range(40)})
    assert 3 <= waves(run) <= 8


def test_where_little_comes_kafka_answers_at_once(run: Run) -> None:
    run.start("gathers")
    run.wait_for_file("ready")
    for _ in range(6):
        run.produce(1)
        time.sleep(1.2)
    run.wait_for({(partition, offset) for partition in range(PARTITIONS) for offset in range(6)})
    assert waves(run) >= 5


@pytest.mark.parametrize("mode", ["fail", "fail-later"])
def test_a_failure_commits_nothing_that_was_not_carried_through(run: Run, mode: str) -> None:
    run.produce(60)
    process = run.start(mode)
    assert process.wait(60) == 1, run.log()
    carried = run.seen()
    for partition, offset in run.committed().items():
        assert {(partition, earlier) for earlier in range(offset)} <= set(carried), (
            "an offset was committed and not processed"
        )
    healthy = run.start("healthy")
    run.wait_for({(partition, offset) for partition in range(PARTITIONS) for offset in range(60)})
    healthy.terminate()
    assert healthy.wait(30) == 0, run.log()


@pytest.mark.parametrize("mode", ["healthy", "piecemeal"])
def test_an_orderly_stop_commits_all_and_a_start_repeats_nothing(run: Run, mode: str) -> None:
    run.produce(20)
    first = run.start(mode)
    run.wait_for({(partition, offset) for partition in range(PARTITIONS) for offset in range(20)})
    first.terminate()
    assert first.wait(30) == 0, run.log()
    assert run.committed() == dict.fromkeys(range(PARTITIONS), 20)
    run.produce(5)
    run.start(mode)
    run.wait_for({(partition, offset) for partition in range(PARTITIONS) for offset in range(25)})
    assert len(run.seen()) == 25 * PARTITIONS, "something was processed twice"


def test_it_is_ready_when_the_handler_has_taken_its_partitions_on(run: Run) -> None:
    run.start("slow to take on")
    run.wait_for_file("ready")
    assert (run.folder / "taken on").exists()


def test_a_store_may_be_away_longer_than_a_request_to_kafka_may_take(run: Run) -> None:
    """Faust waits that long for where to begin, and would then never fetch."""
    run.produce(2)
    run.start("slow to begin")
    run.wait_for({(partition, offset) for partition in range(PARTITIONS) for offset in range(2)})


def test_a_long_catch_up_gives_way_to_a_stop(run: Run) -> None:
    run.produce(20)
    process = run.start("long-once")
    run.wait_for_file("begun")
    process.terminate()
    assert process.wait(15) == 0, run.log()
    assert not any(run.committed().values())
    assert run.seen() == []


def test_a_long_catch_up_gives_way_to_a_rebalance(run: Run) -> None:
    """Another worker joins while it lasts; what was in hand is delivered again, to whichever has the partition then."""
    run.produce(20)
    run.start("long-once")
    run.wait_for_file("begun")
    run.start("piecemeal")
    run.wait_for({(partition, offset) for partition in range(PARTITIONS) for offset in range(20)})
    time.sleep(2)  # a commit interval
    assert run.committed() == dict.fromkeys(range(PARTITIONS), 20)


def test_aborted_transactions_are_no_records(run: Run) -> None:
    run.produce(3)
    run.produce(4, transaction=f"{run.topic}-aborted")
    run.produce(3)
    run.start("healthy")
    run.wait_for({(partition, offset) for partition in range(PARTITIONS) for offset in (0, 1, 2, 8, 9, 10)})
    assert {offset for _, offset in run.seen()} == {0, 1, 2, 8, 9, 10}
    time.sleep(2)  # a commit interval
    assert run.committed() == dict.fromkeys(range(PARTITIONS), 11), "committing stopped behind the gap"


def test_a_topic_that_kafka_does_not_know_yet_is_read_as_soon_as_it_does(kafka: SharedKafka, tmp_path: Path) -> None:
    """A broker that has just come back may answer before it knows its topics: a group then shares out nothing."""
    run = Run(kafka, tmp_path, is_topic_there=False)
    process = run.start("healthy")
    try:
        run.wait_for_file("ready")  # the group is there, and nobody has a partition
        assert "not found in cluster metadata" in run.log()
        run.make_topic()
        run.produce(5)
        run.wait_for({(partition, offset) for partition in range(PARTITIONS) for offset in range(5)})
        process.terminate()
        assert process.wait(30) == 0, run.log()
    finally:
        process.kill()
        process.wait()


def test_what_is_discarded_before_anything_was_committed_is_read_again(run: Run) -> None:
    run.produce(5)
    run.start("discards")
    run.wait_for({(partition, offset) for partition in range(PARTITIONS) for offset in range(5)})
    run.wait_for_file("discarded")
    assert len(run.seen()) == 5 * PARTITIONS, "something was processed twice"


def test_what_a_store_has_beyond_what_was_committed_is_committed_without_a_further_message(run: Run) -> None:
    """Else a quiet partition would seem to have messages waiting for as long as it is quiet."""
    run.produce(3)
    process = run.start("ahead")
    run.wait_until(lambda: set(run.committed().values()) == {3}, f"committed, but {run.committed()}")
    assert run.seen() == []
    run.produce(2)
    run.wait_for({(partition, offset) for partition in range(PARTITIONS) for offset in (3, 4)})
    process.terminate()
    assert process.wait(30) == 0, run.log()
    assert len(run.seen()) == 2 * PARTITIONS, "something was processed twice"
    assert set(run.committed().values()) == {5}


def test_a_stop_ends_also_where_the_broker_hangs_or_is_gone(own_kafka: Broker, tmp_path: Path) -> None:
    """A consumer waits for a hanging broker as long as a request may take, and for one that is gone for ever."""
    if not isinstance(own_kafka, LocalBroker):
        pytest.fail("the test stops the broker's own process", pytrace=False)
    run = Run(own_kafka, tmp_path)
    first, second = run.start("short-stop"), run.start("short-stop")
    try:
        run.produce(20)
        run.wait_for({(partition, offset) for partition in range(PARTITIONS) for offset in range(20)})
        os.kill(own_kafka.pid, signal.SIGSTOP)
        first.terminate()
        assert first.wait(60) in {0, 1}, run.log()
        own_kafka.kill()
        second.terminate()
        assert second.wait(60) in {0, 1}, run.log()
    finally:
        for process in run.processes:
            process.kill()
            process.wait()
