"""An account's plan as ClickHouse has it: that of the last settings loaded, of the account alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from application.accounts.plan import account_plan
from application.prices.price_list import AccountPlan
from application.usage.store import SinkUsage
from sinks.embedded import EmbeddedSink
from sinks.migrate import migrate
from sinks.sink import Limits
from tests.metering.meter import DAY, account
from tests.sinks.outputs import Log, load

BEGIN = 1_767_225_600_000


@pytest.fixture(scope="module")
def sink(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedSink]:
    """One store for all: each test has an account of its own."""
    made = EmbeddedSink(tmp_path_factory.mktemp("plans") / "clickhouse")
    migrate(made)
    yield made
    made.close()


def plan_after(sink: EmbeddedSink, account_id: str, *settings: dict[str, Any]) -> AccountPlan | None:
    log = Log(partition=1)
    for number, fields in enumerate(settings):
        log.message(
            ("account", account(f"u{number}", BEGIN, **({"account_id": account_id} | fields))), recorded_at=BEGIN
        )
    load(sink, log.batches)
    return account_plan(SinkUsage(sink, Limits(seconds=60)), account_id)


PRO = {"name": "pro", "started_at": BEGIN, "ends_at": None}
LITE = {"name": "lite", "started_at": BEGIN, "ends_at": BEGIN + DAY}


@pytest.mark.parametrize(
    ("settings", "plan"),
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
    sink: EmbeddedSink, request: pytest.FixtureRequest, settings: list[dict[str, Any]], plan: AccountPlan | None
) -> None:
    assert plan_after(sink, f"o'brien\\ {request.node.name}", *settings) == plan
