"""Whatever the terminal can show, no command ends in a traceback, and nothing in the data acts on it."""

from __future__ import annotations

import json
import os
import pty
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from tests.cli.terminal.forked import Forker

pytestmark = pytest.mark.slow

ENCODINGS = ["latin-1", "cp1252", "ascii", "ascii:strict", "koi8-r", "utf-8"]
ODD = "дом🦊é\x1b[2J\x9b31m\u202e"
ESC = "\x1b"


@pytest.fixture(scope="module")
def forker() -> Iterator[Forker]:
    """The process that forks for each command."""
    made = Forker()
    yield made
    made.close()


class Creditmeter:
    """Runs commands in a folder."""

    def __init__(self, forker: Forker, folder: Path) -> None:
        self._forker = forker
        self._folder = folder

    def __call__(self, *arguments: str, terminal: bool = False, encoding: str = "utf-8") -> tuple[int, bytes, bytes]:
        """Exit code, standard output and standard error; with `terminal` the output goes to one."""
        files = self._folder / ".out", self._folder / ".err"
        if not terminal:
            code = self._run(arguments, files[0], files[1], encoding)
            return code, files[0].read_bytes(), files[1].read_bytes()
        ours, theirs = pty.openpty()
        parts: list[bytes] = []
        reader = threading.Thread(target=_read_all, args=(ours, parts))
        reader.start()
        code = self._run(arguments, os.ttyname(theirs), files[1], encoding)
        os.close(theirs)
        reader.join()
        os.close(ours)
        return code, b"".join(parts), files[1].read_bytes()

    def _run(self, arguments: Iterable[str], out: str | Path, err: Path, encoding: str) -> int:
        return self._forker.run(*arguments, cwd=self._folder, out=out, err=err, encoding=encoding)


def _read_all(terminal: int, parts: list[bytes]) -> None:
    """Until nobody has its other end any more."""
    while True:
        try:
            part = os.read(terminal, 65_536)
        except OSError:
            return
        if not part:
            return
        parts.append(part)


@pytest.fixture
def creditmeter(forker: Forker, tmp_path: Path) -> Creditmeter:
    return Creditmeter(forker, tmp_path)


@pytest.fixture
def book(tmp_path: Path) -> Path:
    path = tmp_path / "book.yaml"
    path.write_text(
        'versions:\n  - version: "дом🦊"\n    effective_from: 2020-01-01T00:00:00Z\n'
        "    charges: [{charge: call, credits: 1}]\n"
    )
    return path


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_no_encoding_of_a_terminal_ends_a_command(
    creditmeter: Creditmeter, tmp_path: Path, book: Path, encoding: str
) -> None:
    (tmp_path / "creditmeter.toml").write_text(f'data_dir = "{ODD[:5]}"\n')
    event = {
        "event_id": ODD,
        "account_id": ODD[:4],
        "occurred_at": "2026-01-01T00:00:00Z",
        "endpoint": "/é",
        "channel": "x",
    }
    (tmp_path / "events.ndjson").write_text(json.dumps(event) + "\n" + json.dumps({**event, "line": ODD}) + "\n")
    for arguments in (
        ("prices", "check", "--show", str(book)), ("prices", "check", "--json", str(book)),
        ("rate", "--prices", str(book), str(tmp_path / "events.ndjson")), ("config",), ("config", "--json"),
        ("config", "--explain"), ("prices", "check", ODD), (ODD,), ("query", "--format", ODD, "SELECT 1"), ("status",),
    ):  # fmt: skip
        code, out, err = creditmeter(*arguments, encoding=encoding)
        assert b"Traceback" not in err, (arguments, err.decode("latin-1"))
        assert code in {0, 1, 2}
        assert ESC.encode() not in out + err
        if "--json" in arguments:
            json.loads(out.decode(encoding.partition(":")[0]))


def test_a_query_s_table_and_errors_act_on_no_terminal(creditmeter: Creditmeter, tmp_path: Path) -> None:
    (tmp_path / ".creditmeter" / "clickhouse").mkdir(parents=True)
    odd = f"a{ESC}[2J\u009b31m\nnext"
    for arguments in ((), ("--format", "csv"), ("--format", "json"), ("--format", "ndjson")):
        sql = f"SELECT '{odd}' AS `name{ESC}[1m`, 1 AS n FROM numbers(2)"
        code, out, err = creditmeter("query", *arguments, sql, terminal=True)
        assert code == 0, err
        assert ESC.encode() not in out
        assert "\u009b".encode() not in out
        assert out.count(b"31m") == 2
    code, out, err = creditmeter("query", f"SELECT toInt8('{odd}')")
    assert code == 1
    assert ESC.encode() not in out + err
    assert b"\\x1b[2J" in err
    code, out, _ = creditmeter("query", "--format", "csv", "SELECT '=1+1' AS a, -1 AS b")
    assert (code, out) == (0, b'"a","b"\n"\'=1+1",-1\n')
    code, out, _ = creditmeter("query", "--raw-csv", "SELECT '=1+1' AS a, -1 AS b")
    assert (code, out) == (0, b'"a","b"\n"=1+1",-1\n')
    code, out, err = creditmeter("query", "--raw-csv", "--format", "json", "SELECT 1")
    assert (code, out) == (2, b"")


def test_a_table_says_that_there_are_more_rows(creditmeter: Creditmeter, tmp_path: Path) -> None:
    (tmp_path / ".creditmeter" / "clickhouse").mkdir(parents=True)
    _, out, _ = creditmeter("query", "SELECT number FROM numbers(1500)")
    assert out.decode().endswith("There are more than these 1,000 rows: the formats csv, json and ndjson give all.\n")
    _, out, _ = creditmeter("query", "SELECT number FROM numbers(1000)")
    assert "There are more" not in out.decode()
    code, out, err = creditmeter("query", "SELECT 1 WHERE 0")
    assert (code, out) == (0, b"")
    assert b"No rows" in err
