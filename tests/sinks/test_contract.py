"""What every sink does, over each of them."""

from __future__ import annotations

import random
from typing import Any

import pytest

from sinks.current import Rows, current_account
from sinks.migrate import check_schema, migrate, migrations
from sinks.parameters import Parameters
from sinks.sink import Limits, Sink, SinkRejected
from streams.clock import now_ms
from tests.metering.meter import DAY, HOUR, NOON, account, book, charge, grant, refund, request
from tests.sinks.conftest import TABLES, empty
from tests.sinks.outputs import Log, held_log, load, load_records, random_log
from tests.sizes import times_size

pytestmark = pytest.mark.slow

ORDERED_VIEWS = {
    "billed_events": "account_id, occurred_at, event_id, line",
    "refunds": "account_id, refund_id, line",
    "grants": "account_id, grant_id, status",
    "dead_letters": "source_offset, position",
    "alerts": "source_offset, position",
    "daily_usage": "day, account_id, endpoint, feature, action, credit_type",
    "balances": "account_id, credit_type",
    "hold_changes": "source_offset, position",
    "holds": "account_id, hold_id",
    "account_changes": "source_offset, position",
    "accounts": "account_id",
}


def contents(sink: Sink) -> dict[str, list[tuple[object, ...]]]:
    """Everything that analysts can see."""
    return {view: sink.query(f"SELECT * FROM {view} ORDER BY {key}").rows for view, key in ORDERED_VIEWS.items()}


def rows_by_name(sink: Sink) -> Rows:
    """The sink as `current_account` asks it."""

    def rows(sql: str, parameters: Parameters) -> list[dict[str, Any]]:
        result = sink.query(sql, parameters=parameters)
        return [dict(zip(result.columns, row, strict=True)) for row in result.rows]

    return rows


def test_a_new_database_is_migrated_once(sink: Sink) -> None:
    assert migrate(sink) == []
    assert migrate(sink, dry_run=True) == []
    check_schema(sink)
    applied = sink.query("SELECT number, name FROM schema_migrations FINAL ORDER BY number").rows
    assert applied == [(step.number, step.name) for step in migrations()]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(times_size(2)))
def test_the_same_batches_again_in_pieces_or_in_another_order_change_no_view(sink: Sink, seed: int) -> None:
    batches = random_log(seed).batches
    load(sink, batches)
    expected = contents(sink)
    assert all(
        expected[view] for view in ORDERED_VIEWS if view not in ("alerts", "dead_letters", "holds", "hold_changes")
    )

    rng = random.Random(seed)
    load(sink, batches)
    assert contents(sink) == expected

    empty(sink)
    shuffled = rng.choices(batches, k=len(batches)) + rng.sample(batches, len(batches))
    while shuffled:
        size = rng.randrange(1, 30)
        load(sink, shuffled[:size])
        del shuffled[:size]
    assert contents(sink) == expected


def test_rows_from_bytes_are_those_from_records(sink: Sink) -> None:
    """The loader's way and the one of the audit and of foreign schemas: every table has the same rows after either."""
    log = random_log(7)
    log.batches += held_log(7, NOON).batches
    log.message(("request", request("odd", NOON, ip="no address")))
    hashes = []
    for fill in (load, load_records):
        empty(sink)
        fill(sink, log.batches)
        rows = {table: sink.query(f"SELECT * FROM {table} ORDER BY source_offset, position").rows for table in TABLES}
        hashes.append({table: sorted(map(repr, some)) for table, some in rows.items()})
    assert all(hashes[0].values())
    assert hashes[0] == hashes[1]


@pytest.mark.parametrize("seed", range(times_size(3)))
def test_balances_are_the_machine_s_own_with_lapsed_grants_gone(sink: Sink, seed: int) -> None:
    log = random_log(100 + seed)
    load(sink, log.batches)
    now = NOON + 300 * DAY + (2_000 * DAY)
    rows = sink.query("SELECT account_id, credit_type, balance, lapsed, balance_after FROM balances").rows
    assert rows
    for account_id, credit_type, balance, lapsed, balance_after in rows:
        assert balance == log.balance_at(account_id, credit_type, now), (account_id, credit_type)
        assert lapsed == balance_after - balance >= 0
    for who in ("acme", "zenith"):
        read = current_account(rows_by_name(sink), who, now).balances
        assert {name: value.balance for name, value in read.items()} == {
            row[1]: row[2] for row in rows if row[0] == who
        }


