"""Whatever the terminal can show, no command ends in a traceback, and nothing in the data acts on it."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

ENCODINGS = ["latin-1", "cp1252", "ascii", "ascii:strict", "koi8-r", "utf-8"]
ODD = "дом🦊é\x1b[2J\x9b31m\u202e"
ESC = "\x1b"


def creditmeter(*arguments: str, cwd: Path, terminal: bool = False, **environment: str) -> tuple[int, bytes, bytes]:
    """Exit code, standard output and standard error; with `terminal` the output goes to one."""
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3]), **environment}
    command = [sys.executable, "-m", "cli.main", *arguments]
    if not terminal:
        done = subprocess.run(command, env=env, cwd=cwd, capture_output=True)
        return done.returncode, done.stdout, done.stderr
    ours, theirs = pty.openpty()
    with subprocess.Popen(command, env=env, cwd=cwd, stdout=theirs, stderr=subprocess.PIPE) as process:
        os.close(theirs)
        output = b""
        while True:
            try:
                part = os.read(ours, 65_536)
            except OSError:
                break
            if not part:
                break
            output += part
        assert process.stderr is not None
        errors = process.stderr.read()
    os.close(ours)
    return process.returncode, output, errors


@pytest.fixture
def book(tmp_path: Path) -> Path:
    path = tmp_path / "book.yaml"
    path.write_text(
        'versions:\n  - version: "дом🦊"\n    effective_from: 2020-01-01T00:00:00Z\n'
        "    charges: [{charge: call, credits: 1}]\n"
    )
    return path


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_no_encoding_of_a_terminal_ends_a_command(tmp_path: Path, book: Path, encoding: str) -> None:
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
        code, out, err = creditmeter(*arguments, cwd=tmp_path, PYTHONIOENCODING=encoding)
        assert b"Traceback" not in err, (arguments, err.decode("latin-1"))
        assert code in {0, 1, 2}
        assert ESC.encode() not in out + err
        if "--json" in arguments:
            json.loads(out.decode(encoding.partition(":")[0]))


def test_a_query_s_table_and_errors_act_on_no_terminal(tmp_path: Path) -> None:
    (tmp_path / ".creditmeter" / "clickhouse").mkdir(parents=True)
    odd = f"a{ESC}[2J\u009b31m\nnext"
    for arguments in ((), ("--format", "csv"), ("--format", "json"), ("--format", "ndjson")):
        sql = f"SELECT '{odd}' AS `name{ESC}[1m`, 1 AS n FROM numbers(2)"
        code, out, err = creditmeter("query", *arguments, sql, cwd=tmp_path, terminal=True)
        assert code == 0, err
        assert ESC.encode() not in out
        assert "\u009b".encode() not in out
        assert out.count(b"31m") == 2
    code, out, err = creditmeter("query", f"SELECT toInt8('{odd}')", cwd=tmp_path)
    assert code == 1
    assert ESC.encode() not in out + err
    assert b"\\x1b[2J" in err
    code, out, _ = creditmeter("query", "--format", "csv", "SELECT '=1+1' AS a, -1 AS b", cwd=tmp_path)
    assert (code, out) == (0, b'"a","b"\n"\'=1+1",-1\n')
    code, out, _ = creditmeter("query", "--raw-csv", "SELECT '=1+1' AS a, -1 AS b", cwd=tmp_path)
    assert (code, out) == (0, b'"a","b"\n"=1+1",-1\n')
    code, out, err = creditmeter("query", "--raw-csv", "--format", "json", "SELECT 1", cwd=tmp_path)
    assert (code, out) == (2, b"")


def test_a_table_says_that_there_are_more_rows(tmp_path: Path) -> None:
    (tmp_path / ".creditmeter" / "clickhouse").mkdir(parents=True)
    _, out, _ = creditmeter("query", "SELECT number FROM numbers(1500)", cwd=tmp_path)
    assert out.decode().endswith("There are more than these 1,000 rows: the formats csv, json and ndjson give all.\n")
    _, out, _ = creditmeter("query", "SELECT number FROM numbers(1000)", cwd=tmp_path)
    assert "There are more" not in out.decode()
    code, out, err = creditmeter("query", "SELECT 1 WHERE 0", cwd=tmp_path)
    assert (code, out) == (0, b"")
    assert b"No rows" in err
