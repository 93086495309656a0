"""What is particular to chDB: one process per directory, what a crash leaves, and threads."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from sinks.embedded import EmbeddedSink
from sinks.idle_connections import MOST_IDLE
from sinks.migrate import check_schema, migrate
from sinks.sink import Limits, SinkRejected, SinkUnavailable
from tests.sinks.outputs import load, random_log

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]

HOLD = """
import sys, time
from pathlib import Path
from sinks.embedded import EmbeddedSink
from sinks.migrate import migrate
from tests.sinks.outputs import load, random_log
sink = EmbeddedSink(Path(sys.argv[1]))
migrate(sink)
load(sink, random_log(1).batches)
print(sink.query("SELECT count() FROM billed_events").rows[0][0], flush=True)
time.sleep(600)
"""


class Holder:
    """Another process that loads some batches into a directory and then keeps it."""

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(folder)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.rows = int(self.process.stdout.readline())

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.mark.slow
def test_a_directory_is_held_by_one_process_named_in_the_error_and_is_free_and_whole_after_its_crash(
    folder: Path,
) -> None:
    holder = Holder(folder)
    try:
        with pytest.raises(SinkUnavailable, match=f"held by process {holder.process.pid}:"):
            EmbeddedSink(folder)
    finally:
        holder.kill()
    sink = EmbeddedSink(folder)
    check_schema(sink)
    assert sink.query("SELECT count() FROM billed_events").rows == [(holder.rows,)]
    with pytest.raises(SinkUnavailable, match=f"held by process {os.getpid()}:"):
        EmbeddedSink(folder)
    sink.close()


@pytest.mark.slow
def test_a_process_that_ends_by_an_exception_ends_in_order(folder: Path) -> None:
    """Left open, the engine would end it with a segmentation fault."""
    program = HOLD.replace("time.sleep(600)", "raise SystemExit(1)")
    ended = subprocess.run([sys.executable, "-c", program, str(folder)], cwd=ROOT, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (1, "")
    EmbeddedSink(folder).close()


def test_what_was_loaded_is_there_when_opened_again(folder: Path) -> None:
    sink = EmbeddedSink(folder)
    migrate(sink)
    load(sink, random_log(1).batches)
    before = sink.query("SELECT * FROM billed_events ORDER BY source_offset, position").rows
    sink.close()
    sink.close()
    again = EmbeddedSink(folder)
    assert migrate(again) == []
    assert again.query("SELECT * FROM billed_events ORDER BY source_offset, position").rows == before
    again.close()


def test_inserts_are_on_the_disk_before_they_return(folder: Path) -> None:
    sink = EmbeddedSink(folder)
    rows = sink.query("SELECT name, value FROM system.merge_tree_settings WHERE name LIKE 'fsync%' ORDER BY name").rows
    assert rows == [("fsync_after_insert", "1"), ("fsync_part_directory", "1")]
    sink.close()


@pytest.mark.parametrize("name", ["what?", "a&b", "100%", "a#b", "back\\slash"])
def test_a_path_that_the_engine_would_misread_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(SinkRejected, match="cannot open"):
        EmbeddedSink(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["jürgen x", "a,b:c=d;e!", "quote's \"<>"])
def test_any_other_path_holds_everything_that_the_engine_writes(tmp_path: Path, name: str) -> None:
    EmbeddedSink(tmp_path / name / "clickhouse").close()
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert [path.name for path in (tmp_path / name).iterdir()] == ["clickhouse"]


def test_a_config_of_the_current_directory_is_not_taken(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine looks for config.xml where it is started: a stranger's must not give it rights."""
    folder.mkdir()
    (folder / "config.xml").write_text("<clickhouse><users_config>nowhere.xml</users_config></clickhouse>")
    monkeypatch.chdir(folder)
    sink = EmbeddedSink(folder / "data")
    with pytest.raises(SinkRejected, match="privileges"):
        sink.query("SELECT * FROM file('config.xml', 'LineAsString', 'line String')", readonly=False)
    sink.close()