@pytest.mark.parametrize("seed", range(times_size(2)))
def test_held_and_available_are_the_machine_s_own_at_this_moment(sink: Sink, seed: int) -> None:
    log = held_log(seed, now_ms())
    load(sink, log.batches)
    load(sink, random.Random(seed).sample(log.batches, len(log.batches)))
    rows = sink.query("SELECT account_id, credit_type, balance, held, available, source_offset FROM balances").rows
    now = now_ms()
    assert sum(row[3] for row in rows) > 0
    for account_id, credit_type, balance, held, available, _ in rows:
        state = log.meter.state.account(account_id)
        assert balance == log.balance_at(account_id, credit_type, now)
        assert held == state.holds.set_aside_at(credit_type, now)
        assert available == balance - held
    for who in ("acme", "zenith"):
        read = current_account(rows_by_name(sink), who, now)
        own = {row[1]: row[2:5] for row in rows if row[0] == who}
        assert {name: (value.balance, value.held, value.available) for name, value in read.balances.items()} == own
        account = log.meter.state.account(who)
        assert read.settings.on_empty == account.on_empty
        assert read.settings.alert_below == account.alert_below
        assert {opened.hold_id: opened.remaining for opened in read.holds} == {
            name: dict(opened.remaining) for name, opened in account.holds.by_id.items() if opened.expires_at > now
        }
        left = {given.grant_id: given.left for balance in account.balances.values() for given in balance.grants}
        assert all(one.remaining in {None, left.get(one.grant_id, 0)} for one in read.grants)
        assert {given.grant_id for given in read.grants} == {
            given.grant_id for balance in account.balances.values() for given in balance.grants
            if (given.expires_at is None or given.expires_at > now) and not given.grant_id.startswith("refund:")
        }  # fmt: skip
    opened = sink.query("SELECT account_id, hold_id FROM holds WHERE is_open = 1 ORDER BY account_id, hold_id").rows
    assert opened == sorted(
        (who, name)
        for who in ("acme", "zenith")
        for name, hold in log.meter.state.account(who).holds.by_id.items()
        if hold.expires_at > now
    )
    changes = sink.query("SELECT count(), uniqExact(status) FROM hold_changes").rows
    assert changes[0][0] == sum(len(batch["holds"]) for name, batch in log.batches if name == "HoldBatch")
    assert changes[0][1] >= 5
    settings = {who: log.meter.state.account(who) for who in ("acme", "zenith")}
    for who, on_empty in sink.query("SELECT account_id, on_empty FROM accounts").rows:
        assert on_empty == settings[who].on_empty


def test_a_refund_names_the_call_of_its_line_also_where_the_event_id_came_again(sink: Sink) -> None:
    log = Log(book(charge("lookup", 20, feature="Identification", action="IP lookup"), accept_window="1h"))
    log.message(("request", request("same", NOON, actor="ann", endpoint="/v1/lookup")))
    log.message(("refund", refund("r1", "same", NOON + 1)))
    log.message(("account", account("u1", NOON + 3 * HOUR)))
    log.message(("request", request("same", NOON + 3 * HOUR, actor="bob", endpoint="/v2/lookup")))
    log.message(("refund", refund("r2", "same", NOON + 3 * HOUR + 1)))
    log.message(("refund", refund("r3", "never", NOON + 3 * HOUR + 2)))
    load(sink, log.batches)
    load(sink, log.batches)
    columns = "refund_id, actor, feature, action, endpoint, isNull(occurred_at)"
    rows = sink.query(f"SELECT {columns} FROM refunds ORDER BY refund_id").rows
    # 18.16 gives an empty text in place of null where no line is found.
    assert [tuple(None if value == "" else value for value in row) for row in rows] == [
        ("r1", "ann", "Identification", "IP lookup", "/v1/lookup", 0),
        ("r2", "bob", "Identification", "IP lookup", "/v2/lookup", 0),
        ("r3", None, None, None, None, 1),
    ]


