"""`python -m server`: what `creditmeter serve` becomes."""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

from application.access.access import secret_keys_of
from application.configuration.page_actions import row_actions
from application.configuration.settings import Settings
from application.configuration.sources import load
from application.errors import ErrorCode, Misconfigured, UseCaseError
from application.pipeline import Pipeline, opened
from application.prices.rate_limit_counters import RedisCounters
from application.status.pipeline import pipeline_status
from application.usage.store import configured_usage
from server.api.reads import Reads, opened_reads
from server.logs import set_up_logs
from server.opening import opened_authenticator, opened_parts
from server.parts import PublicFace
from server.running import listening_socket, run
from streams import garbage_collection, threads

_HERE = {"127.0.0.1", "::1", "localhost"}


def main() -> int:
    """Serve until asked to end. Exit codes: 0 ended in order, 1 failed, 2 wrong configuration."""
    parser = argparse.ArgumentParser(prog="creditmeter serve")
    parser.add_argument("--config")
    parser.add_argument("--ready-file", type=Path)
    arguments = parser.parse_args()
    os.umask(os.umask(0o077) | 0o077)
    set_up_logs()
    try:
        serve(load(arguments.config).settings, arguments.ready_file)
    except UseCaseError as error:
        print(f"Error: {error.message}", file=sys.stderr)  # noqa: T201 -- a command's own error
        return 2 if error.code is ErrorCode.INVALID else 1
    return 0


def serve(settings: Settings, ready_file: Path | None) -> None:
    """Serve the pipeline of the configuration. Raises Misconfigured, UseCaseError."""

    def set_up() -> None:
        garbage_collection.leave_out_what_is_there()
        threads.switch_often()
        if ready_file is not None:
            ready_file.touch()

    check_exposure(settings)
    with listening_socket(settings.serve_host, settings.serve_port) as listener, opened(settings) as pipeline:
        pipeline.ensure_topics()
        with opened_authenticator(settings, pipeline) as authenticator, configured_reads(settings, pipeline) as reads:
            run(
                partial(
                    opened_parts,
                    pipeline,
                    authenticator,
                    public_face(settings),
                    reads=reads,
                    access=authenticator.access,
                ),
                listener,
                set_up,
            )


def check_exposure(settings: Settings) -> None:
    """Raises Misconfigured where it would listen beyond this machine without secrets of its own (SERVER.md 1)."""
    if settings.serve_host in _HERE:
        return
    missing = [name for name in ("seal_key", "secret_key") if getattr(settings, name) is None]
    if missing:
        raise Misconfigured(
            f"serve_host = {settings.serve_host} is reached from other machines:",
            [f"{name}: is needed then; set it to a secret that nobody can guess" for name in missing],
        )


def configured_reads(settings: Settings, pipeline: Pipeline) -> AbstractContextManager[Reads]:
    """What customers' reads are answered from: the configured store, asked when it is first needed."""
    redis = settings.rate_limits_redis
    return opened_reads(
        pipeline, configured_usage(settings), secret_keys_of(settings),
        primary_credit_type=settings.primary_credit_type, public_prices=settings.public_prices,
        status=lambda: pipeline_status(settings, pipeline, with_books=False).as_json(),
        counters=None if redis is None else RedisCounters(redis.get_secret_value()),
    )  # fmt: skip


def public_face(settings: Settings) -> PublicFace:
    """How clients see this server."""
    hosts = [host for host in settings.serve_hosts.split(",") if host]
    origins = [origin for origin in settings.serve_origins.split(",") if origin]
    return PublicFace(
        hosts, settings.serve_behind_tls, settings.cloud_events_source_in_id, origins, public_url=settings.public_url,
        company=settings.company_name, row_actions=row_actions(settings.page_actions),
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
