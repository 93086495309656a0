"""`creditmeter worker` and `creditmeter load`: the two long-running halves of the pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.terminal.command import Command
from cli.terminal.options import with_configuration

if TYPE_CHECKING:
    from application.configuration.settings import Settings
    from application.configuration.sources import Configuration
    from application.pipeline import Pipeline
    from streams.rating.worker import WorkerSettings

# Made when partitions have been assigned: how `up` and the demo know that it works.
_ready_file = click.option("--ready-file", type=click.Path(path_type=Path), hidden=True, help="Made when it is ready.")


@click.command(
    cls=Command,
    short_help="Rate commands from Kafka.",
    epilog="""
    creditmeter worker --processes 2
    """,
)
@click.option(
    "--processes", type=click.IntRange(1, 256), help="Processes that share the partitions (setting: processes)."
)
@click.option("--number", type=int, default=0, hidden=True, help="Which of several processes this is.")
@_ready_file
@with_configuration
@click.pass_context
def worker(
    ctx: click.Context,
    configuration: Configuration,
    *,
    processes: int | None,
    number: int,
    ready_file: Path | None,
) -> None:
    """Read commands from Kafka, decide them, and send what they cause to the output topics.

    Makes the topics that are missing. Runs until SIGTERM or Ctrl-C, which end it in order with exit code 0; any failure
    ends it with exit code 1, and it may be started again at once: nothing is lost and nothing is charged twice.
    """
    settings = configuration.settings
    count = processes or settings.processes
    if count == 1:
        _work(settings, number, ready_file)
    from cli.running.crew import Crew

    folder = settings.data_dir / "ready"
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"worker-{index}" for index in range(count)]
    for path in files:
        path.unlink(missing_ok=True)
    config = ["--config", str(configuration.file)] if configuration.file else []
    commands = [
        ["worker", "--processes", "1", "--number", str(index), "--ready-file", str(path), *config]
        for index, path in enumerate(files)
    ]
    ctx.exit(Crew().run(commands, files, ready_file))


@click.command(
    cls=Command,
    short_help="Load what was decided into ClickHouse.",
    epilog="""
    creditmeter load
    """,
)
@_ready_file
@click.option(
    "--skip-lost",
    is_flag=True,
    help="Go on without the rows of records that retention deleted before they were loaded.",
)
@with_configuration
def load(configuration: Configuration, *, ready_file: Path | None, skip_lost: bool) -> None:
    """Read the output topics and keep them in ClickHouse, embedded or a server.

    With the embedded store this process holds the data directory, applies migrations when it starts, and answers
    `creditmeter query` at query_port of 127.0.0.1. A store that is away is waited for; nothing is skipped. Runs until
    SIGTERM or Ctrl-C.
    """
    from application.clickhouse.opening import opened_sink, served
    from application.pipeline import opened, pipeline_seals
    from cli.terminal.logs import set_up_logs
    from sinks.migrate import check_schema, migrate
    from streams.loading.loader import LoaderSettings, run_loader

    settings = configuration.settings
    set_up_logs()
    with opened(settings) as pipeline, opened_sink(settings) as store:
        if settings.store == "embedded":
            migrate(store)
            sink = served(store, settings)
        else:
            check_schema(store)
            sink = store
        pipeline.ensure_topics()
        run_loader(
            LoaderSettings(
                pipeline.address,
                pipeline.names,
                _made(settings.data_dir / "loader", settings),
                pipeline_seals(settings, pipeline).begun(pipeline.partitions),
                pipeline.codec,
                security=settings.kafka_security,
                session_timeout=settings.session_timeout,
                # the worker's processes have the ports before it
                metrics_port=settings.metrics_port + settings.processes if settings.metrics_port else None,
                metrics_host=settings.metrics_host,
                skip_lost=skip_lost,
            ),
            sink,
            _touch(ready_file),
        )


def _work(settings: Settings, number: int, ready_file: Path | None) -> None:
    """One worker process; does not return."""
    from application.errors import Misconfigured
    from application.pipeline import opened
    from cli.terminal.logs import set_up_logs
    from streams.checkpoints.object_store import DriverMissing
    from streams.rating.worker import run_worker

    set_up_logs()
    with opened(settings) as pipeline:
        pipeline.ensure_topics()
        try:
            run_worker(_worker_settings(settings, pipeline, number), _touch(ready_file))
        except DriverMissing as error:
            raise Misconfigured(f"checkpoint_url: {error}") from error


def _worker_settings(settings: Settings, pipeline: Pipeline, number: int) -> WorkerSettings:
    from application.pipeline import pipeline_seals
    from streams.checkpoints.automatic import CheckpointSettings
    from streams.rating.worker import WorkerSettings

    url = settings.checkpoint_url
    checkpoints = None if url is None else CheckpointSettings(url, settings.checkpoint_every, settings.checkpoints_kept)
    return WorkerSettings(
        pipeline.address,
        pipeline.names,
        _made(settings.state_path, settings),
        pipeline_seals(settings, pipeline).begun(pipeline.partitions).sealer,
        pipeline.codec,
        settings.group_messages,
        settings.group_bytes,
        settings.kafka_security,
        session_timeout=settings.session_timeout,
        metrics_port=settings.metrics_port + number if settings.metrics_port else None,
        metrics_host=settings.metrics_host,
        checkpoints=checkpoints,
    )


def _made(folder: Path, settings: Settings) -> Path:
    """The folder, made where it is missing, below a data_dir that is this user's alone. Raises Failed."""
    from application.errors import Failed
    from application.private_files import private_folders
    from cli.terminal.output import print_status

    try:
        for remark in private_folders(settings):
            print_status(remark)
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Failed(f"{folder}: {error.strerror}; let this process write there, or set data_dir") from error
    return folder


def _touch(path: Path | None) -> Any:
    return None if path is None else path.touch
