"""Opening the configured store: whatever it refuses in one kind of error, its query port, and closing in order."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest

from application.clickhouse import opening
from application.clickhouse.opening import ServedSink, has_data, open_sink, opened_sink, served, store_id_of
from application.configuration.settings import Settings
from application.errors import ErrorCode, Failed
from sinks.folder import FolderLock, keep_store_id
from sinks.http import QueryServer
from sinks.server import ServerAddress, ServerSink
from sinks.sink import SinkRejected, SinkUnavailable


class RecordedSink:
    """A sink that does nothing, and notes when it is closed."""

    def __init__(self, events: list[str] | None = None) -> None:
        self.events = [] if events is None else events

    def insert(self, *_: Any) -> None: ...
    def execute(self, *_: Any) -> None: ...
    def query(self, *_: Any) -> None: ...
    def query_text(self, *_: Any) -> None: ...

    def close(self) -> None:
        self.events.append("sink closed")


@pytest.mark.parametrize(
    ("error", "code"),
    [(SinkUnavailable("nobody answers"), ErrorCode.UNAVAILABLE), (SinkRejected("no such table"), ErrorCode.FAILED)],
)
def test_what_the_store_refuses_is_a_use_cases_error_and_the_store_is_closed(
    monkeypatch: pytest.MonkeyPatch, error: Exception, code: ErrorCode
) -> None:
    sink = RecordedSink()
    monkeypatch.setattr(opening, "open_sink", lambda _settings: sink)
    with pytest.raises(Failed, match=str(error)) as raised, opened_sink(Settings()):
        raise error
    assert raised.value.code is code
    assert sink.events == ["sink closed"]


def test_other_errors_come_through_and_the_store_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    sink = RecordedSink()
    monkeypatch.setattr(opening, "open_sink", lambda _settings: sink)
    with pytest.raises(KeyError), opened_sink(Settings()):
        raise KeyError
    assert sink.events == ["sink closed"]


def test_a_folder_that_another_process_holds_is_unavailable_and_names_the_process(tmp_path: Path) -> None:
    (tmp_path / "clickhouse").mkdir()
    lock = FolderLock(tmp_path / "clickhouse")
    with (
        pytest.raises(Failed, match=f"held by process {os.getpid()}") as raised,
        opened_sink(Settings(data_dir=tmp_path)),
    ):
        pass
    assert raised.value.code is ErrorCode.UNAVAILABLE
    lock.release()


def test_a_server_is_not_asked_before_it_is_needed() -> None:
    sink = open_sink(Settings(store="server", clickhouse_host="nowhere.invalid"))
    assert isinstance(sink, ServerSink)
    sink.close()


def test_whether_a_store_was_ever_made_here(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    assert (has_data(settings), store_id_of(settings)) == (False, None)
    (tmp_path / "clickhouse").mkdir()
    identity = keep_store_id(tmp_path / "clickhouse")
    assert (has_data(settings), store_id_of(settings)) == (True, identity)


def test_the_loader_says_who_has_its_port(tmp_path: Path) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        with pytest.raises(Failed, match=rf"query_port {port}: Address already in use: process {os.getpid()} \("):
            served(ServerSink(ServerAddress("nowhere")), Settings(data_dir=tmp_path, query_port=port))


def test_the_query_server_stops_before_the_store_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    server = QueryServer(RecordedSink(), 0)  # type: ignore[arg-type]
    monkeypatch.setattr(server, "stop", lambda: (events.append("server stopped"), QueryServer.stop(server)))
    ServedSink(RecordedSink(events), server).close()  # type: ignore[arg-type]
    assert events == ["server stopped", "sink closed"]
