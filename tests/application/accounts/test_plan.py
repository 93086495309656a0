"""An account's plan as ClickHouse has it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from application.accounts.plan import account_plan
from application.prices.price_list import AccountPlan

BEGIN = 1_767_225_600_000


class Rows:
    """Answers with these rows; `asked` has each statement with its parameters."""

    def __init__(self, *rows: dict[str, Any]) -> None:
        self._rows = list(rows)
        self.asked: list[tuple[str, Mapping[str, Any]]] = []

    def rows(self, sql: str, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
        self.asked.append((sql, parameters))
        return self._rows


@pytest.mark.parametrize(
    ("row", "plan"),
    [
        ({"plan": "pro", "started_ms": str(BEGIN), "ends_ms": None}, AccountPlan("pro", BEGIN, None)),
        ({"plan": "pro", "started_ms": BEGIN, "ends_ms": str(BEGIN + 1)}, AccountPlan("pro", BEGIN, BEGIN + 1)),
        ({"plan": None, "started_ms": None, "ends_ms": None}, None),
    ],
)
def test_the_plan_of_the_settings_in_force(row: dict[str, Any], plan: AccountPlan | None) -> None:
    assert account_plan(Rows(row), "acme") == plan


def test_an_account_without_settings_has_none_and_its_id_is_bound() -> None:
    rows = Rows()
    assert account_plan(rows, "it's") is None
    ((sql, parameters),) = rows.asked
    assert "it's" not in sql
    assert parameters == {"account": "it's"}
