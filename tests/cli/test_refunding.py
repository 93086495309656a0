"""What a refund of a very large call asks ClickHouse must fit the statements that it takes."""

import re
from typing import Any

import pytest

from application.commands import refunds as refunding
from application.configuration.settings import Settings
from sinks.http import MAX_STATEMENT


def test_first_results_of_many_refunds_are_asked_for_in_statements_that_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = [f"request:{number:040x}" for number in range(30_000)]

    def answered(_settings: Settings, sql: str) -> list[dict[str, Any]]:
        assert len(sql.encode()) <= MAX_STATEMENT
        return [{"refund_id": each, "status": "rejected"} for each in re.findall("request:[0-9a-f]+", sql)]

    monkeypatch.setattr(refunding, "known_rows", answered)
    found = refunding.first_results(Settings(), "acme", ids)
    assert found == {each: [{"status": "rejected"}] for each in ids}
    assert refunding.first_results(Settings(), "acme", []) == {}
