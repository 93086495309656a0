"""A grant's command, and what is shown of a grant that an account had already."""

from __future__ import annotations

from pathlib import Path

import pytest

from application.commands.fields import BadField
from application.commands.grants import GrantOrder, grant_credits
from application.pipeline import Pipeline
from streams import clock
from tests.application.in_memory_world import DAY, ListedRows, memory_of, priced_pipeline

SECONDS = 10


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    return priced_pipeline(tmp_path, ListedRows(grants=[{"credits": "500", "status": "applied"}]))


def test_two_orders_have_ids_of_their_own() -> None:
    first, second = GrantOrder("acme", "credit", 5, 1), GrantOrder("acme", "credit", 5, 1)
    assert first.grant_id != second.grant_id


@pytest.mark.parametrize(
    ("order", "field"),
    [
        (GrantOrder("", "credit", 5, 1_767_225_600_000), "account_id"),
        (GrantOrder("acme", "credit", 10**12 + 1, 1_767_225_600_000), "credits"),
        (GrantOrder("acme", "credit", 5, 1_767_225_600_000, 1_767_225_600_000), "expires_at"),
        (GrantOrder("acme", "credit", 5, 1), "granted_at"),
    ],
)
def test_a_wrong_order_is_refused_and_nothing_is_sent(pipeline: Pipeline, order: GrantOrder, field: str) -> None:
    end = pipeline.input_log.bounds(0)[1]
    with pytest.raises(BadField) as raised:
        grant_credits(pipeline, order, SECONDS)
    assert raised.value.field == field
    assert pipeline.input_log.bounds(0)[1] == end


def test_a_first_grant_asks_clickhouse_nothing_and_a_repeat_shows_its_row(pipeline: Pipeline) -> None:
    assert isinstance(pipeline.sql, ListedRows)
    order = GrantOrder("acme", "credit", 500, clock.now_ms(), grant_id="it's")
    first = grant_credits(pipeline, order, SECONDS)
    assert (first.is_repeated, first.first, pipeline.sql.asked) == (False, [], [])
    again = grant_credits(pipeline, order, SECONDS)
    assert again.as_json()["repeated"] is True
    assert again.first == [{"credits": "500", "status": "applied"}]
    assert "grant_id = 'it\\'s'" in pipeline.sql.asked[0]


def test_a_grant_of_the_future_is_set_aside_and_no_repeat(pipeline: Pipeline) -> None:
    result = grant_credits(pipeline, GrantOrder("acme", "credit", 5, clock.now_ms() + DAY), SECONDS)
    assert result.decided.is_set_aside
    assert not result.is_repeated


def test_a_repeat_without_clickhouse_is_a_repeat_all_the_same(tmp_path: Path) -> None:
    pipeline = priced_pipeline(tmp_path)
    order = GrantOrder("acme", "credit", 5, clock.now_ms())
    grant_credits(pipeline, order, SECONDS)
    again = grant_credits(pipeline, order, SECONDS)
    assert (again.is_repeated, again.first) == (True, [])
    assert len(memory_of(pipeline).broker.records(pipeline.names.grants, 0)) == 1
