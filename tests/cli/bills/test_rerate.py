"""`creditmeter rerate` on a real pipeline: rehearsed, published, applied, and then nothing is left to correct."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from application.wording import shown_time
from local.shared import SharedKafka
from tests.command import BOOK, own_ports, worker_and_loader

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

Run = Callable[..., Result]
DAY = 86_400_000
NOW = int(time.time() * 1_000)
OLD_DAY = NOW // DAY * DAY - 60 * DAY
NEW_BOOK = BOOK.replace("credits: 20", "credits: 15").replace("2026-01-01", shown_time(OLD_DAY)[:10])
OLD_BOOK = NEW_BOOK.replace("credits: 15", "credits: 20")
RANGE = ("--from", shown_time(OLD_DAY)[:10], "--to", shown_time(NOW // DAY * DAY + 2 * DAY)[:10])


@pytest.fixture
def pipeline(kafka: SharedKafka, run: Run, tmp_path: Path) -> Iterator[Run]:
    """The command in a folder of its own, with worker and loader running, two books, and the old one in force."""
    (tmp_path / "creditmeter.toml").write_text(
        f'bootstrap_servers = "{kafka.bootstrap}"\ntopic_prefix = "{kafka.fresh_prefix()}"\npartitions = 2\n'
        + own_ports()
    )
    (tmp_path / "old.yaml").write_text(OLD_BOOK)
    (tmp_path / "new.yaml").write_text(NEW_BOOK)
    with worker_and_loader():
        assert run("prices", "publish", "old.yaml").exit_code == 0
        yield run


def lookup(event_id: str, account_id: str, at: int, number: int) -> dict[str, Any]:
    return {
        "event_id": event_id, "account_id": account_id, "occurred_at": at, "endpoint": "/v1/ip-lookup",
        "channel": "api", "ip": f"192.0.2.{number}",
    }  # fmt: skip


def send(run: Run) -> None:
    """For each of four accounts: two look-ups 60 days ago, three an hour ago, and one of them again."""
    lines: list[dict[str, Any]] = []
    for account_id in ("a", "b", "c", "d"):
        lines += [lookup(f"old{n}", account_id, OLD_DAY + n, n) for n in range(2)]
        lines += [lookup(f"new{n}", account_id, NOW - 3_600_000, n) for n in range(3)]
        lines.append(lookup("again", account_id, NOW - 1_800_000, 0))
    sent = run("emit", stdin="\n".join(map(json.dumps, lines)))
    assert sent.exit_code == 0, sent.stderr


def rerated(run: Run, *options: str) -> list[dict[str, Any]]:
    """Everything that a re-rating with the new book prints."""
    result = run("rerate", "--prices", "new.yaml", *RANGE, "--json", *options)
    assert result.exit_code == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def of_type(rows: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    return [row for row in rows if row["type"] == name]


def check_what_a_person_reads(pipeline: Run) -> None:
    shown = pipeline("rerate", "--prices", "new.yaml", *RANGE)
    assert shown.exit_code == 0
    header, *rows = [line.split() for line in shown.stdout.splitlines() if line.strip("─ ")]
    assert header == ["account", "charge", "credit", "type", "events", "changed", "was", "would", "be", "difference"]
    assert rows[0] == ["a", "ip-lookup", "credit", "5", "5", "100", "75", "-25"]
    assert "12 refunds and 4 grants would correct it: --apply sends them" in shown.stderr
    with_page = pipeline("rerate", "--prices", "new.yaml", "--from", "2000-01-01", "--to", "2001-01-01")
    assert "No line would have cost anything else." in with_page.stdout
    assert "note: new.yaml has no prices before" in with_page.stderr
    backwards = pipeline("rerate", "--prices", "new.yaml", "--from", "2026-02-01", "--to", "2026-01-01")
    assert backwards.exit_code == 2
    assert "--from must be before --to" in backwards.stderr
    no_plan = pipeline("prices", "publish", "--rerated", "old.yaml", "new.yaml")
    assert no_plan.exit_code == 2
    assert "not the plan of a re-rating" in no_plan.stderr


def test_told_published_applied_and_settled(pipeline: Run, tmp_path: Path) -> None:
    run = pipeline
    send(run)
    check_what_a_person_reads(run)
    rows = rerated(run, "--plan", "plan.ndjson")
    (result,) = of_type(rows, "result")
    assert result["totals"] == {
        "credit": {
            "was": 400, "would_be": 300, "difference": -100, "refunds": 60, "grants": 40, "not_collected": 0,
        },
    }  # fmt: skip
    assert (result["events"], result["refunds"], result["grants"]) == (24, 12, 4)
    assert [difference["difference"] for difference in of_type(rows, "difference")] == [-25] * 4
    kept = [json.loads(line) for line in (tmp_path / "plan.ndjson").read_text().splitlines()]
    assert kept == [{**result, "type": "plan"}, *of_type(rows, "correction")]
    granted = [correction for correction in kept[1:] if correction["command"] == "grant"]
    assert [grant["events"] for grant in granted] == [["old0", "old1"]] * 4
    one = of_type(rerated(run, "--account", "a"), "result")[0]
    assert (one["accounts"], one["refunds"], one["grants"]) == (["a"], 3, 1)

    refused = run("prices", "publish", "new.yaml")
    assert refused.exit_code == 1
    assert "versions[0].charges[1].credits: 20 -> 15" in refused.stderr
    published = run("prices", "publish", "--rerated", "plan.ndjson", "new.yaml")
    assert published.exit_code == 0, published.stderr

    (applied,) = of_type(rerated(run, "--apply"), "applied")
    assert (applied["refunds"], applied["grants"], applied["refused"]) == (12, 4, 0)
    (settled,) = of_type(rerated(run), "result")
    assert (settled["totals"]["credit"]["was"], settled["totals"]["credit"]["difference"]) == (300, 0)
    (again,) = of_type(rerated(run, "--apply"), "applied")
    assert (again["refunds"], again["grants"]) == (0, 0)

    late = lookup("late", "a", NOW - 7_200_000, 77)
    assert run("emit", stdin=json.dumps(late)).exit_code == 0
    shown = run("rerate", "--prices", "new.yaml", *RANGE)
    assert "No line would have cost anything else." in shown.stdout
    assert "25 events in the range" in shown.stderr
    audited = run("audit")
    assert (audited.exit_code, "0 differences: clean" in audited.stdout) == (0, True), audited.stdout + audited.stderr
    prefix = f"rerate:{applied['plan_id']}:"
    for table, own_id, expected in (("refunds", "refund_id", (12, 60)), ("grants", "grant_id", (4, 40))):
        sql = f"SELECT count() AS n, sum(credits) AS credits FROM {table} WHERE startsWith({own_id}, '{prefix}')"
        row = json.loads(run("query", "--format", "ndjson", sql).stdout)
        assert (int(row["n"]), int(row["credits"])) == expected
    assert not list((tmp_path / ".creditmeter" / "scratch").iterdir()), "its scratch folder is removed"
