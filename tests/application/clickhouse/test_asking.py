"""Whose rows a query gets: never those of another pipeline's loader that happens to answer at the port."""

import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import Result

from application.clickhouse.asking import ConfiguredSql, literal, rows_or_empty
from application.clickhouse.opening import open_sink, served
from application.configuration.sources import load
from sinks.sink import Sink

pytestmark = pytest.mark.slow

Run = Callable[..., Result]
SQL = "SELECT 1 AS one"


@pytest.fixture
def loader(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unused_port: int) -> Iterator[Sink]:
    """What a loader serves, with its data in the folder `theirs` and topics of the default prefix."""
    monkeypatch.setenv("CREDITMETER_QUERY_PORT", str(unused_port))
    monkeypatch.setenv("CREDITMETER_DATA_DIR", str(tmp_path / "theirs"))
    settings = load().settings
    sink = served(open_sink(settings), settings)
    yield sink
    sink.close()


def test_its_own_loader_answers(run: Run, loader: Sink) -> None:
    answered = run("query", "--format", "json", SQL)
    assert (answered.exit_code, answered.stdout) == (0, '[{"one":1}]\n'), answered.stderr


@pytest.mark.parametrize("wanted", ["table", "json", "ndjson"])
def test_an_empty_answer_says_so(run: Run, loader: Sink, wanted: str) -> None:
    """Who asks right after `emit` has seen nothing at all, and thought that the pipeline was broken."""
    answered = run("query", "--format", wanted, "SELECT 1 AS one WHERE 0")
    assert (answered.exit_code, answered.stdout) == (0, "[]\n" if wanted == "json" else "")
    assert answered.stderr.startswith("No rows.")
    assert "No rows" not in run("query", "--format", wanted, SQL).stderr


def test_sql_may_begin_with_a_comment(run: Run, loader: Sink) -> None:
    answered = run("query", f"-- what one is\n{SQL}", "--format", "csv")
    assert (answered.exit_code, answered.stdout) == (0, '"one"\n1\n'), answered.stderr
    assert "No such option" in run("query", SQL, "--frmat", "csv").stderr


def test_another_ones_is_refused(run: Run, loader: Sink, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDITMETER_DATA_DIR", str(tmp_path / "ours"))
    refused = run("query", SQL)
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert f"holds {tmp_path / 'theirs' / 'clickhouse'}, not {tmp_path / 'ours' / 'clickhouse'}" in refused.stderr


def test_an_address_that_was_given_is_meant(
    run: Run, loader: Sink, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unused_port: int
) -> None:
    monkeypatch.setenv("CREDITMETER_DATA_DIR", str(tmp_path / "ours"))
    monkeypatch.setenv("CREDITMETER_QUERY_URL", f"http://127.0.0.1:{unused_port}")
    assert run("query", SQL).exit_code == 0
    monkeypatch.setenv("CREDITMETER_TOPIC_PREFIX", "others")
    refused = run("query", SQL)
    assert refused.exit_code == 1
    assert "another pipeline's (topics credits.*" in refused.stderr


@pytest.mark.parametrize("text", ["plain", "it's", "back\\slash", "\\'; DROP", "emoji 🦊", "nul\\0"])
def test_strings_in_sql(run: Run, loader: Sink, text: str) -> None:
    assert loader.query(f"SELECT {literal(text)}").rows == [(text,)]


@pytest.mark.parametrize(
    "typed",
    [
        ("query", "SELECT '\udcff'"),
        ("explain", "\udcff"),
        ("explain", "e", "--account", "\udcff"),
        ("refund", "\udcff"),
    ],
    ids=" ".join,
)
def test_what_is_not_utf_8_is_wrong_usage(
    run: Run, loader: Sink, typed: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shell hands over any bytes; Python keeps those that are no UTF-8 as lone surrogates."""
    monkeypatch.setenv("CREDITMETER_BOOTSTRAP_SERVERS", "127.0.0.1:1")  # nobody is asked there
    refused = run(*typed)
    assert refused.exit_code == 2, refused.exception
    assert "not UTF-8" in refused.stderr


def test_what_is_good_to_know_is_not_waited_for_long(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A loader that hangs accepts the connection and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("CREDITMETER_QUERY_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        began = time.monotonic()
        assert rows_or_empty(ConfiguredSql(load().settings), SQL) == []
        assert time.monotonic() - began < 15
