"""A re-rating from its replay to its corrections: the plan's file, and what is not sent."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from application.errors import Failed
from application.pipeline import Pipeline
from application.rerating.opening import Rerating, opened_rerating
from application.rerating.plan import read_plan
from replay.rerating.corrections import Correction, Overlap, Row
from replay.rerating.partition import Rerate
from schemas.price_book import book_id, read_book
from streams import clock
from tests.application.in_memory_world import DAY, event, priced_pipeline, send
from tests.application.recorded import RecordedNotices
from tests.command import BOOK

CHEAPER = BOOK.replace("credits: 20", "credits: 15")


class Replayed:
    """What a re-rating reports, and how often."""

    def __init__(self, pipeline: Pipeline, book: str = CHEAPER, accounts: frozenset[str] | None = None) -> None:
        self.pipeline = pipeline
        day = clock.now_ms() // DAY * DAY
        self.asked = Rerate(book_id(book), read_book(book), day - DAY, day + 2 * DAY, accounts)
        self.rows: list[Row] = []
        self.corrections: list[Correction] = []

    @contextmanager
    def opened(self) -> Iterator[Rerating]:
        with opened_rerating(
            self.pipeline, self.asked, "charge", self.rows.append, self.corrections.append
        ) as rerating:
            yield rerating


@pytest.fixture
def notices() -> RecordedNotices:
    return RecordedNotices()


@pytest.fixture
def pipeline(tmp_path: Path, notices: RecordedNotices) -> Pipeline:
    """Two accounts, charged 20 credits each."""
    pipeline = priced_pipeline(tmp_path / "data", notices=notices, partitions=2)
    send(pipeline, event("e1", "acme"), event("e2", "other"))
    return pipeline


def test_the_plans_file_holds_the_corrections_that_were_reported(
    pipeline: Pipeline, tmp_path: Path, notices: RecordedNotices
) -> None:
    replayed = Replayed(pipeline)
    with replayed.opened() as rerating:
        rerating.keep(tmp_path / "plan")
    plan, *corrections = map(json.loads, (tmp_path / "plan").read_text().splitlines())
    assert plan["totals"]["credit"]["difference"] == -10
    assert corrections == [correction.as_json() for correction in replayed.corrections]
    assert len(corrections) == len(replayed.rows) == 2
    scope = read_plan(tmp_path / "plan")
    assert (scope.book_id, scope.log_id) == (book_id(CHEAPER), pipeline.log_id)
    assert scope.log_ends == {partition: pipeline.input_log.bounds(partition)[1] for partition in range(2)}
    assert "replaying" in notices.activities


def test_only_the_accounts_that_are_asked_for_are_corrected(pipeline: Pipeline) -> None:
    replayed = Replayed(pipeline, accounts=frozenset({"other"}))
    with replayed.opened() as rerating:
        sent = rerating.send(10)
    assert (sent.refunds, sent.refused) == (1, 0)
    assert [correction.record["account_id"] for correction in replayed.corrections] == ["other"]


def test_equal_prices_send_nothing_and_ask_for_no_worker(pipeline: Pipeline) -> None:
    end = pipeline.input_log.bounds(0)[1]
    with Replayed(pipeline, "# the same\n" + BOOK).opened() as rerating:
        sent = rerating.send(0)
    assert (sent.refunds, sent.grants) == (0, 0)
    assert pipeline.input_log.bounds(0)[1] == end


def test_what_overlaps_another_re_rating_is_not_sent(pipeline: Pipeline) -> None:
    with Replayed(pipeline).opened() as rerating:
        rerating.outcome.overlaps.add(Overlap(1, 2))
        with pytest.raises(Failed, match="Nothing was sent"):
            rerating.send(10)


def test_a_plan_that_cannot_be_kept_names_its_file(pipeline: Pipeline, tmp_path: Path) -> None:
    with Replayed(pipeline).opened() as rerating, pytest.raises(Failed, match="missing/plan: the plan cannot be kept"):
        rerating.keep(tmp_path / "missing" / "plan")


def test_no_scratch_is_left(pipeline: Pipeline, tmp_path: Path) -> None:
    with Replayed(pipeline).opened() as rerating:
        assert rerating.spool.exists()
    assert list((tmp_path / "data" / "scratch").iterdir()) == []
