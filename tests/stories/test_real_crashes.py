"""`kill -9` under load: worker and loader are killed while they work off what has gathered, and lose disks besides.

Every field of every output has to be what `rate` makes of the log, ClickHouse has to hold the same counts and sums, and
`audit` has to find the bytes, rows and states of a run without accidents, in between and at the end.
"""

from __future__ import annotations

import random
import shutil
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from local.shared import SharedKafka
from metering.records import DeadLetterReason, RejectReason
from sinks.embedded import EmbeddedSink
from tests.sizes import SIZE, times_size
from tests.stories.cluster import BusyTraffic, Cluster, check_store
from tests.streams.traffic import BOOK

KILLS = times_size(5)
MESSAGES = times_size(1_000)
SEED = 20260711
SMALL_GROUPS = 2
"""Messages in a group: with few, a kill meets the middle of one more often."""

pytestmark = [pytest.mark.kafka, pytest.mark.crash, pytest.mark.slow]


def kill_again_and_again(cluster: Cluster, name: str, chance: random.Random, killed: list[float]) -> None:
    """Kills the process soon after it got its partitions, when most is waiting for it, and starts it anew."""
    for number in range(KILLS):
        cluster.wait_ready(name)
        pause = chance.uniform(0, 0.8)
        time.sleep(pause)
        cluster.kill(name)
        killed.append(pause)
        if name == "worker" and number in (1, 3):  # the disk of one partition is lost: it has to catch up
            lost = cluster.folder / "one" / "data" / "state" / cluster.names.requests / str(number % 4)
            shutil.rmtree(lost, ignore_errors=True)
        cluster.start_with(name, group_messages=SMALL_GROUPS)
    cluster.wait_ready(name)


@pytest.mark.timeout(600 * SIZE)  # twelve starts and several replays take a while on a busy machine
def test_kills_under_load(kafka: SharedKafka, tmp_path: Path) -> None:
    print(f"seed {SEED}")
    cluster = Cluster(kafka.bootstrap, kafka.fresh_prefix(), tmp_path, BOOK)
    messages = BusyTraffic(SEED, cluster.partitions, cluster.codec, accounts=40).messages(MESSAGES)
    killed: dict[str, list[float]] = {"worker": [], "loader": []}
    try:
        for name in killed:
            cluster.start_with(name, group_messages=SMALL_GROUPS)
        feeding = cluster.feed(messages, seconds=4 * KILLS)
        with ThreadPoolExecutor() as killers:
            for done in [
                killers.submit(kill_again_and_again, cluster, name, random.Random(f"{SEED} {name}"), pauses)
                for name, pauses in killed.items()
            ]:
                done.result()
        cluster.audit("--no-wait")  # while worker and loader go on
        feeding.finish()
        cluster.wait_until_rated()
        cluster.wait_until_loaded()
        for name in killed:
            cluster.stop(name)
        assert [len(pauses) for pauses in killed.values()] == [KILLS, KILLS]
        rated = cluster.check_topics()
        cluster.audit_all()
    finally:
        cluster.close()
    sink = EmbeddedSink(tmp_path / "one" / "data" / "clickhouse")
    try:
        check_store(sink, rated)
    finally:
        sink.close()
    lines = [line for outputs in rated for line in outputs["billed"]]
    letters = Counter(str(letter["reason"]) for outputs in rated for letter in outputs["dead_letter"])
    print(f"{len(lines):,} lines, {sum(line['credits'] for line in lines):,} credits, dead letters {dict(letters)}")
    assert len(lines) > 15 * MESSAGES
    assert set(letters) == set(DeadLetterReason)
    refunds = {str(refund["reject_reason"]) for outputs in rated for refund in outputs["refund"]}
    assert refunds == {"None", *RejectReason}
