"""An account's plan: that of the last settings, of the account alone, asked of ClickHouse once a second at most."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from application.accounts import plan
from application.accounts.plan import FRESH_SECONDS, AccountPlans
from application.prices.price_list import AccountPlan
from sinks.embedded import EmbeddedSink
from tests.application.accounts.counting_store import CountingStore
from tests.metering.meter import DAY, account
from tests.sinks.outputs import Log, load
from tests.stores import with_schema

pytestmark = pytest.mark.slow

BEGIN = 1_767_225_600_000


@pytest.fixture(scope="module")
def sink(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedSink]:
    """One store for all: each test has an account of its own."""
    made = EmbeddedSink(with_schema(tmp_path_factory.mktemp("plans") / "clickhouse"))
    yield made
    made.close()


def plan_after(sink: EmbeddedSink, account_id: str, *settings: dict[str, Any]) -> AccountPlan | None:
    log = Log(partition=1)
    for number, fields in enumerate(settings):
        log.message(
            ("account", account(f"u{number}", BEGIN, **({"account_id": account_id} | fields))), recorded_at=BEGIN
        )
    load(sink, log.batches)
    return AccountPlans(CountingStore(sink)).of(account_id)


PRO = {"name": "pro", "started_at": BEGIN, "ends_at": None}
LITE = {"name": "lite", "started_at": BEGIN, "ends_at": BEGIN + DAY}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ([{"plan": PRO}], AccountPlan("pro", BEGIN, None)),
        ([{"plan": PRO}, {"plan": LITE}], AccountPlan("lite", BEGIN, BEGIN + DAY)),
        ([{"plan": PRO}, {"plan": None}], None),
        ([{"plan": PRO, "account_id": "somebody else's"}], None),
        ([], None),
    ],
    ids=["one", "the last counts", "a plan is taken away", "somebody else's", "no settings"],
)
def test_the_plan_of_the_settings_in_force(
    sink: EmbeddedSink, request: pytest.FixtureRequest, settings: list[dict[str, Any]], expected: AccountPlan | None
) -> None:
    assert plan_after(sink, f"o'brien\\ {request.node.name}", *settings) == expected


def test_an_account_is_asked_for_once_a_second(sink: EmbeddedSink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "MOST_ACCOUNTS", 2)
    store, now = CountingStore(sink), [100.0]
    plans = AccountPlans(store, lambda: now[0])
    for asked, seconds, statements in (
        ("a", 0, 1),
        ("a", 0.9, 1),
        ("b", 0, 2),
        ("a", 0.2, 3),
        ("c", 0, 4),
        ("a", 0, 4),
    ):
        now[0] += seconds * FRESH_SECONDS
        assert plans.of(asked) is None
        assert len(store.statements) == statements, f"{asked} at {now[0]}"
    assert plans.of("b") is None
    assert len(store.statements) == 5, "the account that was read longest ago is still kept"
