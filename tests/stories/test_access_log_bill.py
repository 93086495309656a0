"""A real access log, billed by the whole pipeline, and the same bill worked out by hand from the raw file."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from local.ports import free_ports
from local.shared import SharedKafka
from streams.log.partitioner import partition_of
from tests.forked_command import ForkedCommand
from tests.harness import PATIENCE

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

REAL_LOG = Path(__file__).parents[3] / "shared" / "data" / "apache_combined_2015.log"
PAGE, LOOKUP = 1, 20
BOOK = f"""\
versions:
  - version: "2015"
    effective_from: 2015-01-01T00:00:00Z
    charges:
      - charge: pageview
        when: {{channel: web}}
        credits: {PAGE}
      - charge: ip-lookup
        when: {{channel: web}}
        credits: {LOOKUP}
        unique: {{by: [ip], within: 24h}}
"""
TOTALS = (
    "SELECT charge, decision, count() AS lines, sum(credits) AS credits FROM billed_events "
    "WHERE account_id = 'acme' GROUP BY charge, decision ORDER BY charge, decision"
)
LINE = re.compile(r'(\S+) \S+ \S+ \[([^\]]+)\] "(?:[^"\\]|\\.)*" (\d{3}) \S+ "(?:[^"\\]|\\.)*" "(?:[^"\\]|\\.)*"')

Totals = dict[tuple[str, str], tuple[int, int]]
"""(charge, decision) -> (lines, credits)."""


@pytest.fixture
def access_log() -> Path:
    path = Path(os.environ.get("CREDITMETER_TEST_ACCESS_LOG", REAL_LOG))
    if not path.is_file():
        pytest.fail(f"the access log is not at {path}: set CREDITMETER_TEST_ACCESS_LOG to where it is", pytrace=False)
    return path


def by_hand(path: Path) -> tuple[Totals, int]:
    """What the file comes to, and how many of its lines are no log lines: nothing of ours is used here."""
    totals: Totals = {}
    paid: dict[str, list[datetime]] = {}
    bad = 0

    def count(charge: str, decision: str, amount: int) -> None:
        lines, sum_ = totals.get((charge, decision), (0, 0))
        totals[charge, decision] = (lines + 1, sum_ + amount)

    for text in path.read_text(encoding="utf-8", errors="replace").split("\n"):
        if not text:
            continue
        match = LINE.match(text)
        if match is None:
            bad += 1
            continue
        ip, at, status = match[1], datetime.strptime(match[2], "%d/%b/%Y:%H:%M:%S %z"), int(match[3])
        if status >= 400:  # all that is neither 2xx nor 3xx in a log that ends at 5xx
            count("", "not_billable", 0)
            continue
        count("pageview", "charged", PAGE)
        if any(abs(at - charged) < timedelta(hours=24) for charged in paid.get(ip, ())):
            count("ip-lookup", "duplicate", 0)
        else:
            paid.setdefault(ip, []).append(at)
            count("ip-lookup", "charged", LOOKUP)
    return totals, bad


class Stack:
    """The commands, as processes of their own that share one configuration."""

    def __init__(self, folder: Path, bootstrap: str, prefix: str) -> None:
        self.folder = folder
        self.config = folder / "creditmeter.toml"
        self.config.write_text(
            f'bootstrap_servers = "{bootstrap}"\ntopic_prefix = "{prefix}"\npartitions = 4\nsession_timeout = 2\n'
            f'data_dir = "{folder}/data"\nquery_port = {free_ports(1)[0]}\n'
        )
        self.started: dict[str, ForkedCommand] = {}

    def run(self, *arguments: str | Path) -> tuple[str, str]:
        """What the command printed: to standard output, and to standard error."""
        out, err = self.folder / "out", self.folder / "err"
        for path in (out, err):
            path.unlink(missing_ok=True)
        code = self._command(arguments, err, out).wait(PATIENCE)
        assert code == 0, err.read_text()
        return out.read_text(), err.read_text()

    def _command(self, arguments: Iterable[str | Path], log: Path, out: Path | None = None) -> ForkedCommand:
        return ForkedCommand([*map(str, arguments), "--config", str(self.config)], log, out=out)

    def start(self, name: str) -> None:
        ready = self.folder / f"{name}.ready"
        self.started[name] = self._command((name, "--ready-file", ready), self.folder / f"{name}.log")
        self.wait_for(ready.exists)

    def wait_for(self, holds: Any, seconds: float = PATIENCE, pause: float = 0.2) -> None:
        until = time.monotonic() + seconds
        while not holds():
            for name, process in self.started.items():
                log = (self.folder / f"{name}.log").read_text()[-3_000:]
                assert process.poll() is None, f"{name} ended by itself:\n{log}"
                assert time.monotonic() < until, f"not within {seconds} s; {name} says:\n{log}"
            time.sleep(pause)

    def query(self, sql: str) -> list[dict[str, Any]]:
        return list(json.loads(self.run("query", "--format", "json", sql)[0]))

    def totals(self) -> Totals:
        rows = self.query(TOTALS)
        return {(row["charge"] or "", row["decision"]): (int(row["lines"]), int(row["credits"])) for row in rows}

    def close(self) -> None:
        for process in self.started.values():
            process.kill()
            process.wait()


@pytest.fixture
def stack(kafka: SharedKafka, tmp_path: Path) -> Iterator[Stack]:
    made = Stack(tmp_path, kafka.bootstrap, kafka.fresh_prefix())
    yield made
    made.close()


def test_the_bill_of_a_real_log(stack: Stack, access_log: Path, tmp_path: Path) -> None:
    """Emitted, rated, loaded and added up in ClickHouse; emitted again, under another name, it adds nothing."""
    expected, bad = by_hand(access_log)
    book = tmp_path / "book.yaml"
    book.write_text(BOOK)
    stack.start("worker")
    stack.start("load")
    stack.run("prices", "publish", book)

    _, sent = stack.run("emit", "--account", "acme", access_log)
    assert f"{bad:,} bad line" in sent, sent
    stack.wait_for(lambda: sum(lines for lines, _ in stack.totals().values()) >= _lines(expected), pause=1.0)
    totals = stack.totals()
    print(f"{access_log.name}: {totals}; {sum(amount for _, amount in totals.values())} credits, {bad} bad lines")
    assert totals == expected

    again = tmp_path / "the same under another name.log"
    again.write_bytes(access_log.read_bytes())
    stack.run("emit", "--account", "acme", again)
    _send_marker(stack, tmp_path)
    stack.wait_for(lambda: bool(stack.query("SELECT event_id FROM billed_events WHERE event_id = 'marker'")), pause=1.0)
    assert stack.totals() == expected
    assert stack.query("SELECT count() AS letters FROM dead_letters")[0]["letters"] in {0, "0"}


def _lines(totals: Totals) -> int:
    return sum(lines for lines, _ in totals.values())


def _send_marker(stack: Stack, folder: Path) -> None:
    """An event of an account in acme's own partition: it is rated and loaded after all that was sent before it."""
    account = next(
        name for name in map("marker-{}".format, range(100)) if partition_of(name, 4) == partition_of("acme", 4)
    )
    event = {
        "event_id": "marker", "account_id": account, "occurred_at": 1_431_857_103_000, "endpoint": "/",
        "channel": "web", "outcome": "processed",
    }  # fmt: skip
    path = folder / "marker.ndjson"
    path.write_text(json.dumps(event) + "\n")
    stack.run("emit", path)
