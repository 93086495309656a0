"""`creditmeter status`: the whole pipeline at one look."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli.terminal.command import Command
from cli.terminal.options import json_option, with_configuration
from cli.terminal.output import print_json

if TYPE_CHECKING:
    from application.configuration.sources import Configuration
    from application.status.pipeline import GroupStatus, PipelineStatus


@click.command(
    cls=Command,
    short_help="The whole pipeline at one look.",
    epilog="""
    creditmeter status
    creditmeter status --no-book --json
    """,
)
@click.option("--no-book", is_flag=True, help="Do not look for the price book in force: it may stand far back.")
@json_option
@with_configuration
def status(configuration: Configuration, *, no_book: bool, as_json: bool) -> None:
    """Show topics and log ends, how far worker and loader are, the price book in force, and what answers.

    Problems come last, each with what to do; with one the exit code is 1. Health is asked where metrics_port is set.
    """
    from application.pipeline import opened
    from application.status.pipeline import pipeline_status
    from cli.terminal.progress import TerminalNotices

    settings, notices = configuration.settings, TerminalNotices()
    with opened(settings, notices) as pipeline, notices.waiting("looking"):
        report = pipeline_status(settings, pipeline, with_books=not no_book)
    if as_json:
        print_json(report.as_json())
    else:
        _print(report)
    if report.problems:
        raise click.exceptions.Exit(1)


def _print(status: PipelineStatus) -> None:
    from application.wording import shown_time
    from cli.terminal.output import print_line
    from cli.terminal.tables import print_table

    print_line(f"code       {status.code}")
    print_line(f"Kafka      {status.bootstrap}, {len(status.input)} partitions")
    print_line(f"topics     {', '.join(f'{name} {count:,}' for name, count in status.topics.items())}")
    print_line(f"rating     {_group(status.rating, 'worker', 'messages')}")
    print_line(f"loading    {_group(status.loading, 'loader', 'records')}")
    if status.delivering.began:
        print_line(f"delivering {_group(status.delivering, 'deliverer', 'records')}")
    for topic, places in _loaded(status).items():
        print_line(f"loaded     {topic} up to {' '.join(places)}")
    for book in status.books or ():
        versions = ", ".join(book.versions)
        print_line(f"prices     {book.book_id[:12]}… since {shown_time(book.published_at)}: versions {versions}")
    for endpoint in status.endpoints:
        print_line(f"{endpoint.what:10} {'' if endpoint.well else 'NOT WELL: '}{endpoint.detail} ({endpoint.url})")
    newest = {checkpoint.partition: checkpoint for checkpoint in status.checkpoints}
    columns = ["partition", "log begins", "log ends", "to rate", "waiting since", "to load"]
    if newest:
        columns += ["checkpoint at", "made"]
    rows = []
    for part in status.input:
        since = "" if part.waiting_since is None else shown_time(part.waiting_since)
        row = [str(part.partition), *(f"{offset:,}" for offset in (part.first, part.end, part.to_rate)), since]
        row.append(f"{part.to_load:,}")
        if newest:
            kept = newest[part.partition]
            is_there = kept.applied is not None and kept.made_at is not None
            row += [f"{kept.applied:,}", shown_time(kept.made_at or 0)] if is_there else ["none", ""]
        rows.append(row)
    print_table(columns, rows, right=[*columns[:4], "to load", "checkpoint at"])
    for problem in status.problems:
        print_line(f"problem: {problem}")


def _loaded(status: PipelineStatus) -> dict[str, list[str]]:
    """By topic, how far ClickHouse is in each partition: partition@offset."""
    by_topic: dict[str, list[str]] = {}
    for position in status.loaded or ():
        by_topic.setdefault(position.topic, []).append(f"{position.partition}@{position.offset}")
    return by_topic


def _group(group: GroupStatus, what: str, unit: str) -> str:
    word = what if group.processes == 1 else f"{what}s"
    return f"{group.processes} {word}, {group.behind:,} {unit} behind"