def test_a_grant_past_its_end_is_gone_though_no_command_has_come(sink: Sink) -> None:
    log = Log()
    log.message(("grant", grant("ends", 100, NOON, expires_at=NOON + DAY)))
    log.message(("grant", grant("stays", 50, NOON + 1)))
    log.message(("request", request("e1", NOON + 2, ip="10.0.0.1")))
    log.message(("refund", refund("r1", "e1", NOON + 3, charge="lookup", credits=5)))
    load(sink, log.batches)
    assert sink.query("SELECT * FROM balances").dicts() == [
        {
            "account_id": "acme",
            "credit_type": "credit",
            "balance": 50,
            "lapsed": 85,
            "balance_after": 135,
            "held": 0,
            "available": 50,
            "source_offset": 3,
        }
    ]
    assert sink.query("SELECT grant_id, credits FROM lapsed_grants").rows == [("ends", 85)]
    assert sink.query("SELECT grant_id, is_open FROM grants ORDER BY grant_id").rows == [("ends", 0), ("stays", 1)]


def test_an_event_id_accepted_anew_counts_twice(sink: Sink) -> None:
    log = Log()
    log.message(("request", request("same", NOON, ip="10.0.0.1")))
    log.message(("account", account("u1", NOON + 40 * DAY)))
    log.message(("request", request("same", NOON + 40 * DAY, ip="10.0.0.2")))
    load(sink, log.batches)
    load(sink, log.batches)
    assert sink.query("SELECT count(), sum(credits) FROM billed_events").rows == [(2, 40)]
    assert sink.query("SELECT sum(events), sum(lines) FROM daily_usage").rows == [(2, 2)]


def test_an_event_id_accepted_anew_on_the_same_day_counts_twice(sink: Sink) -> None:
    log = Log(book(charge("lookup", 20), accept_window="1h"))
    log.message(("request", request("same", NOON)))
    log.message(("account", account("u1", NOON + 3 * HOUR)))
    log.message(("request", request("same", NOON + 3 * HOUR)))
    load(sink, log.batches)
    assert sink.query("SELECT count(), sum(credits) FROM billed_events").rows == [(2, 40)]
    assert sink.query("SELECT events, lines, credits FROM daily_usage").rows == [(2, 2, 40)]


def balance(sink: Sink, log: Log) -> tuple[int, int]:
    """The account's (balance, lapsed) in credits, after loading the log."""
    load(sink, log.batches)
    ((balance, lapsed),) = sink.query("SELECT balance, lapsed FROM balances WHERE credit_type = 'credit'").rows
    assert balance == log.balance_at("acme", "credit", NOON + 300 * DAY)
    return balance, lapsed


def test_the_last_of_a_batch_is_a_charge_after_a_grant_that_ended_in_it(sink: Sink) -> None:
    log = Log()
    log.message(("grant", grant("ends", 100, NOON, expires_at=NOON + HOUR)))
    log.message(("grant", grant("stays", 1000, NOON + 1)))
    events = [request("e1", NOON + 2, ip="10.0.0.1"), request("e2", NOON + 2 * HOUR, ip="10.0.0.2")]
    log.message(*(("request", event) for event in events))
    assert balance(sink, log) == (980, 0)


def test_the_last_of_a_batch_is_a_grant_that_ended_after_its_charges(sink: Sink) -> None:
    log = Log(book(charge("lookup", 20, when={"endpoint": "/v1/lookup"})))
    log.message(("grant", grant("ends", 100, NOON, expires_at=NOON + HOUR)))
    events = [request("e1", NOON + 2), request("e2", NOON + 2 * HOUR, endpoint="/unpriced")]
    log.message(*(("request", event) for event in events))
    assert balance(sink, log) == (0, 0)


def test_a_refund_comes_after_the_grants_that_ended_before_it(sink: Sink) -> None:
    log = Log()
    log.message(("grant", grant("stays", 20, NOON)))
    log.message(("request", request("e1", NOON + 1, ip="10.0.0.1")))
    log.message(("grant", grant("ends", 100, NOON + 2, expires_at=NOON + HOUR)))
    log.message(("refund", refund("r1", "e1", NOON + 2 * HOUR)))
    assert balance(sink, log) == (20, 0)


