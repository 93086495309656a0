"""An account's plan now."""

from __future__ import annotations

from application.accounts.unloaded import UnloadedOutputs
from application.prices.price_list import AccountPlan
from application.usage.store import UsageStore
from sinks.current import NOTHING, current_account
from streams import clock


def account_plan(store: UsageStore, account_id: str, outputs: UnloadedOutputs | None = None) -> AccountPlan | None:
    """The plan of the settings in force; None where there is none. Raises Failed."""
    unloaded = NOTHING if outputs is None else outputs.of(account_id)
    plan = current_account(store.rows, account_id, clock.now_ms(), unloaded).settings.plan
    return None if plan is None else AccountPlan(*plan)
