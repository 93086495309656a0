"""What one reading statement may take, whatever it is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sinks.formats import as_text
from sinks.isolated import IsolatedSink
from sinks.server import ServerSink
from sinks.sink import Limits, Result, SinkRejected
from tests.sinks.conftest import empty

pytestmark = pytest.mark.slow

TIGHT = Limits(rows=1_000, bytes=1 << 20, seconds=2, memory=64 << 20)
TOO_MUCH = {
    "rows of a statement without a table": "SELECT arrayJoin(range(100000))",
    "rows of a table that the engine does not count": "SELECT arrayJoin(range(100000)) FROM system.one",
    "rows of nested arrays": "SELECT arrayJoin(range(1000)) AS a, arrayJoin(range(1000, 2000)) AS b",
    "rows in a union": "SELECT 1 UNION ALL SELECT arrayJoin(range(100000))",
    "rows of a common table": "WITH x AS (SELECT arrayJoin(range(100000)) AS n) SELECT n FROM x",
    "rows of a recursion": "WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM t) SELECT n FROM t",
    "rows of a cross join": "SELECT a.number, b.number FROM numbers(10000) AS a, numbers(10000) AS b",
    "rows of a table": "SELECT number FROM system.numbers",
    "an array": "SELECT range(60000000)",
    "bytes of one row": "SELECT arrayMap(x -> repeat('a', 1000000), range(10))",
    "bytes of many rows": "SELECT repeat('a', 10000) FROM numbers(900)",
    "memory for groups": "SELECT groupArray(toString(number)) FROM numbers(100000000)",
    "memory for a constant": "SELECT length(arrayMap(x -> repeat('a', 1000000), range(3000)))",
    "time": "SELECT max(sipHash64(number)) FROM system.numbers",
    "limits raised": "SELECT arrayJoin(range(100000)) SETTINGS max_result_rows = 0",
    "limits raised within": "SELECT * FROM (SELECT arrayJoin(range(100000)) SETTINGS max_result_rows = 0, limit = 0)",
    "memory raised within": (
        "SELECT m FROM (SELECT length(groupArray(toString(number))) AS m FROM numbers(100000000) "
        "SETTINGS max_memory_usage = 0, max_execution_time = 0)"
    ),
    "an address": "SELECT * FROM remote('127.0.0.1', system.numbers)",
}


@pytest.fixture(params=["isolated", "current"])
def limited(request: pytest.FixtureRequest) -> IsolatedSink | ServerSink:
    """The sinks on a current engine, empty."""
    chosen: IsolatedSink | ServerSink = request.getfixturevalue(f"{request.param}_of_module")
    empty(chosen)
    return chosen


@pytest.mark.parametrize("statement", TOO_MUCH.values(), ids=TOO_MUCH.keys())
def test_what_takes_too_much_is_refused(limited: IsolatedSink | ServerSink, statement: str) -> None:
    with pytest.raises(SinkRejected):
        limited.query(statement, limits=TIGHT)
    with pytest.raises(SinkRejected):
        limited.query_text(statement, "JSONEachRow", limits=TIGHT)


FORMAT_TRICKS = {
    "a long name on each row": (f"SELECT number AS `{'n' * 100_000}` FROM numbers(900)", "JSONEachRow"),
    "a long name in each record": (f"SELECT number AS `{'n' * 100_000}` FROM numbers(900)", "Vertical"),
    "numbers as long text": ("SELECT arrayMap(x -> 18446744073709551615, range(200)) FROM numbers(900)", "CSV"),
}


@pytest.mark.parametrize(("statement", "output_format"), FORMAT_TRICKS.values(), ids=FORMAT_TRICKS.keys())
def test_a_text_larger_than_its_values_is_refused(
    limited: IsolatedSink | ServerSink, statement: str, output_format: str
) -> None:
    with pytest.raises(SinkRejected, match=r"takes too much|more than 1,048,576 bytes"):
        limited.query_text(statement, output_format, limits=TIGHT)


def test_as_much_as_is_allowed_is_answered(limited: IsolatedSink | ServerSink) -> None:
    assert len(limited.query("SELECT arrayJoin(range(1000))", limits=TIGHT).rows) == 1000
    assert (
        len(limited.query_text("SELECT number FROM numbers(1000)", "TabSeparated", limits=TIGHT).splitlines()) == 1000
    )
    assert limited.query("SELECT count() FROM numbers(100000)", limits=TIGHT).rows == [(100_000,)]
    statement = "SELECT n FROM (SELECT number AS n FROM numbers(100000) ORDER BY n DESC) LIMIT 2"
    assert limited.query(statement, limits=TIGHT).rows == [(99_999,), (99_998,)]


@pytest.mark.parametrize("output_format", ["TabSeparated", "Pretty"])
def test_text_made_here_stops_at_the_limit(output_format: str) -> None:
    """A table's rows are as wide as the widest one."""
    rows = [("x" * 500,), *[("",)] * 20]
    with pytest.raises(SinkRejected, match="more than 520 bytes"):
        as_text(Result(["a"], ["String"], rows * 2), output_format, Limits(bytes=520))


