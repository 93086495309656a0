"""The use cases' contract over both pipelines; and that no use case prints or reads the terminal."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from application.clickhouse.store_reader import opened_store
from application.configuration.sources import load
from application.in_memory import in_memory_pipeline
from application.pipeline import opened
from application.prices.publishing import publish_book
from application.usage.store import SinkUsage, configured_usage
from local.shared import SharedKafka
from sinks.embedded import EmbeddedSink
from sinks.sink import Limits
from streams import clock
from tests.application.contract import BOOK, UseCaseContract, World
from tests.application.recorded import RecordedNotices
from tests.harness import Pipeline as RunningPipeline
from tests.stores import with_schema

ROOT = Path(__file__).parents[2]
PARTITIONS = 2


class _SinkReader:
    def __init__(self, sink: EmbeddedSink) -> None:
        self._sink = sink

    def text(self, sql: str, output_format: str) -> bytes:
        return self._sink.query_text(sql, output_format)


@pytest.fixture(autouse=True)
def no_terminal(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """Fails a test in which a use case prints anything or reads standard input."""
    monkeypatch.setattr(sys, "stdin", None)
    yield
    printed = capfd.readouterr()
    assert (printed.out, printed.err) == ("", "")


class TestInMemory(UseCaseContract):
    @pytest.fixture(scope="class")
    @classmethod
    def world(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
        folder = tmp_path_factory.mktemp("memory")
        sink = EmbeddedSink(with_schema(folder / "clickhouse"))
        notices = RecordedNotices()
        pipeline = in_memory_pipeline(folder / "data", partitions=PARTITIONS, sink=sink, notices=notices)
        publish_book(pipeline, BOOK, clock.now_ms())
        yield World(pipeline, notices, lambda: None, _SinkReader(sink), SinkUsage(sink, Limits(seconds=60)))
        sink.close()


@pytest.mark.kafka
@pytest.mark.slow
class TestOnKafka(UseCaseContract):
    @pytest.fixture(scope="class")
    @classmethod
    def world(cls, kafka: SharedKafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
        folder = tmp_path_factory.mktemp("kafka")
        running = RunningPipeline(kafka.bootstrap, kafka.fresh_prefix(), folder, PARTITIONS)
        try:
            running.start("worker")
            running.start("loader")
            settings = load(str(folder / "one" / "loader.toml")).settings
            notices = RecordedNotices()

            def settle() -> None:
                running.wait_until_rated()
                running.wait_until_loaded()

            with opened(settings, notices) as pipeline, opened_store(settings) as store:
                publish_book(pipeline, BOOK, clock.now_ms())
                settle()
                yield World(pipeline, notices, settle, store, configured_usage(settings))
        finally:
            running.close()


MAYBE_TERMINAL = re.compile(r"\b(print|input)\s*\(|\bsys\b")
"""In a text without it nothing is printed or read: a tree takes long to build and to walk."""


def test_the_application_has_no_way_to_the_terminal() -> None:
    """Neither print, nor input, nor a standard stream is named in the layer."""
    texts = {path: path.read_text() for path in (ROOT / "application").rglob("*.py")}
    assert len(texts) > 100
    for path, text in texts.items():
        for node in ast.walk(ast.parse(text)) if MAYBE_TERMINAL.search(text) else ():
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in {"print", "input"}, f"{path}:{node.lineno}"
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "sys":
                assert node.attr not in {"stdin", "stdout", "stderr"}, f"{path}:{node.lineno}"
