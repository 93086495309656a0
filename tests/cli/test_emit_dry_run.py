"""`creditmeter emit --dry-run`: what would be sent, what is rejected, and that `rate` reads it."""

import gzip
import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

Run = Callable[..., Result]

LOG = b"""\
1.1.1.1 - - [05/Jan/2026:10:00:00 +0000] "GET /v1/pageview?x HTTP/1.1" 200 5 "-" "-"
not a line
1.1.1.1 - - [05/Jan/2026:10:00:00 +0000] "GET /v1/pageview?x HTTP/1.1" 200 5 "-" "-"
1.1.1.1 - - [05/Jan/2026:10:00:01 +0000] "GET /v1/pageview HTTP/1.1" 429 5 "-" "-"
"""
EVENT = {"event_id": "e", "account_id": "a", "occurred_at": 1_767_312_000_000, "endpoint": "/x", "channel": "api"}


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "access.log"
    path.write_bytes(LOG)
    return path


def test_an_access_log_can_be_rated(run: Run, log: Path, book: Path) -> None:
    printed = run("emit", "--account", "acme", "--dry-run", log)
    assert printed.exit_code == 0
    events = [json.loads(line) for line in printed.stdout.splitlines()]
    assert [event["outcome"] for event in events] == ["processed", "processed", "rate_limited"]
    assert {event["channel"] for event in events} == {"web"}
    assert "access.log:2: is not in Common or Combined format" in printed.stderr
    assert "3 printed, 1 bad lines" in printed.stderr
    rated = run("rate", "--prices", book, stdin=printed.stdout)
    decisions = [json.loads(line)["decision"] for line in rated.stdout.splitlines()]
    assert decisions == ["charged", "charged", "not_billable"]


def test_ids_do_not_depend_on_name_compression_or_growth(run: Run, log: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.gz"
    other.write_bytes(gzip.compress(LOG + LOG.splitlines(keepends=True)[0]))

    def ids(path: Path) -> list[str]:
        printed = run("emit", "--account", "acme", "--dry-run", path).stdout
        return [json.loads(line)["event_id"] for line in printed.splitlines()]

    assert ids(other)[:3] == ids(log)
    assert len(set(ids(other))) == 4


def test_options_of_an_access_log(run: Run, log: Path) -> None:
    printed = run("emit", "--account", "acme", "--endpoint", "page", "--channel", "js", "--dry-run", log)
    event = json.loads(printed.stdout.splitlines()[0])
    assert (event["endpoint"], event["channel"], event["attributes"]["path"]) == ("page", "js", "/v1/pageview")


def test_ndjson_of_all_commands(run: Run) -> None:
    grant = {
        "type": "grant",
        "grant_id": "g",
        "account_id": "a",
        "credit_type": "credit",
        "credits": 1,
        "granted_at": 10**12,
    }
    lines = "\n".join(map(json.dumps, (EVENT, grant, {"type": "x"}, {**EVENT, "ip": "nowhere"}, {**EVENT, "more": 1})))
    printed = run("emit", "--dry-run", stdin=lines + "\nnope\n")
    assert [json.loads(line).get("type", "request") for line in printed.stdout.splitlines()] == ["request", "grant"]
    assert printed.stderr.splitlines() == [
        "-:3: type: is not request, refund, grant or account",
        '-:4: ip: is "nowhere", should be an IPv4 or IPv6 address, or null',
        "-:5: more: there is no such field",
        "-:6: is not a JSON object",
        "2 printed, 4 bad lines",
    ]


def test_rejects_are_kept_as_they_were(run: Run, log: Path, tmp_path: Path) -> None:
    run("emit", "--account", "acme", "--dry-run", "--rejects", "bad.log", log)
    assert (tmp_path / "bad.log").read_bytes() == b"not a line\n"


def test_many_bad_lines_are_counted_and_not_all_shown(run: Run) -> None:
    result = run("emit", "--account", "acme", "--format", "access-log", "--dry-run", stdin="bad\n" * 50)
    assert result.stderr.count("-:") == 20
    assert "and 30 more bad lines" in result.stderr
    assert result.exit_code == 1, "no line was good"


@pytest.mark.parametrize(("options", "code"), [([], 0), (["--strict"], 1)])
def test_some_bad_lines_fail_only_a_strict_run(run: Run, log: Path, options: list[str], code: int) -> None:
    assert run("emit", "--account", "acme", "--dry-run", *options, log).exit_code == code


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "does not say who pays"),
        (("--account-pattern", "("), "not a regular expression"),
        (("--account-pattern", "^/(.*)"), "needs a group named account"),
        (("--account", "acme", "--rate-limit", "0"), "rate-limit"),
    ],
)
def test_wrong_usage(run: Run, log: Path, arguments: tuple[str, ...], said: str) -> None:
    result = run("emit", *arguments, "--dry-run", log)
    assert result.exit_code == 2
    assert said in result.stderr


def test_an_empty_file(run: Run) -> None:
    result = run("emit", "--account", "acme", "--dry-run", stdin="")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "0 printed" in result.stderr


def test_the_speed_limit_holds_back(run: Run) -> None:
    began = time.monotonic()
    run("emit", "--dry-run", "--rate-limit", "20", stdin=f"{json.dumps(EVENT)}\n" * 10)
    assert time.monotonic() - began >= 0.45


def test_a_terminal_gets_a_progress_bar_and_whole_lines(log: Path, tmp_path: Path) -> None:
    """On a pseudo-terminal: the bar is drawn, and the report of a bad line stands on a line of its own."""
    import os
    import pty
    import re
    import sys

    log.write_bytes(LOG * 2_000)
    master, slave = pty.openpty()
    command = [
        sys.executable,
        "-m",
        "cli.main",
        "emit",
        "--account",
        "a",
        "--dry-run",
        "--rate-limit",
        "8000",
        str(log),
    ]
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "120"}
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=slave, env=environment) as running:
        os.close(slave)
        shown = b""
        while True:
            try:
                piece = os.read(master, 65_536)
            except OSError:  # how Linux says that the other end is closed
                break
            shown += piece
        assert running.wait(20) == 0
    os.close(master)
    lines = re.split(r"[\r\n]+", re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b"", shown).decode())
    assert any(re.search(r"access\.log ━.* [kM]B .*sent, .*bad, .*/s", line) for line in lines)
    assert f"{log}:2: is not in Common or Combined format, or is cut short" in lines
    assert "6,000 printed, 2,000 bad lines" in lines
