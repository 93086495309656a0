"""The demo's two bills, and what it says where they differ."""

import json
from collections import Counter
from typing import Any

import pytest

from cli.demo.demo_report import Bill, Figures, print_report

RATED: list[dict[str, Any]] = [
    {"type": "billed", "charge": "lookup", "decision": "charged", "credits": 20},
    {"type": "billed", "charge": "lookup", "decision": "charged", "credits": 20},
    {"type": "billed", "charge": "lookup", "decision": "duplicate", "credits": 0},
    {"type": "billed", "charge": None, "decision": "unpriced", "credits": 0},
    {"type": "repeated"},
    {"type": "dead_letter", "reason": "too_late"},
]


def stored(sql: str) -> list[dict[str, Any]]:
    if "dead_letters" in sql:
        return [{"reason": "too_late", "letters": 1}]
    return [
        {"charge": "lookup", "decision": "charged", "lines": 2, "credits": "40"},
        {"charge": "lookup", "decision": "duplicate", "lines": 1, "credits": "0"},
        {"charge": "", "decision": "unpriced", "lines": 1, "credits": "0"},
    ]


def rated() -> Bill:
    return Bill.from_rate(json.dumps(output).encode() for output in RATED)


def test_equal_bills() -> None:
    assert rated().differences(Bill.from_clickhouse(stored)) == []
    assert rated().total == 40


def test_every_difference_is_told() -> None:
    other = rated()
    other.credits["lookup", "charged"] += 1
    other.dead_letters = Counter({"undecodable": 1})
    assert rated().differences(other) == [
        "credits of ('lookup', 'charged'): 41, and 40 was expected",
        "dead_letters of too_late: 0, and 1 was expected",
        "dead_letters of undecodable: 1, and 0 was expected",
    ]


def test_the_report(capsys: pytest.CaptureFixture[str]) -> None:
    print_report(rated(), Figures(1_000, 12.0, 2.0, 2, (0.1, 0.3, 0.2)))
    out, err = capsys.readouterr()
    row = next(line.split() for line in out.splitlines() if "lookup" in line)
    assert row == ["lookup", "3", "2", "1", "40"]
    assert "1 unpriced" in out
    assert "too_late" in out
    assert "100 events/s in the other 10.0 s" in err
    assert "200 ms (median), 300 ms (slowest)" in err