def test_a_refund_that_fills_debt_gives_a_lapsed_grant_nothing_back(sink: Sink) -> None:
    log = Log()
    log.message(("grant", grant("ends", 10, NOON, expires_at=NOON + DAY)))
    log.message(("request", request("e1", NOON + 1, ip="10.0.0.1")))
    log.message(("refund", refund("r1", "e1", NOON + 2, charge="lookup", credits=10)))
    log.message(("grant", grant("stays", 5, NOON + 3)))
    assert balance(sink, log) == (5, 0)


def test_credits_forfeited_are_not_in_a_grant_that_ended_unheard(sink: Sink) -> None:
    """The grant's end passes with an account update, which no output tells; the refund's own time is before it."""
    log = Log()
    log.message(("grant", grant("ends", 20, NOON, expires_at=NOON + DAY)))
    log.message(("request", request("e1", NOON + 1, ip="10.0.0.1")))
    log.message(("account", account("u1", NOON + 2 * DAY)))
    log.message(("refund", refund("r1", "e1", NOON + 2)))
    assert balance(sink, log) == (0, 0)
    assert sink.query("SELECT forfeited FROM refunds").rows == [(20,)]


def test_a_rejected_insert_names_table_and_column(sink: Sink) -> None:
    with pytest.raises(SinkRejected, match="number") as caught:
        sink.insert("schema_migrations", {"number": ["seven"], "name": ["x"], "checksum": ["y"]})
    assert caught.value.table == "schema_migrations"
    assert caught.value.column == "number"
    with pytest.raises(SinkRejected, match="no_such_table"):
        sink.insert("no_such_table", {"a": [1]})
    with pytest.raises(SinkRejected, match="differ in length"):
        sink.insert("schema_migrations", {"number": [7], "name": ["x", "y"], "checksum": ["y"]})
    check_schema(sink)


def test_inserting_nothing_does_nothing(sink: Sink) -> None:
    sink.insert("billed_rows", {})
    sink.insert("billed_rows", {"event_id": []})
    assert sink.query("SELECT count() FROM billed_rows").rows == [(0,)]


def test_results_carry_names_types_and_python_s_values(sink: Sink) -> None:
    result = sink.query("SELECT 1 AS a, 'x''y\n' AS b, NULL AS c, [1, 2] AS d, toDate('2026-01-02') AS e, -0.5 AS f")
    assert result.columns == ["a", "b", "c", "d", "e", "f"]
    assert result.types[:2] == ["UInt8", "String"]
    assert [str(value) for value in result.rows[0]] == ["1", "x'y\n", "None", "[1, 2]", "2026-01-02", "-0.5"]


def test_a_result_beyond_the_limits_is_refused_and_never_cut(sink: Sink) -> None:
    with pytest.raises(SinkRejected, match="LIMIT"):
        sink.query("SELECT number FROM system.numbers LIMIT 100000", limits=Limits(rows=1000))
    with pytest.raises(SinkRejected, match="takes too much"):
        sink.query("SELECT max(number) FROM system.numbers", limits=Limits(seconds=1))


@pytest.mark.parametrize("output_format", ["CSV", "CSVWithNames", "JSONEachRow", "TabSeparated", "Pretty", "vertical"])
def test_text_formats(sink: Sink, output_format: str) -> None:
    sql = "SELECT toInt64(number) AS n, 'a\"b\tc' AS text, NULL AS none FROM system.numbers LIMIT 2"
    expected = {
        "CSV": '0,"a""b\tc",\\N\n1,"a""b\tc",\\N\n',
        "CSVWithNames": '"n","text","none"\n0,"a""b\tc",\\N\n1,"a""b\tc",\\N\n',
        "JSONEachRow": '{"n":0,"text":"a\\"b\\tc","none":null}\n{"n":1,"text":"a\\"b\\tc","none":null}\n',
        "TabSeparated": '0\ta"b\\tc\t\\N\n1\ta"b\\tc\t\\N\n',
    }
    text = sink.query_text(sql, output_format).decode()
    if output_format in expected:
        assert text == expected[output_format]
    else:
        assert 'a"b' in text
        assert "none" in text


def test_an_unknown_format_is_refused_with_those_there_are(sink: Sink) -> None:
    with pytest.raises(SinkRejected, match="JSONEachRow"):
        sink.query_text("SELECT 1", "Parquet")
