"""An account as ClickHouse has it: how many statements it takes, how far it is, and what is over by the clock."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from application.accounts.snapshot import account_snapshot
from sinks.embedded import EmbeddedSink
from streams.clock import now_ms
from streams.loading.positions import Loaded, SinkPositions
from tests.application.accounts.counting_store import CountingStore
from tests.metering.meter import DAY, HOUR, account, grant, hold, request
from tests.sinks.outputs import Log, load
from tests.stores import with_schema

pytestmark = pytest.mark.slow

ME = "o'brien\\"


@pytest.fixture
def sink(tmp_path: Path) -> Iterator[EmbeddedSink]:
    made = EmbeddedSink(with_schema(tmp_path / "clickhouse"))
    yield made
    made.close()


def test_what_is_over_by_the_clock_is_gone_and_what_is_not_loaded_is_not_there(sink: EmbeddedSink) -> None:
    now = now_ms()
    log = Log(partition=1)
    then = now - 2 * DAY
    mine = {"account_id": ME}
    log.message(
        ("account", account("u1", then, on_empty="reject", alert_below={"credit": 5}, **mine)), recorded_at=then
    )
    log.message(("grant", grant("ended", 50, then, expires_at=now - HOUR, **mine)), recorded_at=then)
    log.message(("grant", grant("ever", 100, then, **mine)), recorded_at=then)
    log.message(("hold", hold("over", 30, then, expires_at=now - HOUR, **mine)), recorded_at=then)
    log.message(("hold", hold("open", 40, then, expires_at=now + DAY, **mine)), recorded_at=then)
    drawn = request("e1", then, ip="10.0.0.1", hold_id="open", keeps_hold=True, **mine)
    log.message(("request", drawn), recorded_at=then)
    log.message(("grant", grant("other", 7, then, account_id="somebody")), recorded_at=then)
    load(sink, log.batches)
    load(sink, log.batches[::-1])
    positions = {("credits.billed", 1): Loaded(9, "00", 5), ("credits.holds", 1): Loaded(3, "00", 4)}
    SinkPositions(sink).write(positions | {("credits.billed", 0): Loaded(2, "00", 77)})
    store = CountingStore(sink)
    snapshot = account_snapshot(store, ME, 1)
    # 20 of "ended" were drawn, for it ends first; its other 30 are gone.
    balance = snapshot.balances["credit"]
    assert (balance.balance, balance.held, balance.available) == (100, 20, 80)
    assert [grant.grant_id for grant in snapshot.grants] == ["ever"]
    assert [(hold.hold_id, hold.remaining) for hold in snapshot.holds] == [("open", {"credit": 20})]
    assert (snapshot.settings.on_empty, snapshot.settings.update_id) == ("reject", "u1")
    assert snapshot.as_of == {"credits.billed": 5, "credits.holds": 4}
    assert (snapshot.source_offset, snapshot.is_known) == (5, True)
    assert len(store.statements) == 2, "positions, and rows of both tables"


def test_an_account_that_is_heard_of_takes_two_statements(sink: EmbeddedSink) -> None:
    now = now_ms()
    log = Log(partition=1)
    log.message(("grant", grant("g", 100, now - DAY, expires_at=now - HOUR, account_id=ME)), recorded_at=now - DAY)
    log.message(("request", request("e", now, ip="10.0.0.1", account_id=ME)), recorded_at=now)
    load(sink, log.batches)
    store = CountingStore(sink)
    snapshot = account_snapshot(store, ME, 1)
    assert (snapshot.balances["credit"].balance, snapshot.grants, len(store.statements)) == (-20, (), 2)
    nobody = account_snapshot(store, "nobody", 1)
    assert (nobody.is_known, nobody.balances, nobody.settings.plan, nobody.as_of) == (False, {}, None, {})
