"""Real workers on a real broker, joining, leaving and killed: the bill is that of the pure state machine."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.shared import SharedKafka
from tests.streams.harness import Pipeline
from tests.streams.traffic import Traffic

SEED = 20260101

pytestmark = [pytest.mark.kafka, pytest.mark.crash, pytest.mark.slow]


@pytest.fixture
def pipeline(kafka: SharedKafka, tmp_path: Path) -> Iterator[Pipeline]:
    made = Pipeline(kafka.bootstrap, kafka.fresh_prefix(), tmp_path)
    yield made
    made.close()


def feed(pipeline: Pipeline, messages: list[tuple[int, int, bytes]], seconds: float) -> threading.Thread:
    """Sends the messages evenly over that time, from a thread of its own."""

    def run() -> None:
        for at in range(0, len(messages), 20):
            pipeline.send(messages[at : at + 20])
            time.sleep(seconds * 20 / len(messages))

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def check(pipeline: Pipeline) -> None:
    """Topics and ClickHouse hold exactly what the log comes to."""
    expected, found = pipeline.expected(), pipeline.in_topics()
    assert expected["billed"], "nothing was billed: the test tests nothing"
    assert sorted(found["billed"], key=repr) == sorted(expected["billed"], key=repr)
    assert sorted(found["dead"], key=repr) == sorted(expected["dead"], key=repr)


def test_workers_join_and_leave(pipeline: Pipeline) -> None:
    """A second machine with a disk of its own, and a second process on the first machine's disk."""
    messages = Traffic(SEED + 1, pipeline.partitions, pipeline.codec, accounts=40).messages(1_500)
    pipeline.start("worker")
    feeding = feed(pipeline, messages, seconds=25)
    time.sleep(6)
    pipeline.start("worker-on-another-machine", machine="two")
    time.sleep(6)
    pipeline.start("worker-beside", machine="one")
    time.sleep(5)
    pipeline.stop("worker-on-another-machine")
    time.sleep(3)
    pipeline.kill("worker")
    time.sleep(2)
    pipeline.start("worker-on-another-machine", machine="two")
    feeding.join()
    pipeline.wait_until_rated()
    check(pipeline)


def test_an_undisturbed_run_gives_the_same_bytes(pipeline: Pipeline, tmp_path: Path) -> None:
    """A worker that is killed, and one with an empty disk that reads the same log: equal to the byte."""
    pipeline.send(Traffic(SEED + 2, pipeline.partitions, pipeline.codec, accounts=20).messages(600))
    pipeline.start("worker")
    time.sleep(3)
    pipeline.kill("worker")
    pipeline.start("worker")
    pipeline.wait_until_rated()
    before = pipeline.bytes_in_topics()
    pipeline.stop("worker")
    shutil.rmtree(tmp_path / "one" / "data" / "state")
    pipeline.send(Traffic(SEED + 3, pipeline.partitions, pipeline.codec, accounts=20).messages(100))
    pipeline.start("worker")
    pipeline.wait_until_rated()
    after = pipeline.bytes_in_topics()
    for place, values in before.items():
        assert after[place][: len(values)] == values
    check(pipeline)
