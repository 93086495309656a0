"""The twin's worker and loader: each message is decided once and loaded once, whenever their turn comes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from application.errors import ErrorCode, Failed
from application.in_memory import MemoryWorker, NoStore, SinkSql, in_memory_pipeline
from metering.records import Decision
from sinks.sink import SinkRejected
from streams import clock
from streams.state.store import MemoryState
from tests.application.in_memory_world import event, memory_of, priced_pipeline, send


class CountingSink:
    """Counts the rows of each table."""

    def __init__(self) -> None:
        self.rows: dict[str, int] = {}

    def insert(self, table: str, columns: dict[str, Any]) -> None:
        self.rows[table] = self.rows.get(table, 0) + len(next(iter(columns.values())))

    def execute(self, statement: str) -> None:
        raise NotImplementedError

    def query(self, sql: str, *, readonly: bool = True) -> Any:
        raise NotImplementedError

    def query_text(self, sql: str, output_format: str) -> bytes:
        if sql == "wrong":
            raise SinkRejected("no such table")
        return f"{output_format}: {sql}".encode()

    def close(self) -> None: ...


def test_what_was_sent_before_is_not_decided_or_loaded_again(tmp_path: Path) -> None:
    sink = CountingSink()
    pipeline = in_memory_pipeline(tmp_path, partitions=2, sink=sink)
    for number in range(3):
        send(pipeline, *(event(f"e{number}", f"account-{account}") for account in range(4)))
    assert sink.rows["billed_rows"] == 12
    memory_of(pipeline).after_sending()
    assert sink.rows["billed_rows"] == 12
    assert not any(pipeline.lag(pipeline.names.rating_group, (pipeline.names.requests,)).values())
    assert not any(pipeline.lag(pipeline.names.loading_group, pipeline.names.loaded).values())


def test_a_message_that_came_while_nothing_ran_is_decided_at_the_next_turn(tmp_path: Path) -> None:
    pipeline = priced_pipeline(tmp_path)
    memory = memory_of(pipeline)
    turn, memory.after_sending = memory.after_sending, lambda: None
    send(pipeline, event("e1"))
    assert memory.broker.records(pipeline.names.billed, 0) == []
    memory.after_sending = turn
    send(pipeline, event("e2"))
    decisions = [
        line["decision"]
        for message in memory.broker.records(pipeline.names.billed, 0)
        for line in pipeline.codec.decode(message.value)[1]["events"]
    ]
    assert decisions == [Decision.CHARGED, Decision.DUPLICATE]


def test_the_brokers_time_is_the_clocks(tmp_path: Path) -> None:
    pipeline = in_memory_pipeline(tmp_path, partitions=1)
    before = clock.now_ms()
    send(pipeline, event("e"))
    (message,) = pipeline.input_log.read(0, 0, 1)
    assert before <= message.timestamp <= clock.now_ms()


def test_without_a_store_a_question_fails_as_one_to_an_absent_loader(tmp_path: Path) -> None:
    with pytest.raises(Failed, match="no store") as raised:
        in_memory_pipeline(tmp_path).sql.answer("SELECT 1", "JSONEachRow")
    assert raised.value.code is ErrorCode.UNAVAILABLE
    assert isinstance(in_memory_pipeline(tmp_path).sql, NoStore)


def test_a_sink_answers_or_says_what_it_refuses(tmp_path: Path) -> None:
    sql = in_memory_pipeline(tmp_path, sink=CountingSink()).sql
    assert isinstance(sql, SinkSql)
    assert sql.answer("SELECT 1", "JSONEachRow") == b"JSONEachRow: SELECT 1"
    with pytest.raises(Failed, match="no such table") as raised:
        sql.answer("wrong", "JSONEachRow")
    assert raised.value.code is ErrorCode.FAILED


def test_a_worker_that_takes_over_goes_on_where_the_group_is(tmp_path: Path) -> None:
    sink = CountingSink()
    pipeline = in_memory_pipeline(tmp_path, partitions=1, sink=sink)
    send(pipeline, event("e1"))
    memory = memory_of(pipeline)
    memory.after_sending = MemoryWorker(memory, sink, lambda _partition: MemoryState()).run
    send(pipeline, event("e2", ip="203.0.113.99"))
    assert sink.rows["billed_rows"] == 2