@pytest.mark.slow
def test_threads_read_while_others_insert(folder: Path) -> None:
    embedded = EmbeddedSink(folder)
    migrate(embedded)
    batches = random_log(2).batches
    load(embedded, batches, "BilledBatch")
    expected = embedded.query("SELECT count(), sum(credits) FROM billed_events").rows
    failures: list[BaseException] = []

    def read() -> None:
        try:
            for _ in range(20):
                assert embedded.query("SELECT count(), sum(credits) FROM billed_events").rows == expected
        except BaseException as error:  # noqa: BLE001 - told to the test's own thread
            failures.append(error)

    def insert() -> None:
        try:
            for _ in range(10):
                load(embedded, batches, "BilledBatch")
        except BaseException as error:  # noqa: BLE001
            failures.append(error)

    threads = [threading.Thread(target=target) for target in (read, insert, read, insert)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    embedded.close()
    assert failures == []


def test_an_insert_that_the_disk_does_not_take_is_reported(folder: Path) -> None:
    """The engine answers a streamed insert with success even then: rows would be lost without a word."""
    sink = EmbeddedSink(folder)
    migrate(sink)
    batches = random_log(1).batches
    sink.execute("ALTER TABLE billed_rows MODIFY SETTING min_free_disk_bytes_to_perform_insert = 1000000000000000000")
    for _ in range(2):
        with pytest.raises(SinkUnavailable, match=r"billed_rows: .* enough free space"):
            load(sink, batches, "BilledBatch")
    assert sink.query("SELECT count() FROM billed_events").rows == [(0,)]
    sink.execute("ALTER TABLE billed_rows RESET SETTING min_free_disk_bytes_to_perform_insert")
    load(sink, batches, "BilledBatch")
    [(rows,)] = sink.query("SELECT count() FROM billed_events").rows
    assert rows == sum(len(record["events"]) for name, record in batches if name == "BilledBatch") > 0
    sink.close()


def test_nothing_of_an_insert_that_failed_comes_with_the_next_one(folder: Path) -> None:
    sink = EmbeddedSink(folder)
    sink.execute("CREATE TABLE small (n Int64, CONSTRAINT is_small CHECK n < 10) ENGINE = MergeTree ORDER BY tuple()")
    sink.insert("small", {"n": [1, 2]})
    with pytest.raises(SinkRejected, match="is_small"):
        sink.insert("small", {"n": [3, 30]})
    sink.insert("small", {"n": [4]})
    assert sink.query("SELECT n FROM small ORDER BY n").rows == [(1,), (2,), (4,)]
    sink.execute("ALTER TABLE small DROP CONSTRAINT is_small")
    sink.execute("ALTER TABLE small MODIFY COLUMN n String")
    sink.insert("small", {"n": ["5"]})
    assert sink.query("SELECT max(n) FROM small").rows == [("5",)]
    sink.close()


def test_a_reader_s_connection_is_used_again_unless_its_statement_failed(folder: Path) -> None:
    sink = EmbeddedSink(folder)
    connections = []
    real = sink._connect
    sink._connect = lambda options: connections.append(options) or real(options)  # type: ignore[method-assign, func-returns-value]
    for number in range(3):
        assert sink.query(f"SELECT {number}").rows == [(number,)]
    assert len(connections) == 1
    with pytest.raises(SinkRejected):
        sink.query("SELECT throwIf(1)")
    assert sink.query("SELECT 1", limits=Limits(rows=5)).rows == [(1,)]
    assert sink.query("SELECT 1").rows == [(1,)]
    assert len(connections) == 3
    sink.query("SELECT 1", readonly=False)
    sink.query("SELECT 1", readonly=False)
    assert len(connections) == 5
    sink.close()


def test_many_readers_at_once_have_a_connection_each(folder: Path) -> None:
    sink = EmbeddedSink(folder)
    barrier = threading.Barrier(2 * MOST_IDLE)
    answers: list[int] = []

    def read(number: int) -> None:
        barrier.wait()
        answers.append(sink.query(f"SELECT sum(number) + {number} FROM numbers(100000)").rows[0][0])

    threads = [threading.Thread(target=read, args=(number,)) for number in range(2 * MOST_IDLE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [4_999_950_000 + number for number in range(2 * MOST_IDLE)]
    sink.close()
