"""A whole audit: every partition in turn, each in a folder of its own that is removed after it."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from replay.audit.checkpoint import CheckpointWriter, Manifest, restore
from replay.audit.current_rows import compare_current_rows
from replay.audit.deliveries import compare_deliveries
from replay.audit.findings import Difference, Note, Totals
from replay.audit.latest_balances import compare_latest_balances
from replay.audit.loaded_positions import compare_loaded_positions
from replay.audit.outputs import Stretch
from replay.audit.partition import Against, AuditLogs, PartitionAudit, ProgressCallback
from replay.audit.rows import RowStore, stray_rows
from replay.audit.scope import Scope
from replay.audit.views import compare_views
from streams.state.read_only import StateView
from streams.state.rocks import RocksState
from streams.state.rocks_folder import RocksFolder, RocksLimits
from streams.state.store import Identity

_MIB = 1 << 20
_LIMITS = RocksLimits(cache_bytes=96 * _MIB, buffer_bytes=64 * _MIB)


@dataclass(frozen=True, slots=True)
class AuditPlan:
    """What is audited and with what. Folders: `scratch` is the audit's own, `state_root` a worker's (None: leave it).

    `began_from` is the manifest in `checkpoint_from`, an earlier audit's; `checkpoint_to` a folder to be made.
    """

    logs: AuditLogs
    log_id: str
    scratch: Path
    rows: RowStore | None = None
    state_root: Path | None = None
    began_from: Manifest | None = None
    checkpoint_from: Path | None = None
    checkpoint_to: Path | None = None


@dataclass(slots=True)
class AuditResult:
    """Counts of this replay, number of differences, what could not be judged, whether a checkpoint was kept."""

    totals: Totals = field(default_factory=Totals)
    differences: int = 0
    gaps: list[str] = field(default_factory=list)
    is_kept: bool = False


def run_audit(plan: AuditPlan, scopes: Iterable[Scope], note: Note, progress: ProgressCallback) -> AuditResult:
    """Audits the scopes; differences go to `note` as they are found. Raises LogError, StateError, CheckpointError.

    A checkpoint is kept only of an audit that is clean and left no gap: what a later one does not look at was right.
    """
    result = AuditResult()

    def counted(difference: Difference) -> None:
        result.differences += 1
        note(difference)

    folder = RocksFolder(plan.scratch, _LIMITS)
    writer = None if plan.checkpoint_to is None else CheckpointWriter(plan.checkpoint_to)
    applied: dict[int, int] = {}
    outputs: dict[tuple[str, int], Stretch] = {}
    if plan.rows is not None and plan.began_from is not None and not plan.began_from.with_rows:
        result.gaps.append("rows before the checkpoint: the audit that made it did not look at them")
    every_scope: list[Scope] = []
    try:
        for scope in scopes:
            every_scope.append(scope)
            audit, last = _one(plan, scope, folder, writer, counted, progress)
            result.totals.add(audit.totals)
            result.gaps += audit.gaps
            applied[scope.partition] = last
            outputs |= {(topic, scope.partition): stretch for topic, stretch in audit.resume.items()}
        if plan.rows is not None:
            stray_rows(plan.rows, plan.logs.partitions, lambda p: plan.logs.input_log.bounds(p)[1], counted)
            compare_loaded_positions(plan.rows, plan.logs, counted)
            compare_deliveries(plan.rows, plan.logs, counted)
            compare_latest_balances(plan.rows, plan.logs.names, every_scope, counted)
            compare_current_rows(plan.rows, plan.logs.names, every_scope, counted)
            compare_views(plan.rows, plan.logs.names, every_scope, counted)
        if writer is not None and not result.differences and not result.gaps:
            writer.finish(_manifest(plan, applied, outputs, result.totals))
            result.is_kept = True
    finally:
        if writer is not None:
            writer.drop()
    return result


def _one(
    plan: AuditPlan,
    scope: Scope,
    folder: RocksFolder,
    writer: CheckpointWriter | None,
    note: Note,
    progress: ProgressCallback,
) -> tuple[PartitionAudit, int]:
    identity = Identity(plan.logs.names.requests, scope.partition, plan.log_id)
    path = folder.path(identity)
    if plan.checkpoint_from is not None:
        restore(plan.checkpoint_from, scope.partition, path)
    state = folder.open(identity)
    view, gaps = _view(plan, identity)
    try:
        audit = PartitionAudit(plan.logs, scope, state, Against(plan.rows, view), note, progress)
        audit.gaps += gaps
        audit.run()
        applied = state.applied
        if writer is not None:
            writer.add(scope.partition, state)
        audit.compare_state()
    finally:
        _close(state, view)
        shutil.rmtree(path, ignore_errors=True)
    return audit, applied


def _view(plan: AuditPlan, identity: Identity) -> tuple[StateView | None, list[str]]:
    """The worker's state, and what to say where it is not on this machine."""
    if plan.state_root is None:
        return None, []
    path = RocksFolder(plan.state_root, RocksLimits(_MIB, _MIB)).path(identity)
    if not path.is_dir():
        return None, [f"state of {identity.topic}[{identity.partition}]: not on this machine ({path})"]
    return StateView(path), []


def _close(state: RocksState, view: StateView | None) -> None:
    state.close()
    if view is not None:
        view.close()


def _manifest(
    plan: AuditPlan, applied: dict[int, int], outputs: dict[tuple[str, int], Stretch], totals: Totals
) -> Manifest:
    whole = Totals()
    whole.add(totals)
    with_rows = plan.rows is not None
    if plan.began_from is not None:
        whole.add(plan.began_from.totals)
        with_rows = with_rows and plan.began_from.with_rows
    return Manifest(plan.logs.names.prefix, plan.log_id, applied, outputs, whole, with_rows)
