"""`creditmeter audit`: everything decided again from the log, and compared with all that came of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.bills.audit_report import Printer
from cli.terminal.command import Command
from cli.terminal.options import NumberRange, json_option, with_configuration

if TYPE_CHECKING:
    from application.configuration.settings import Settings
    from application.configuration.sources import Configuration
    from application.pipeline import Cluster
    from replay.audit.rows import RowStore
    from replay.audit.run import AuditPlan
    from replay.audit.scope import Scope
    from sinks.sink import Sink

_WAIT = 120.0


@click.command(
    cls=Command,
    short_help="Prove outputs and ClickHouse by replaying the log.",
    epilog="""
    creditmeter audit
    creditmeter audit --from audits/2026-01 --checkpoint audits/2026-02 --json
    """,
)
@click.option(
    "--wait", "wait", type=NumberRange(0), default=_WAIT, show_default=True,
    help="Seconds that worker and loader may take to reach what the log holds now.",
)  # fmt: skip
@click.option("--no-wait", is_flag=True, help="Judge only what worker and loader have passed by now.")
@click.option("--no-clickhouse", is_flag=True, help="Compare the output topics only, no rows.")
@click.option("--state", "with_state", is_flag=True, help="Compare the worker's own state on this machine, too.")
@click.option("--from", "begin", type=click.Path(path_type=Path), help="Go on from the checkpoint of an earlier audit.")
@click.option("--checkpoint", "keep", type=click.Path(path_type=Path), help="Keep the end of this audit, if clean.")
@json_option
@with_configuration
def audit(
    configuration: Configuration, *, wait: float, no_wait: bool, no_clickhouse: bool, with_state: bool,
    begin: Path | None, keep: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Replay the input log; compare with every output topic, byte by byte, and with ClickHouse, row by row.

    What the log holds when it begins is audited; later commands are not judged. Prints every difference with its place.
    Exit code 1 on any difference, or where worker or loader did not reach the log's end in time. With --json: one
    object a line, each difference, then the result.
    """
    from application.errors import Failed
    from replay.audit.run import run_audit
    from streams.checkpoints.sealed import CheckpointError
    from streams.state.store import StateError

    settings = configuration.settings
    out = Printer(as_json=as_json)
    try:
        with _planned(settings, begin, keep, with_rows=not no_clickhouse, with_state=with_state) as (cluster, plan):
            scopes = _scopes(cluster, plan, 0.0 if no_wait else wait)
            with _bar(plan, scopes, out) as progress:
                result = run_audit(plan, scopes, out.difference, progress)
            out.result(result, plan.began_from, keep)
    except (StateError, CheckpointError) as error:
        raise Failed(str(error)) from error
    is_short = any(each.stop < each.asked or min(each.horizons.values()) < each.stop for each in scopes)
    if result.differences or (is_short and not no_wait):
        raise click.exceptions.Exit(1)


@contextmanager
def _planned(
    settings: Settings, begin: Path | None, keep: Path | None, *, with_rows: bool, with_state: bool
) -> Iterator[tuple[Cluster, AuditPlan]]:
    """Everything that the audit reads, opened, and its scratch folder, removed afterwards."""
    from application.errors import Misconfigured
    from application.pipeline import opened
    from application.scratch import scratch_folder
    from replay.audit.checkpoint import load
    from replay.audit.partition import AuditLogs
    from replay.audit.run import AuditPlan
    from schemas.price_book import read_book
    from streams.log.topics import check_topics

    manifest = None if begin is None else load(begin)
    with opened(settings) as cluster, _rows_of(settings, wanted=with_rows) as rows, scratch_folder(settings) as scratch:
        names = cluster.names
        log_id = check_topics(cluster.bootstrap, names, security=cluster.security)[names.requests]
        if manifest is not None and (manifest.prefix, manifest.log_id) != (names.prefix, log_id):
            raise Misconfigured(f"{begin}: the checkpoint is of another log ({manifest.prefix}.requests)")
        outputs = {topic: cluster.log(topic) for topic in names.outputs}
        input_log = cluster.log(names.requests)
        logs = AuditLogs(names, cluster.partitions, cluster.codec, read_book, input_log, outputs)
        state = settings.state_path if with_state else None
        yield cluster, AuditPlan(logs, log_id, scratch, rows, state, manifest, begin, keep)


def _scopes(cluster: Cluster, plan: AuditPlan, wait: float) -> list[Scope]:
    from rich.console import Console

    from replay.audit.scope import GroupPositions, Surveyor

    logs = plan.logs
    positions = GroupPositions(cluster.bootstrap, logs.names, cluster.security)
    resumed = {} if plan.began_from is None else plan.began_from.outputs
    console = Console(stderr=True)
    try:
        with console.status("looking where worker and loader are") as status:
            return Surveyor(
                logs.names, logs.partitions, logs.input_log, logs.output_logs, positions, wait,
                plan.rows is not None, status.update, resumed,
            ).scopes()  # fmt: skip
    finally:
        positions.close()


class _Rows:
    """The store's rows. Opened at the first question, that is, after the wait for a loader that may have to open it.

    An embedded store's own folder comes first, where no process holds it; else the loader that does is asked. Another
    pipeline's loader that answers at its port is refused.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._sink: Sink | None = None
        self._ask: Callable[[str], bytes] | None = None

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows of one statement. What the store refuses becomes Failed."""
        from application.errors import Failed
        from sinks.sink import SinkRejected, SinkUnavailable

        try:
            if self._ask is None:
                self._ask = self._opened()
            return [tuple(json.loads(line).values()) for line in self._ask(sql).splitlines()]
        except (SinkUnavailable, SinkRejected) as error:
            raise Failed(f"{error}\n  (--no-clickhouse audits without the rows)") from error

    def close(self) -> None:
        """Lets go of the store."""
        if self._sink is not None:
            self._sink.close()

    def _opened(self) -> Callable[[str], bytes]:
        from application.clickhouse.asking import ask_loader
        from application.clickhouse.opening import has_data, open_sink
        from sinks.sink import SinkUnavailable

        settings = self._settings
        if settings.store == "server":
            self._sink = open_sink(settings)
        elif settings.query_url is None and has_data(settings):
            with suppress(SinkUnavailable):  # the loader holds it
                self._sink = open_sink(settings)
        if self._sink is not None:
            sink = self._sink
            return lambda sql: sink.query_text(sql, "JSONEachRow")
        return lambda sql: ask_loader(settings, sql, "JSONEachRow")


@contextmanager
def _rows_of(settings: Settings, *, wanted: bool) -> Iterator[RowStore | None]:
    """The store for the time of the audit; None where its rows are not wanted."""
    rows = _Rows(settings)
    try:
        yield rows if wanted else None
    finally:
        rows.close()


@contextmanager
def _bar(plan: AuditPlan, scopes: Sequence[Scope], out: Printer) -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error, where that is a terminal; nothing where it is not."""
    from cli.terminal.progress import counting_bar

    applied = {} if plan.began_from is None else plan.began_from.applied
    begin = {each.partition: applied.get(each.partition, -1) + 1 for each in scopes}
    total = sum(max(0, each.stop - begin[each.partition]) for each in scopes)
    at = dict(begin)
    with counting_bar("replaying", total) as bar:

        def told(partition: int, offset: int) -> None:
            at[partition] = max(at[partition], offset)
            bar.told(min(total, sum(at[each] - begin[each] for each in at)))

        out.above = bar.console
        try:
            yield told
        finally:
            out.above = None
