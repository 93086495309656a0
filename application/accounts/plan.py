"""An account's plan as ClickHouse has it now."""

from __future__ import annotations

from application.prices.price_list import AccountPlan
from application.usage.store import UsageStore

_PLAN = """SELECT plan, toUnixTimestamp64Milli(plan_started_at) AS started_ms,
    toUnixTimestamp64Milli(plan_ends_at) AS ends_ms
FROM accounts WHERE account_id = {account:String}"""


def account_plan(store: UsageStore, account_id: str) -> AccountPlan | None:
    """The plan of the settings in force; None where there is none. Raises Failed."""
    for row in store.rows(_PLAN, {"account": account_id}):
        if row["plan"] is not None:
            ends_at = row["ends_ms"]
            return AccountPlan(row["plan"], int(row["started_ms"]), None if ends_at is None else int(ends_at))
    return None