PROGRAM = """
import json, re, sys
from pathlib import Path
from sinks.isolated import IsolatedSink
from sinks.sink import SinkRejected

def peak(pid):
    try:
        kept = re.search(r"VmHWM:\\s+(\\d+)", Path(f"/proc/{pid}/status").read_text())
    except (FileNotFoundError, ProcessLookupError):
        kept = None
    return 0 if kept is None else int(kept[1]) // 1024  # an engine that was just ended has none any more

sink = IsolatedSink(Path(sys.argv[1]))
for name, (statement, output_format) in json.loads(sys.argv[2]).items():
    try:
        size = len(sink.query_text(statement, output_format))
    except SinkRejected:
        size = 0
    print(json.dumps([name, size, peak("self"), peak(sink.engine_pid)]), flush=True)
sink.close()
"""
LARGE = {
    "rows of a constant": ("SELECT arrayJoin(range(60000000))", "TabSeparated"),
    "rows of two constants": ("SELECT arrayJoin(range(1000000)), arrayJoin(range(100))", "TabSeparated"),
    "rows of a table": ("SELECT number FROM numbers(60000000)", "TabSeparated"),
    "groups": ("SELECT groupArray(toString(number)) FROM numbers(100000000)", "TabSeparated"),
    "a constant array": ("SELECT arrayResize([toInt64(1)], 125000000)", "TabSeparated"),
    "a constant array for people": ("SELECT arrayResize([toInt64(1)], 125000000)", "Pretty"),
    "a constant array of small values": ("SELECT arrayWithConstant(900000000, NULL)", "JSONEachRow"),
    "nested arrays": ("SELECT arrayMap(x -> range(1000), range(1000000))", "JSONEachRow"),
    "a constant array many times": (f"WITH range(1000000) AS a SELECT [{', '.join(['a'] * 90)}]", "JSONEachRow"),
    "repeated text": ("SELECT repeat('a', 1000000000)", "CSV"),
    "an array of repeated texts": ("SELECT arrayMap(x -> repeat('a', 1000000), range(900))", "CSV"),
    "long rows for people": ("SELECT arrayMap(x -> 1000 + x, range(1000000)) FROM numbers(30)", "Pretty"),
    "long records for people": ("SELECT arrayMap(x -> map(x, x), range(1000000)) FROM numbers(9)", "Vertical"),
}


@pytest.mark.slow
def test_the_memory_of_both_processes_stays_bounded(tmp_path: Path) -> None:
    """The loader's, which asks, and the engine's, with the limits that people have."""
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "data"), json.dumps(LARGE)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    peaks = [json.loads(line) for line in done.stdout.splitlines()]
    assert [name for name, *_ in peaks] == list(LARGE)
    asking, engine = (max(row[column] for row in peaks) for column in (2, 3))
    assert asking < 800, peaks  # MiB; an answer has at most 256
    assert engine < 4_096, peaks  # MiB; ended beyond 3 GiB, looked at ten times a second


@pytest.mark.parametrize("output_format", ["Pretty", "Vertical"])
def test_a_table_for_people_has_a_limit_of_its_own(limited: IsolatedSink | ServerSink, output_format: str) -> None:
    """It is made of Python's values, which take many times as much memory."""
    statement = "SELECT repeat('a', 1000000) FROM numbers(20)"
    with pytest.raises(SinkRejected, match="too many for a table"):
        limited.query_text(statement, output_format)
    assert len(limited.query_text(statement, "CSV")) > 20_000_000
