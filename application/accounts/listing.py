"""Accounts by name, as ClickHouse has them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from application.usage.conditions import Bound
from application.usage.store import UsageStore


@dataclass(frozen=True, slots=True)
class AccountFilters:
    """`search`: a part of the name, in either case. `after`: only names behind this one."""

    search: str | None = None
    after: str | None = None


def listed_accounts(store: UsageStore, filters: AccountFilters, limit: int) -> list[dict[str, Any]]:
    """Up to `limit` accounts that have a balance, in order of name, with their balances. Raises Failed."""
    bound = Bound()
    conditions = ["1"]
    if filters.search:
        conditions.append(f"positionCaseInsensitiveUTF8(account_id, {bound.bind(filters.search, 'String')}) > 0")
    if filters.after is not None:
        conditions.append(f"account_id > {bound.bind(filters.after, 'String')}")
    names = [
        row["account_id"]
        for row in store.rows(
            f"SELECT account_id FROM last_balances WHERE {' AND '.join(conditions)} GROUP BY account_id "  # noqa: S608
            f"ORDER BY account_id LIMIT {bound.bind(limit, 'Int64')}",
            bound.parameters,
        )
    ]
    balances = store.rows(
        "SELECT account_id, credit_type, balance_after FROM last_balances WHERE account_id IN {names:Array(String)} "
        "ORDER BY account_id, credit_type",
        {"names": names},
    )
    by_name: dict[str, dict[str, int]] = {name: {} for name in names}
    for row in balances:
        by_name[row["account_id"]][row["credit_type"]] = int(row["balance_after"])
    return [{"account_id": name, "balances": amounts} for name, amounts in by_name.items()]
