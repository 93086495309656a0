"""The engine's process is ended where a statement takes more than it may, and started again; nothing else suffers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from sinks.embedded import EmbeddedSink
from sinks.http import QueryServer, remote_query
from sinks.isolated import IsolatedSink
from sinks.migrate import migrate
from sinks.sink import Limits, SinkRejected, SinkUnavailable
from tests.sinks.conftest import empty
from tests.sinks.outputs import load, random_log

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
MIB = 1 << 20


def endless() -> str:
    """Constant expressions that take minutes, which the engine makes before it looks at the time."""
    hashed = f"{'sipHash64(' * 300}x + {{}}{')' * 300}"
    return "SELECT " + " + ".join(f"arraySum(x -> {hashed.format(number)}, range(1000000))" for number in range(60))


@pytest.fixture(scope="module")
def isolated_of_module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IsolatedSink]:
    """With hardly any patience, and room for one small statement."""
    sink = IsolatedSink(tmp_path_factory.mktemp("isolated") / "data", grace=0.1, memory=800 * MIB)
    migrate(sink)
    yield sink
    sink.close()


@pytest.fixture
def sink(isolated_of_module: IsolatedSink) -> IsolatedSink:
    empty(isolated_of_module)
    return isolated_of_module


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):  # gone, or going while it is read
        return False
    return state != "Z"


def test_a_statement_that_nothing_interrupts_is_ended_with_its_process(sink: IsolatedSink) -> None:
    load(sink, random_log(1).batches)
    before, pid = sink.query("SELECT * FROM billed_events ORDER BY source_offset, position").rows, sink.engine_pid
    with pytest.raises(SinkRejected, match="was not done after 1 s"):
        sink.query_text(endless(), "CSV", limits=Limits(seconds=1))
    assert not is_running(pid)
    assert sink.query("SELECT * FROM billed_events ORDER BY source_offset, position").rows == before != []
    load(sink, random_log(2).batches)
    assert sink.engine_pid != pid


def test_a_statement_beside_one_that_is_ended_is_answered_all_the_same(sink: IsolatedSink) -> None:
    """Both have a deadline of their own; the loader's own rows go in before, meanwhile and after."""
    answers: list[bytes] = []
    beside = threading.Thread(target=lambda: answers.append(sink.query_text("SELECT sleep(3), 7", "CSV")))
    beside.start()
    with pytest.raises(SinkRejected, match="was not done after 1 s"):
        sink.query_text(endless(), "CSV", limits=Limits(seconds=1))
    beside.join()
    assert answers == [b"0,7\n"]


@pytest.mark.parametrize(
    "statement",
    ["SELECT arrayResize([toInt64(1)], 400000000)", "SELECT groupArray(number) FROM numbers(400000000)"],
    ids=["a constant", "groups"],
)
def test_a_process_that_takes_too_much_memory_is_ended(sink: IsolatedSink, statement: str) -> None:
    """The statement's own limit is wider here than what the process may have."""
    pid = sink.engine_pid
    with pytest.raises(SinkRejected, match=r"more than 0\.8 GiB of memory"):
        sink.query_text(statement, "JSONEachRow", limits=Limits(memory=8 << 30))
    assert not is_running(pid)
    assert sink.query("SELECT 1").rows == [(1,)]


def test_an_engine_that_ended_by_itself_is_started_again(sink: IsolatedSink) -> None:
    load(sink, random_log(1).batches)
    rows = sink.query("SELECT count() FROM billed_events").rows
    os.kill(sink.engine_pid, signal.SIGSEGV)
    for _ in range(2):  # once it is seen while it ends
        try:
            assert sink.query("SELECT count() FROM billed_events").rows == rows
        except SinkUnavailable as error:
            assert "SIGSEGV" in str(error)  # noqa: PT017 -- it may be started again already
    os.kill(sink.engine_pid, signal.SIGKILL)
    try:
        load(sink, random_log(1).batches)
    except SinkUnavailable as error:
        assert "is started again" in str(error)  # noqa: PT017
        load(sink, random_log(1).batches)
    assert sink.query("SELECT count() FROM billed_events").rows == rows != [(0,)]


def test_a_long_statement_over_http_is_ended_and_its_turn_is_free(sink: IsolatedSink) -> None:
    with QueryServer(sink, limits=Limits(seconds=1)) as server:
        for _ in range(3):  # more than may run at once
            with pytest.raises(SinkRejected, match="was not done after 1 s"):
                remote_query(server.url, endless())
        assert remote_query(server.url, "SELECT 1", "CSV") == b"1\n"


def test_a_directory_that_another_holds_is_refused(sink: IsolatedSink) -> None:
    for kind in (IsolatedSink, EmbeddedSink):
        with pytest.raises(SinkUnavailable, match=f"held by process {os.getpid()}:"):
            kind(sink.folder)


def test_a_closed_store_answers_no_more(tmp_path: Path) -> None:
    sink = IsolatedSink(tmp_path / "data")
    pid = sink.engine_pid
    sink.close()
    sink.close()
    assert not is_running(pid)
    with pytest.raises(SinkUnavailable, match="is closed"):
        sink.query("SELECT 1")


HOLD = """
import sys, time
from pathlib import Path
from sinks.isolated import IsolatedSink
sink = IsolatedSink(Path(sys.argv[1]))
sink.execute("CREATE TABLE kept (n Int64) ENGINE = MergeTree ORDER BY n")
sink.insert("kept", {"n": [1, 2, 3]})
print(sink.engine_pid, flush=True)
time.sleep(600)
"""


def test_the_engine_ends_with_its_owner_and_the_next_one_has_the_rows(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    owner = subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    pid = int(owner.stdout.readline())
    owner.kill()
    owner.wait()
    owner.stdout.close()
    sink = IsolatedSink(folder)  # it waits for an engine whose owner is dead
    assert not is_running(pid)
    assert sink.query("SELECT sum(n) FROM kept").rows == [(6,)]
    sink.close()
