"""The embedded ClickHouse is killed again and again while it loads: what an audit finds then is what would be there."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest

from replay.audit.run import run_audit
from sinks.isolated import IsolatedSink
from streams.loading.continuity import Continuity
from streams.loading.loader import LoadingHandler
from streams.loading.positions import SinkPositions
from streams.log.protocols import Message
from streams.metrics import Metrics
from tests.replay.audit.audited import Audited, SinkRows
from tests.replay.audit.test_audit_kept import plan
from tests.stores import with_schema
from tests.streams.loading.loading_simulation import MemoryTopics
from tests.streams.simulation import NAMES, PARTITIONS, SEALS, Cluster

EVERY = 6
"""The engine is killed during each sixth group."""


@pytest.mark.slow
def test_rows_and_positions_are_whole_whenever_the_engine_is_killed(tmp_path: Path) -> None:
    cluster = Cluster(7, messages=120)
    cluster.run_undisturbed()
    sink = IsolatedSink(with_schema(tmp_path / "clickhouse"))
    try:
        kills = load(cluster, sink)
        audited = Audited(cluster)
        scopes = audited.scopes(with_rows=True)
        result = run_audit(
            plan(audited, tmp_path, rows=SinkRows(sink)), scopes, audited.differences.append, lambda *_: None
        )
        assert audited.differences == []
        assert result.totals.rows > 100
        assert kills > 6
    finally:
        sink.close()


def load(cluster: Cluster, sink: IsolatedSink) -> int:
    """Takes everything through once, a few messages at a time; returns how often the engine was killed meanwhile."""
    topics = MemoryTopics(cluster.broker)
    continuity = Continuity(topics, patience=0)
    handler = LoadingHandler(
        sink, SinkPositions(sink), cluster.codec, SEALS, Metrics(), continuity, pause=lambda _: None
    )
    places = [(topic, partition) for topic in NAMES.loaded for partition in range(PARTITIONS)]
    handler.starts(places)
    messages = [(topic, message) for topic, partition in places for message in cluster.broker.records(topic, partition)]
    kills = 0
    for number, start in enumerate(range(0, len(messages), 4)):
        groups: dict[str, list[Message]] = {}
        for topic, message in messages[start : start + 4]:
            groups.setdefault(topic, []).append(message)
        if number % EVERY:
            handler.process(groups)
            continue
        # The first at once, the others later and later: before, in the middle of, and between the inserts.
        timer = threading.Timer(0.008 * kills, os.kill, (sink.engine_pid, signal.SIGKILL))
        timer.start()
        handler.process(groups)
        timer.join()
        kills += 1
    return kills
