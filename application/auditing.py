"""Audits one pipeline: opens everything that is read, fixes how far it reaches, and compares."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from application.clickhouse.store_reader import StoreReader
from application.errors import ErrorCode, Failed, Misconfigured
from application.pipeline import Pipeline
from application.scratch import scratch_folder
from replay.audit.checkpoint import load
from replay.audit.findings import Difference
from replay.audit.partition import AuditLogs
from replay.audit.rows import RowStore
from replay.audit.run import AuditPlan, AuditResult, run_audit
from replay.audit.scope import Scope, Surveyor
from schemas.price_book import read_book
from sinks.sink import SinkRejected, SinkUnavailable


@dataclass(frozen=True, slots=True)
class AuditOrder:
    """What is audited. `seconds`: how long worker and loader may take to reach the log's end.

    `checkpoint_from`: go on from an earlier audit's folder; `checkpoint_to`: keep the end of this one there, if clean.
    """

    seconds: float
    with_state: bool = False
    checkpoint_from: Path | None = None
    checkpoint_to: Path | None = None


@dataclass(frozen=True, slots=True)
class AuditOutcome:
    """The result of an audit; `is_short` where worker or loader did not reach the log's end in time."""

    result: AuditResult
    plan: AuditPlan
    is_short: bool


def audit(
    pipeline: Pipeline, order: AuditOrder, on_difference: Callable[[Difference], None], store: StoreReader | None = None
) -> AuditOutcome:
    """Replays the log and compares outputs, rows and states with it; reports differences as they are found.

    `store` is where rows are read; None: no rows are compared. Raises Failed, Misconfigured, LogError, StateError,
    CheckpointError.
    """
    rows = None if store is None else _Rows(store)
    with _planned(pipeline, order, rows) as plan:
        scopes = _scopes(pipeline, plan, order.seconds)
        with _progress(pipeline, plan, scopes) as report:
            result = run_audit(plan, scopes, on_difference, report)
    is_short = any(scope.stop < scope.asked or min(scope.horizons.values()) < scope.stop for scope in scopes)
    return AuditOutcome(result, plan, is_short)


@contextmanager
def _planned(pipeline: Pipeline, order: AuditOrder, rows: RowStore | None) -> Iterator[AuditPlan]:
    """Everything that the audit reads, opened, and its scratch folder, removed afterwards."""
    begin = order.checkpoint_from
    manifest = None if begin is None else load(begin)
    names = pipeline.names
    if manifest is not None and (manifest.prefix, manifest.log_id) != (names.prefix, pipeline.log_id):
        raise Misconfigured(f"{begin}: the checkpoint is of another log ({manifest.prefix}.requests)")
    outputs = {topic: pipeline.log(topic) for topic in names.outputs}
    logs = AuditLogs(
        names, pipeline.partitions, pipeline.codec, read_book, pipeline.input_log, outputs, pipeline.seals,
        pipeline.log(names.deliveries),
    )  # fmt: skip
    state = pipeline.places.states if order.with_state else None
    with scratch_folder(pipeline.places.data) as scratch:
        yield AuditPlan(logs, pipeline.log_id, scratch, rows, state, manifest, begin, order.checkpoint_to)


class _GroupsOfPipeline:
    """How far worker and loader are."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._rating = pipeline.connections.group(pipeline.names.rating_group)
        self._loading = pipeline.connections.group(pipeline.names.loading_group)

    def rated(self, topic: str, partitions: int) -> dict[int, int]:
        committed = self._rating.committed((topic,), partitions)
        return {partition: offset for (_, partition), offset in committed.items()}

    def loaded(self, topics: Sequence[str], partitions: int) -> dict[tuple[str, int], int]:
        return dict(self._loading.committed(topics, partitions))


def _scopes(pipeline: Pipeline, plan: AuditPlan, seconds: float) -> list[Scope]:
    logs = plan.logs
    resumed = {} if plan.began_from is None else plan.began_from.outputs
    with pipeline.notices.waiting("looking where worker and loader are") as report:
        return Surveyor(
            logs.names, logs.partitions, logs.input_log, logs.own_outputs, _GroupsOfPipeline(pipeline), seconds,
            plan.rows is not None, report, resumed,
        ).scopes()  # fmt: skip


class _Rows:
    """The store's rows as the audit asks for them. What the store refuses becomes Failed."""

    def __init__(self, store: StoreReader) -> None:
        self._store = store

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows of one statement."""
        try:
            return [tuple(json.loads(line).values()) for line in self._store.text(sql, "JSONEachRow").splitlines()]
        except (SinkUnavailable, SinkRejected) as error:
            code = ErrorCode.UNAVAILABLE if isinstance(error, SinkUnavailable) else ErrorCode.FAILED
            raise Failed(f"{error}\n  (--no-clickhouse audits without the rows)", code) from error


@contextmanager
def _progress(pipeline: Pipeline, plan: AuditPlan, scopes: Sequence[Scope]) -> Iterator[Callable[[int, int], None]]:
    """Reports the replay of all partitions together; the block calls it with partition and next offset."""
    applied = {} if plan.began_from is None else plan.began_from.applied
    begin = {scope.partition: applied.get(scope.partition, -1) + 1 for scope in scopes}
    total = sum(max(0, scope.stop - begin[scope.partition]) for scope in scopes)
    at = dict(begin)
    with pipeline.notices.progress("replaying", total) as report:

        def note(partition: int, offset: int) -> None:
            at[partition] = max(at[partition], offset)
            report(min(total, sum(at[number] - begin[number] for number in at)))

        yield note
