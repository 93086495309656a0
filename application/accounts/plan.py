"""An account's plan as ClickHouse has it now."""

from __future__ import annotations

from application.prices.price_list import AccountPlan
from application.usage.store import UsageStore
from sinks.current import current_account


def account_plan(store: UsageStore, account_id: str) -> AccountPlan | None:
    """The plan of the settings in force; None where there is none. Raises Failed."""
    plan = current_account(store.rows, account_id).settings.plan
    return None if plan is None else AccountPlan(*plan)
