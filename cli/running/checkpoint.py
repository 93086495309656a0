"""`creditmeter checkpoint`: copies of accounts' states from which another machine goes on."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.terminal.command import Group
from cli.terminal.options import json_option, with_configuration

if TYPE_CHECKING:
    from application.configuration.settings import Settings
    from application.configuration.sources import Configuration
    from application.pipeline import Cluster
    from cli.running.checkpoint_report import Ends
    from streams.checkpoints.checkpoints import Checkpoints
    from streams.checkpoints.manifest import Found
    from streams.log.input_log import KafkaInputLog

_partitions = click.option(
    "--partition", "chosen", type=click.IntRange(0), multiple=True, help="Only this one; may be given several times."
)
_LAST = 10
_from = click.option(
    "--from", "url", metavar="URL", help="Folder or object store to look in (setting: checkpoint_url)."
)


@click.group(
    cls=Group,
    invoke_without_command=True,
    short_help="Keep copies of states for another machine.",
    epilog="""
    creditmeter checkpoint
    creditmeter checkpoint --partition 3 --to s3://bucket/states
    creditmeter checkpoint list
    """,
)
@_partitions
@click.option("--to", "url", metavar="URL", help="Folder or object store to write to (setting: checkpoint_url).")
@json_option
@click.option(
    "--config", "config_file", type=click.Path(dir_okay=False),
    help="Configuration file instead of creditmeter.toml.",
)  # fmt: skip
@click.pass_context
def checkpoint(
    ctx: click.Context, *, chosen: tuple[int, ...], url: str | None, as_json: bool, config_file: str | None
) -> None:
    """Keep a copy of the states on this machine, also while their worker runs.

    A worker does so by itself where checkpoint_url is set; a new worker begins from the newest one. Without a
    subcommand: makes one of each partition whose state is here. What it writes to checkpoint_url counts among
    checkpoints_kept; elsewhere nothing is ever removed.
    """
    if ctx.invoked_subcommand is not None:
        if chosen or url or as_json:
            raise click.UsageError(f"Give the options after {ctx.invoked_subcommand!r}.", ctx)
        return
    from application.configuration.sources import load

    _make(load(config_file or ctx.find_root().obj).settings, chosen, url, as_json=as_json)


@checkpoint.command(
    "list",
    short_help="Show checkpoints, and what of the log is needed.",
    epilog="""
    creditmeter checkpoint list
    creditmeter checkpoint list --from s3://bucket/states --json
    """,
)
@_partitions
@_from
@json_option
@with_configuration
def list_(configuration: Configuration, *, chosen: tuple[int, ...], url: str | None, as_json: bool) -> None:
    """Show each checkpoint: place, last offset in it, size, age by the log's own time, and whether it looks whole.

    Also from which offset on the log is needed, so that the oldest one kept can be caught up from. It does not read the
    files: that is what `verify` does.
    """
    from cli.running.checkpoint_report import print_list

    with _opened(configuration.settings, url) as (cluster, checkpoints):
        found = _found(cluster, checkpoints, chosen)
        print_list(found, _ends(cluster, found), None, as_json=as_json)


@checkpoint.command(
    short_help="Read every checkpoint and compare it.",
    epilog="""
    creditmeter checkpoint verify
    """,
)
@_partitions
@_from
@json_option
@with_configuration
def verify(configuration: Configuration, *, chosen: tuple[int, ...], url: str | None, as_json: bool) -> None:
    """Read every byte of every checkpoint and compare it with its checksum. Exit code 1 where one is damaged.

    One without a seal is being written, or its writer ended: it is shown as incomplete and counts for nothing.
    """
    from cli.running.checkpoint_report import print_list
    from streams.checkpoints.manifest import Condition

    with _opened(configuration.settings, url) as (cluster, checkpoints):
        found = {
            partition: [_read(checkpoints, each) for each in own]
            for partition, own in _found(cluster, checkpoints, chosen).items()
        }
        print_list(found, _ends(cluster, found), "every byte read", as_json=as_json)
    if any(each.condition is Condition.DAMAGED for own in found.values() for each in own):
        raise click.exceptions.Exit(1)


def _make(settings: Settings, chosen: tuple[int, ...], url: str | None, *, as_json: bool) -> None:
    from application.errors import Failed
    from application.scratch import scratch_folder
    from cli.running.checkpoint_report import print_made
    from cli.terminal.progress import waiting
    from streams.checkpoints.by_hand import make_checkpoint, state_path
    from streams.state.store import Identity

    with _opened(settings, url) as (cluster, checkpoints), scratch_folder(settings) as scratch:
        topic, log = cluster.names.requests, cluster.log(cluster.names.requests)
        _check_chosen(cluster, chosen)
        identities = [Identity(topic, each, checkpoints.log_id) for each in chosen or range(cluster.partitions)]
        here = [each for each in identities if chosen or state_path(settings.state_path, each) is not None]
        if not here:
            raise Failed(
                f"{settings.state_path}: no partition's state is on this machine; run this where a worker runs"
            )
        made = []
        for identity in here:
            with waiting(f"copying partition {identity.partition}"):
                made.append(make_checkpoint(settings.state_path, identity, log, checkpoints, scratch))
            if url is None:
                checkpoints.prune(identity.partition, settings.checkpoints_kept)
        print_made(made, as_json=as_json)


@contextmanager
def _opened(settings: Settings, url: str | None) -> Iterator[tuple[Cluster, Checkpoints]]:
    """The cluster, and the checkpoints of its log; what goes wrong becomes Failed or Misconfigured."""
    from application.errors import Failed, Misconfigured
    from application.pipeline import opened
    from streams.checkpoints.checkpoints import Checkpoints
    from streams.checkpoints.object_store import DriverMissing, problem_of
    from streams.checkpoints.sealed import CheckpointError
    from streams.log.topics import check_topics
    from streams.state.store import StateError

    place = url or settings.checkpoint_url
    if place is None:
        raise Misconfigured("No place for checkpoints is known: set checkpoint_url, or give one (see --help).")
    problem = problem_of(place)
    if problem is not None:
        raise Misconfigured(f"{place.partition('://')[0] if '@' in place else place}: {problem}")
    with opened(settings) as cluster:
        topic = cluster.names.requests
        log_id = check_topics(cluster.bootstrap, cluster.names, security=cluster.security)[topic]
        try:
            yield cluster, Checkpoints(place, topic, log_id)
        except DriverMissing as error:
            raise Misconfigured(str(error)) from error
        except (CheckpointError, StateError) as error:
            raise Failed(str(error)) from error


def _found(cluster: Cluster, checkpoints: Checkpoints, chosen: tuple[int, ...]) -> dict[int, list[Found]]:
    _check_chosen(cluster, chosen)
    return {each: list(checkpoints.found(each)) for each in sorted(set(chosen)) or range(cluster.partitions)}


def _check_chosen(cluster: Cluster, chosen: tuple[int, ...]) -> None:
    from application.errors import Misconfigured

    wrong = sorted(each for each in set(chosen) if each >= cluster.partitions)
    if wrong:
        raise Misconfigured(
            f"--partition {wrong[0]}: {cluster.names.requests} has partitions 0 to {cluster.partitions - 1}"
        )


def _ends(cluster: Cluster, partitions: dict[int, list[Found]]) -> dict[int, Ends]:
    from cli.running.checkpoint_report import Ends

    log = cluster.log(cluster.names.requests)
    bounds = {each: log.bounds(each) for each in partitions}
    return {each: Ends(first, end, _last_at(log, each, first, end)) for each, (first, end) in bounds.items()}


def _last_at(log: KafkaInputLog, partition: int, first: int, end: int) -> int | None:
    """The time of the last record; some offsets at the end may hold none."""
    times = [each.timestamp for each in log.read(partition, max(first, end - _LAST), end)]
    return times[-1] if times else None


def _read(checkpoints: Checkpoints, found: Found) -> Found:
    """What a reading of every byte says of one that looks whole."""
    from cli.terminal.progress import waiting
    from streams.checkpoints.manifest import CheckpointDamaged, Condition

    if found.condition is not Condition.WHOLE or found.checkpoint is None:
        return found
    with waiting(f"reading {found.place}"), tempfile.TemporaryDirectory(prefix="creditmeter-verify-") as scratch:
        try:
            checkpoints.verify(found.checkpoint, Path(scratch))
        except CheckpointDamaged as error:
            detail = str(error).removeprefix(f"{found.place}/")
            return found._replace(condition=Condition.DAMAGED, detail=detail)
    return found
