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


def test_a_last_line_without_its_end_is_said_and_not_sent(run: Run, tmp_path: Path) -> None:
    """A log that is read while its last line is being written, and again when it is whole."""
    lines = [
        b'1.1.1.%d - - [05/Jan/2026:10:00:00 +0000] "GET / HTTP/1.1" 200 5 "-" "-" "1.2.3.4"\n' % n for n in range(3)
    ]
    whole = b"".join(lines)
    path = tmp_path / "a.log"
    ids: list[list[str]] = []
    for content in (whole[:-1], whole[:-5], whole):
        for file_bytes in (content, gzip.compress(content)):
            path.write_bytes(file_bytes)
            printed = run("emit", "--account", "acme", "--dry-run", path)
            assert printed.exit_code == 0
            ids.append([json.loads(line)["event_id"] for line in printed.stdout.splitlines()])
            assert ("a.log: line 3 has no end yet and was not sent" in printed.stderr) is (content != whole)
    assert [len(own_id) for own_id in ids] == [2, 2, 2, 2, 3, 3]
    assert all(own_id == ids[-1][: len(own_id)] for own_id in ids)
    complete = run("emit", "--account", "acme", "--dry-run", "--last-line-complete", stdin=whole[:-1])
    assert [json.loads(line)["event_id"] for line in complete.stdout.splitlines()] == ids[-1]


def test_of_ndjson_a_whole_object_is_finished_and_a_part_of_one_is_not(run: Run) -> None:
    text = json.dumps(EVENT)
    for cut in (text[:-1], text[:20]):
        printed = run("emit", "--dry-run", stdin=f"{text}\n{cut}")
        assert (len(printed.stdout.splitlines()), printed.exit_code) == (1, 0)
        assert "-: line 2 has no end yet and was not sent" in printed.stderr
        assert "1 printed, 0 bad lines" in printed.stderr
        assert run("emit", "--dry-run", "--strict", stdin=f"{text}\n{cut}").exit_code == 1
    assert run("emit", "--dry-run", stdin=text[:-1]).exit_code == 1, "nothing was sent"
    whole = run("emit", "--dry-run", "--strict", stdin=f"{text}\n{text}")
    assert (len(whole.stdout.splitlines()), whole.exit_code) == (2, 0)
    assert "no end" not in whole.stderr


def test_lines_without_an_address_are_counted(run: Run, log: Path) -> None:
    rest = ' - - [05/Jan/2026:10:00:00 +0000] "GET / HTTP/1.1" 200 5 "-" "-"\n'
    printed = run("emit", "--account", "a", "--dry-run", stdin=f"1.2.3.4{rest}crawler.example.com{rest}unix:{rest}")
    assert "3 printed, 0 bad lines; 2 lines have no address" in printed.stderr
    assert "no address" not in run("emit", "--account", "acme", "--dry-run", log).stderr
    assert "no address" not in run("emit", "--dry-run", stdin=json.dumps(EVENT) + "\n").stderr


def test_formats_by_name_and_by_fields(run: Run) -> None:
    line = '1.2.3.4 - - [05/Jan/2026:10:00:00 +0000] "GET / HTTP/1.1" 200 5 "-" "-"'
    wrapped = f"2026-01-05T10:00:00Z stdout F {line}\n"

    def sent(stdin: str, *options: str) -> int:
        return len(run("emit", "--account", "a", "--dry-run", *options, stdin=stdin).stdout.splitlines())

    assert sent(wrapped) == sent(wrapped, "--format", "cri") == sent(line + "\n", "--format", "combined") == 1
    assert sent(wrapped, "--format", "combined") == sent(line + "\n", "--format", "cri") == 0
    fields = '$remote_addr - - [$time_local] "$request" $status $rest'
    assert sent(line + "\n", "--log-format", fields) == sent(wrapped, "--log-format", fields, "--format", "cri") == 1
    assert sent(wrapped, "--log-format", fields) == 0


def test_a_json_array_is_named_and_nothing_of_it_is_sent(run: Run) -> None:
    for options in ([], ["--account", "a"], ["--format", "ndjson"]):
        for text in (json.dumps([EVENT, EVENT]), json.dumps([EVENT, EVENT], indent=1)):
            printed = run("emit", "--dry-run", *options, stdin=text + "\n")
            assert (printed.exit_code, printed.stdout) == (1, "")
            assert "is a JSON array: one object a line is needed" in printed.stderr


def test_a_compressed_file_that_breaks_off_says_what_was_sent(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "log.gz"
    path.write_bytes(gzip.compress(b"".join(LOG + b"%d\n" % number for number in range(500)))[:-100])
    printed = run("emit", "--account", "a", "--dry-run", path)
    assert printed.exit_code == 1
    sent = len(printed.stdout.splitlines())
    assert "cannot be read after line" in printed.stderr
    assert f"({sent:,} printed, " in printed.stderr


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
        "-:3: type: is not request, hold, refund, grant or account",
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
        (("--log-format", "$remote_addr"), "--log-format: does not say the time"),
        (("--log-format", '%h %t "%r" %>s', "--format", "common", "--account", "a"), "--log-format: goes with"),
        (("--account-pattern", "(?=x)(?P<account>a)"), "what RE2 does not know"),
        (("--account-pattern", "("), "not a regular expression"),
        (("--account-pattern", "^/(.*)"), "needs a group named account"),
        (("--account", "acme", "--rate-limit", "0"), "rate-limit"),
    ],
)
def test_wrong_usage(run: Run, log: Path, arguments: tuple[str, ...], said: str) -> None:
    result = run("emit", *arguments, "--dry-run", log)
    assert result.exit_code == 2
    assert said in result.stderr


def test_a_pattern_that_backtracks_for_ever_elsewhere_ends(run: Run) -> None:
    line = '1.1.1.1 - - [05/Jan/2026:10:00:00 +0000] "GET /{}{} HTTP/1.1" 200 5 "-" "-"\n'
    log = line.format("a" * 10_000, "!") + line.format("aaa", "")
    printed = run("emit", "--account-pattern", "^/(?P<account>(a+)+)$", "--dry-run", stdin=log)
    assert printed.exit_code == 0
    assert [json.loads(event)["account_id"] for event in printed.stdout.splitlines()] == ["aaa"]
    assert "-:1: " in printed.stderr


def test_a_file_in_no_known_format_asks_for_its_name(run: Run) -> None:
    result = run("emit", "--dry-run", stdin="event_id,account_id\ne,a\n")
    assert result.exit_code == 2
    assert "neither NDJSON nor a log in a known format" in result.stderr


def test_an_empty_file(run: Run) -> None:
    result = run("emit", "--account", "acme", "--dry-run", stdin="")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "0 printed" in result.stderr


def test_the_speed_limit_holds_back(run: Run) -> None:
    began = time.monotonic()
    run("emit", "--dry-run", "--rate-limit", "20", stdin=f"{json.dumps(EVENT)}\n" * 10)
    assert time.monotonic() - began >= 0.45


@pytest.mark.slow
def test_a_terminal_gets_a_progress_bar_and_whole_lines(log: Path, tmp_path: Path) -> None:
    """On a pseudo-terminal: the bar is drawn, and the report of a bad line stands on a line of its own."""
    import os
    import pty
    import re
    import sys

    log.write_bytes(LOG * 500)
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
        "2000",
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
    assert "1,500 printed, 500 bad lines" in lines
