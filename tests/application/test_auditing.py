"""An audit as a use case: what it reaches, what ends it, and differences that it reports as they come."""

from __future__ import annotations

from pathlib import Path

import pytest

from application.auditing import AuditOrder, audit
from application.errors import ErrorCode, Failed, Misconfigured
from application.in_memory import in_memory_pipeline
from application.pipeline import Pipeline
from replay.audit.findings import Difference, Finding
from sinks.sink import SinkRejected, SinkUnavailable
from streams.log.topics import TopicNames
from tests.application.in_memory_world import event, memory_of, priced_pipeline, send
from tests.application.recorded import RecordedNotices

QUICK = AuditOrder(seconds=0)


@pytest.fixture
def notices() -> RecordedNotices:
    return RecordedNotices()


@pytest.fixture
def pipeline(tmp_path: Path, notices: RecordedNotices) -> Pipeline:
    pipeline = priced_pipeline(tmp_path / "data", notices=notices, partitions=2)
    send(pipeline, *(event(f"e{number}", f"account-{number % 3}", ip=f"203.0.113.{number}") for number in range(9)))
    return pipeline


def differences(pipeline: Pipeline, order: AuditOrder = QUICK) -> list[Difference]:
    reported: list[Difference] = []
    outcome = audit(pipeline, order, reported.append)
    assert outcome.result.differences == len(reported)
    return reported


def test_a_clean_log_has_no_difference_and_is_audited_to_its_end(pipeline: Pipeline, notices: RecordedNotices) -> None:
    outcome = audit(pipeline, QUICK, pytest.fail)
    assert (outcome.is_short, outcome.result.totals.lines, outcome.result.totals.charged["credit"]) == (False, 9, 180)
    assert {"looking where worker and loader are", "replaying"} <= set(notices.activities)


def test_what_no_worker_has_decided_makes_it_short_and_no_difference(pipeline: Pipeline) -> None:
    memory_of(pipeline).after_sending = lambda: None
    send(pipeline, event("later"))
    outcome = audit(pipeline, QUICK, pytest.fail)
    assert (outcome.is_short, outcome.result.totals.lines) == (True, 9)


def test_an_output_of_other_content_is_reported(pipeline: Pipeline) -> None:
    memory, billed = memory_of(pipeline), pipeline.names.billed
    broker = memory.broker
    partition = next(number for number in range(2) if broker.records(billed, number))
    kept = broker.records(billed, partition)
    name, batch = pipeline.codec.decode(kept[-1].value)
    batch["events"][-1]["credits"] += 1
    value = pipeline.codec.encode(name, batch)
    seal = memory.sealer.seal(billed, partition, value)
    broker._kept[billed, partition][-1] = kept[-1]._replace(value=value, seal=seal)
    (difference,) = differences(pipeline)
    assert difference.finding is Finding.DIFFERENT
    assert "credits" in difference.detail


class Refusing:
    """A store that answers nothing."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def text(self, sql: str, output_format: str) -> bytes:
        raise self._error


@pytest.mark.parametrize(
    ("error", "code"),
    [(SinkUnavailable("no loader"), ErrorCode.UNAVAILABLE), (SinkRejected("no table"), ErrorCode.FAILED)],
)
def test_a_store_that_does_not_answer_ends_it_with_what_to_do(
    pipeline: Pipeline, error: Exception, code: ErrorCode
) -> None:
    with pytest.raises(Failed, match="--no-clickhouse") as raised:
        audit(pipeline, QUICK, lambda _difference: None, Refusing(error))
    assert raised.value.code is code


def test_a_clean_audit_keeps_a_checkpoint_from_which_a_later_one_goes_on(pipeline: Pipeline, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    first = audit(pipeline, AuditOrder(0, checkpoint_to=kept), pytest.fail)
    assert first.result.is_kept
    send(pipeline, event("later", ip="203.0.113.99"))
    second = audit(pipeline, AuditOrder(0, checkpoint_from=kept), pytest.fail)
    assert (second.result.totals.lines, second.is_short) == (1, False)


def test_a_checkpoint_of_another_pipeline_is_refused(pipeline: Pipeline, tmp_path: Path) -> None:
    audit(pipeline, AuditOrder(0, checkpoint_to=tmp_path / "kept"), pytest.fail)
    other = in_memory_pipeline(tmp_path / "other", names=TopicNames("other"))
    with pytest.raises(Misconfigured, match=r"the checkpoint is of another log \(memory\.requests\)"):
        audit(other, AuditOrder(0, checkpoint_from=tmp_path / "kept"), pytest.fail)


def test_states_that_are_not_here_are_a_gap_and_no_difference(pipeline: Pipeline) -> None:
    outcome = audit(pipeline, AuditOrder(0, with_state=True), pytest.fail)
    assert [gap.partition(":")[0] for gap in outcome.result.gaps] == [
        f"state of {pipeline.names.requests}[{partition}]" for partition in range(2)
    ]


def test_no_scratch_is_left_whether_it_ends_well_or_not(pipeline: Pipeline, tmp_path: Path) -> None:
    audit(pipeline, QUICK, pytest.fail)
    with pytest.raises(Failed):
        audit(pipeline, QUICK, lambda _difference: None, Refusing(SinkRejected("no")))
    assert list((tmp_path / "data" / "scratch").iterdir()) == []


class EmptyStore:
    """ClickHouse whose tables are empty, and which has no views."""

    def text(self, sql: str, output_format: str) -> bytes:
        assert output_format == "JSONEachRow"
        if sql == "SELECT currentDatabase()":
            return b'{"currentDatabase()": "default"}'
        if sql.startswith("SELECT count() AS c0"):
            return b'{"c0": 0}'
        return b'{"spelling": ""}' if "formatQuery" in sql else b""


def test_rows_and_views_that_are_not_there_are_missing(pipeline: Pipeline) -> None:
    reported: list[Difference] = []
    audit(pipeline, QUICK, reported.append, EmptyStore())
    missing = [str(difference) for difference in reported if difference.finding is Finding.MISSING]
    assert sum("billed_rows" in difference for difference in missing) == 9
    assert any("billed_events" in difference for difference in missing), "the view"
