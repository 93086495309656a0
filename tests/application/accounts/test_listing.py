"""Accounts by name with their balances, as ClickHouse has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from application.accounts.listing import AccountFilters, listed_accounts


class Rows:
    """Answers the two statements, and notes them with their parameters."""

    def __init__(self, names: list[str], balances: list[tuple[str, str, object]]) -> None:
        self._answers = [
            [{"account_id": name} for name in names],
            [dict(zip(("account_id", "credit_type", "balance_after"), row, strict=True)) for row in balances],
        ]
        self.asked: list[tuple[str, Mapping[str, Any]]] = []

    def rows(self, sql: str, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
        self.asked.append((sql, parameters))
        return self._answers[len(self.asked) - 1]


def test_balances_are_grouped_by_account_and_an_account_without_any_is_listed() -> None:
    rows = Rows(["acme", "zenith"], [("acme", "credit", "-5"), ("acme", "email", 3)])
    assert listed_accounts(rows, AccountFilters(), 10) == [
        {"account_id": "acme", "balances": {"credit": -5, "email": 3}},
        {"account_id": "zenith", "balances": {}},
    ]
    assert rows.asked[1][1] == {"names": ["acme", "zenith"]}


def test_filters_are_bound() -> None:
    rows = Rows([], [])
    assert listed_accounts(rows, AccountFilters("it's", "b'"), 7) == []
    sql, parameters = rows.asked[0]
    assert list(parameters.values()) == ["it's", "b'", 7]
    assert "it's" not in sql
    assert "b'" not in sql
