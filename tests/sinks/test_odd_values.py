"""Values at the edges of what the schemas allow come back as they went in."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import Any

import pytest

from sinks.inserts import inserts_of
from sinks.sink import Sink, SinkRejected
from tests.metering.meter import NOON, request
from tests.sinks.old_server import OldServerSink
from tests.sinks.outputs import Log

pytestmark = pytest.mark.slow

YEAR_2200 = 7_258_118_400_000
ODD_TEXTS = [
    "nul\0byte",
    "emoji 🦊👩‍👩‍👧",
    "quote ' \" ` \\ back",
    "line\nfeed\ttab\r",
    "\u202eright to left",
    "𐍈" * 64,
]


def line(**fields: Any) -> dict[str, Any]:
    """A billed line with those fields changed."""
    log = Log()
    log.message(("request", request("e1", NOON, ip="10.0.0.1")))
    ((_, batch),) = log.batches
    return {**batch["events"][0], **fields}


def insert(sink: Sink, name: str, items: str, records: list[dict[str, Any]]) -> None:
    batch = {"source_partition": 2_147_483_647, "source_offset": 2**43, "part": 7, "parts": 9, items: records}
    for rows in inserts_of(name, [batch]):
        sink.insert(*rows)


def as_ms(value: datetime | int | None) -> int | None:
    """A time as ms; 18.16 gives them so."""
    if value is None or isinstance(value, int):
        return value
    delta = value - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * 1000 + delta.microseconds // 1000


@pytest.mark.parametrize("text", ODD_TEXTS)
def test_texts(sink: Sink, text: str) -> None:
    names = ("event_id", "account_id", "endpoint", "channel", "actor", "user_id", "feature", "owner_event_id")
    sent = line(**dict.fromkeys(names, text))
    insert(sink, "BilledBatch", "events", [sent])
    assert sink.query(f"SELECT {', '.join(names)} FROM billed_events").rows == [(text,) * len(names)]


def test_numbers_and_times(sink: Sink) -> None:
    numbers = {
        "balance_after": -(2**63),
        "credits": 2**63 - 1,
        "units": 0,
        "unit_credits": 1_000_000,
        "line": 2**31 - 1,
    }
    times = {"window_ends_at": YEAR_2200 + 1}
    # 18.16 knows no day beyond 2149, so that a time in 2200 is tried only where it can be a day.
    occurred_at = NOON + 7 if isinstance(sink, OldServerSink) else YEAR_2200 + 7
    insert(sink, "BilledBatch", "events", [line(**numbers, **times, occurred_at=occurred_at)])
    names = ["occurred_at", *times, *numbers, "source_offset", "position", "source_partition"]
    (row,) = sink.query(f"SELECT {', '.join(names)} FROM billed_events").rows
    assert [as_ms(value) for value in row[:2]] == [occurred_at, times["window_ends_at"]]
    assert list(row[2:-3]) == list(numbers.values())
    assert row[-3:] == (2**43, 7 << 32, 2**31 - 1)


def test_a_time_that_no_column_holds_is_kept_as_the_last_one_there_is(sink: Sink) -> None:
    change = {
        "grant_id": "g", "account_id": "a", "credit_type": "credit", "status": "applied", "credits": 10**12,
        "expires_at": 2**63 - 1, "balance_after": 10**12, "reason": "", "changed_at": NOON,
    }  # fmt: skip
    insert(sink, "GrantBatch", "grants", [change, {**change, "grant_id": "h", "expires_at": None}])
    rows = sink.query("SELECT expires_at, is_open FROM grants ORDER BY grant_id").rows
    assert [(as_ms(ends), is_open) for ends, is_open in rows] == [(10_413_791_999_999, 1), (None, 1)]
    assert sink.query("SELECT balance FROM balances").rows == [(10**12,)]


def test_maps(sink: Sink) -> None:
    quantities = {"results": 100, "": 10**9, "🦊": 0, "a'b": 1}
    attributes = {f"name {at}": chr(ord("a") + at % 26) * 32_768 for at in range(32)}
    used = [{"grant_id": "g'1", "credits": 5}, {"grant_id": "refund:r", "credits": 15}]
    sent = line(quantities=quantities, attributes=attributes, grants_used=used)
    insert(sink, "BilledBatch", "events", [sent, line(event_id="e2", quantities={}, attributes={}, grants_used=[])])
    rows = sink.query("SELECT quantities, attributes, grants_used FROM billed_events ORDER BY event_id").rows
    kept = [(dict(q), dict(a), [tuple(use) for use in uses]) for q, a, uses in rows]
    assert kept == [(quantities, attributes, [("g'1", 5), ("refund:r", 15)]), ({}, {}, [])]


def test_original_bytes_of_dead_letters(sink: Sink) -> None:
    originals = [bytes(range(256)) * 256, b"", b"\xff", "text é".encode(), b"\xc3\x01\x00"]
    letters = [
        {
            "reason": "undecodable", "field": None, "detail": "d", "command": None, "account_id": None, "id": None,
            "index": None, "producer": None, "recorded_at": NOON, "size": len(original), "original": original,
        }
        for original in originals
    ]  # fmt: skip
    insert(sink, "DeadLetterBatch", "dead_letters", letters)
    rows = sink.query("SELECT original, size, day, `index` FROM dead_letters ORDER BY position").rows
    assert [row[0].encode() if isinstance(row[0], str) else row[0] for row in rows] == originals
    assert rows[0][1:] == (65_536, date(2026, 1, 10), None)


@pytest.mark.parametrize(("field", "value"), [("credits", "ten"), ("line", 2**31), ("event_id", None)])
def test_a_value_that_no_column_holds_is_rejected_by_name(sink: Sink, field: str, value: object) -> None:
    with pytest.raises(SinkRejected) as caught:
        insert(sink, "BilledBatch", "events", [line(**{field: value})])
    assert caught.value.table == "billed_rows"
    assert sink.query("SELECT count() FROM billed_rows").rows == [(0,)]
    insert(sink, "BilledBatch", "events", [line()])  # the connection is as good as before


def test_text_formats_are_utf_8_whatever_the_bytes(sink: Sink) -> None:
    """JSON is read by programs that refuse anything else; hex() brings the bytes as they are."""
    original = b"\xc3\x01\xffA"
    letter = {
        "reason": "undecodable", "field": None, "detail": "d", "command": None, "account_id": None, "id": None,
        "index": None, "producer": None, "recorded_at": NOON, "size": len(original), "original": original,
    }  # fmt: skip
    insert(sink, "DeadLetterBatch", "dead_letters", [letter])
    text = sink.query_text("SELECT original, hex(original) AS hexed FROM dead_letters", "JSONEachRow")
    assert json.loads(text.decode()) == {"original": "\ufffd\x01\ufffdA", "hexed": "C301FF41"}
