"""From where long readings come: the store's own folder where nobody holds it, else the loader that does."""

from __future__ import annotations

from pathlib import Path

import pytest

from application.clickhouse import store_reader
from application.clickhouse.store_reader import ConfiguredStore, opened_store
from application.configuration.settings import Settings
from sinks.sink import SinkUnavailable


class Folder:
    """A store that was opened here."""

    is_open = True

    def query_text(self, sql: str, _output_format: str) -> bytes:
        return b"the folder: " + sql.encode()

    def close(self) -> None:
        self.is_open = False


class Ways:
    """Both ways to the rows, and which of them were tried; `held`: a loader holds the folder."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, held: bool = False) -> None:
        self.held = held
        self.tried: list[str] = []
        self.folder = Folder()
        monkeypatch.setattr(store_reader, "open_sink", self._open)
        monkeypatch.setattr(store_reader, "ask_loader", self._ask)

    def _open(self, _settings: Settings) -> Folder:
        self.tried.append("folder")
        if self.held:
            raise SinkUnavailable("held by process 7")
        return self.folder

    def _ask(self, _settings: Settings, sql: str, _output_format: str) -> bytes:
        self.tried.append("loader")
        return b"the loader: " + sql.encode()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Of a machine that has data of an embedded store."""
    (tmp_path / "clickhouse").mkdir()
    return Settings(data_dir=tmp_path)


def test_a_free_folder_is_opened_at_the_first_question_and_once(
    monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    ways = Ways(monkeypatch)
    with opened_store(settings) as store:
        assert ways.tried == [], "a loader that is starting may have to open it first"
        assert store.text("one", "JSONEachRow") == b"the folder: one"
        assert store.text("two", "JSONEachRow") == b"the folder: two"
    assert ways.tried == ["folder"]
    assert not ways.folder.is_open


def test_a_folder_that_the_loader_holds_is_asked_for_there(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    ways = Ways(monkeypatch, held=True)
    with opened_store(settings) as store:
        assert store.text("one", "JSONEachRow") == b"the loader: one"
        ways.held = False
        assert store.text("two", "JSONEachRow") == b"the loader: two", "one audit reads one store"
    assert ways.tried == ["folder", "loader", "loader"]


@pytest.mark.parametrize("elsewhere", [{"query_url": "http://127.0.0.1:1"}, {"data_dir": Path("nowhere")}])
def test_an_address_that_is_set_or_a_machine_without_data_asks_the_loader(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, elsewhere: dict[str, object]
) -> None:
    ways = Ways(monkeypatch)
    store = ConfiguredStore(settings.model_copy(update=elsewhere))
    assert store.text("one", "JSONEachRow") == b"the loader: one"
    assert ways.tried == ["loader"]
    store.close()


def test_a_server_is_asked_itself_and_its_errors_come_through(
    monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    ways = Ways(monkeypatch)
    server = settings.model_copy(update={"store": "server"})
    assert ConfiguredStore(server).text("one", "JSONEachRow") == b"the folder: one"
    ways.held = True
    with pytest.raises(SinkUnavailable):
        ConfiguredStore(server).text("one", "JSONEachRow")
    assert ways.tried == ["folder", "folder"]
