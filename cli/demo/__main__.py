"""The demo, `python -m cli.demo`: the whole pipeline in a scratch folder, its worker killed twice, the bill checked.

1. Start Kafka, worker, loader and embedded ClickHouse; publish the pixel book.
2. Send seeded events; kill the worker with SIGKILL twice among them, and start it again.
3. Wait until all are rated and loaded. Print the bill from ClickHouse.
4. Rate the same events with `creditmeter rate`: the two bills are equal to the credit, or the exit code is 1.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from application.configuration.settings import ENV_PREFIX
from application.errors import Failed
from cli.demo.demo_events import RECORDED_AT, demo_events
from cli.demo.demo_report import PROBE_ACCOUNT, Bill, Figures, print_report
from cli.demo.example import BOOK_NAME, example_folder, next_steps
from cli.terminal.exits import translated_errors
from cli.terminal.output import print_status
from streams import clock

if TYPE_CHECKING:
    from application.pipeline import Pipeline

_BOOK = example_folder() / BOOK_NAME
_KILLS = (0.35, 0.7)
_AT_WORK_SECONDS = 0.5
_PROBES = 20
_DONE_SECONDS = 120.0
_REPORT_SECONDS = 10.0
_PARTITIONS = 8
_SESSION_SECONDS = 4  # how long Kafka waits for a worker that was killed


class Demo:
    """One run, in a folder that is removed after it."""

    def __init__(self, folder: Path, events: int, seed: int, processes: int) -> None:
        from application.configuration.sources import load
        from cli.running.stack import Stack
        from local.start import start_kafka

        self._folder = folder
        self._events = events
        self._seed = seed
        config = folder / "creditmeter.toml"
        config.write_text(
            f'data_dir = "{folder}/data"\npartitions = {_PARTITIONS}\nprocesses = {processes}\n'
            f"session_timeout = {_SESSION_SECONDS}\n"
        )
        self._settings = load(str(config)).settings
        arguments = ["--config", str(config)]
        self._stack = Stack(self._settings, lambda: start_kafka(folder / "kafka"), print_status, arguments)
        self._killed_at: float | None = None
        self._away = 0.0
        self._reported_at = 0.0

    def run(self) -> bool:
        """Whether the bills are equal. Raises Failed, ServerFailed, NoService."""
        from application.clickhouse.asking import rows_of
        from application.pipeline import opened
        from application.prices.publishing import publish_book

        try:
            self._stack.start()
            settings = self._settings.model_copy(update=self._stack.addresses)
            text = _BOOK.read_text(encoding="utf-8")
            with opened(settings) as pipeline:
                publish_book(pipeline, text, clock.now_ms())
                what = f"{self._events:,} events of 300 accounts (seed {self._seed})"
                print_status(f"Published {_BOOK.name}. Sending {what} …")
                began = clock.monotonic()
                self._send(pipeline)
                self._wait_until_done(pipeline)
                seconds = clock.monotonic() - began
                latencies = self._probe(pipeline)
                bill = Bill.from_clickhouse(lambda sql: rows_of(pipeline.sql, sql))
            print_report(bill, Figures(self._events, seconds, self._away, len(_KILLS), latencies))
        finally:
            self._stack.stop()
        return self._compare(bill)

    def _send(self, pipeline: Pipeline) -> None:
        """Everything in order, poison in between, and the worker killed on the way."""
        kill_at = [int(self._events * share) for share in _KILLS]
        out = pipeline.connections.output_log()
        with pipeline.connections.command_sender("demo") as producer:
            for number, event in enumerate(demo_events(self._seed, self._events)):
                if number in kill_at:
                    producer.flush()
                    self._kill_and_restart(number)
                if isinstance(event, bytes):
                    out.send(pipeline.names.requests, number % _PARTITIONS, event)
                else:
                    producer.add(event)
        out.wait()

    def _kill_and_restart(self, number: int) -> None:
        """Kill the worker while it rates what has been sent."""
        self._wait_for_worker()
        clock.sleep(_AT_WORK_SECONDS)
        self._stack.kill_worker()
        self._killed_at = clock.monotonic()
        print_status(f"{number:,} events sent: worker killed (SIGKILL), starting it again")
        self._stack.start_worker()

    def _wait_for_worker(self) -> None:
        """Return when the worker has partitions again; note how long nobody rated."""
        self._reported_at = clock.monotonic()
        self._stack.wait_for_worker(lambda: self._report("waiting for the worker that was started again"))
        if self._killed_at is not None:
            self._away += clock.monotonic() - self._killed_at
            self._killed_at = None

    def _wait_until_done(self, pipeline: Pipeline) -> None:
        self._wait_for_worker()
        names = pipeline.names
        waits = (
            (names.rating_group, (names.requests,), "messages still to be rated"),
            (names.loading_group, names.loaded, "rated messages still to come into ClickHouse"),
        )
        deadline = clock.monotonic() + _DONE_SECONDS
        for group, topics, what in waits:
            least: int | None = None
            while behind := sum(pipeline.lag(group, topics).values()):
                if (why := self._stack.ended()) is not None:
                    raise Failed(why)
                if least is None or behind < least:
                    least, deadline = behind, clock.monotonic() + _DONE_SECONDS
                if clock.monotonic() > deadline:
                    raise Failed(f"{group} is still {behind:,} messages behind, and was {_DONE_SECONDS:.0f} s ago")
                self._report(f"{behind:,} {what}")
                clock.sleep(0.1)

    def _report(self, text: str) -> None:
        """A line of progress, when the last one is long enough ago."""
        if clock.monotonic() - self._reported_at >= _REPORT_SECONDS:
            self._reported_at = clock.monotonic()
            print_status(f"  {text}")

    def _probe(self, pipeline: Pipeline) -> tuple[float, ...]:
        """How long single events take from being sent until a query sees them (s)."""
        from application.clickhouse.asking import rows_of

        seconds = []
        template = next(event for event in demo_events(0, 100) if isinstance(event, dict))
        with pipeline.connections.command_sender("demo") as producer:
            for number in range(_PROBES):
                event_id = f"probe-{number}"
                began = clock.monotonic()
                producer.add(template | {"event_id": event_id, "account_id": PROBE_ACCOUNT})
                sql = f"SELECT 1 FROM billed_rows WHERE account_id = '{PROBE_ACCOUNT}' AND event_id = '{event_id}'"  # noqa: S608
                while not rows_of(pipeline.sql, sql) and clock.monotonic() - began < _DONE_SECONDS:
                    clock.sleep(0.005)
                seconds.append(clock.monotonic() - began)
        return tuple(seconds)

    def _compare(self, bill: Bill) -> bool:
        print_status("Rating the same events with `creditmeter rate` …")
        events = self._folder / "events.ndjson"
        with events.open("wb") as out:
            for event in demo_events(self._seed, self._events):
                known = None if isinstance(event, bytes) else event | {"recorded_at": RECORDED_AT}
                out.write(b"poison\n" if known is None else json.dumps(known).encode() + b"\n")
        command = [sys.executable, "-P", "-m", "cli.main", "rate", "--prices", str(_BOOK), str(events)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as rating:  # noqa: S603 -- ours
            expected = Bill.from_rate(rating.stdout or ())
        if rating.returncode != 0:
            raise Failed(f"creditmeter rate ended with exit code {rating.returncode}")
        differences = expected.differences(bill)
        for difference in differences:
            print_status(f"  {difference}")
        verdict = "equal to the credit" if not differences else "DIFFERENT"
        print_status(f"stream: {bill.total:,} credits; rate: {expected.total:,} credits: {verdict}")
        return not differences


@click.command()
@click.option("--events", default=200_000, show_default=True, type=click.IntRange(min=1_000), help="How many.")
@click.option("--seed", default=1, show_default=True, help="Another seed is another set of events.")
@click.option("--processes", default=1, show_default=True, type=click.IntRange(1, 16), help="Worker processes.")
@click.option(
    "--keep", is_flag=True, help="Then start a pipeline with an example account, and print links to its pages."
)
@click.pass_context
def main(ctx: click.Context, events: int, seed: int, processes: int, *, keep: bool) -> None:
    """Show the pipeline at work, and that crashes change nothing. Takes one to three minutes; leaves nothing behind.

    With --keep a second pipeline runs then, in the folder creditmeter-example, until Ctrl-C; its data stay.
    """
    from local.choose import NoService
    from local.process import ServerFailed

    for name in [name for name in os.environ if name.startswith(ENV_PREFIX)]:
        del os.environ[name]  # somebody's own pipeline is not to be touched
    with translated_errors():
        try:
            with tempfile.TemporaryDirectory(prefix="creditmeter-demo-") as folder:
                equal = Demo(Path(folder), events, seed, processes).run()
        except (NoService, ServerFailed) as error:
            raise Failed(str(error)) from error
    if keep and equal:
        _keep()
    print_status("The scratch folder is gone. To look around in a pipeline of your own:")
    for command in next_steps():
        print_status(f"  {command}")
    ctx.exit(0 if equal else 1)


def _keep() -> None:
    """Become `creditmeter up --example`, in a folder of its own below this one."""
    folder = Path("creditmeter-example")
    folder.mkdir(exist_ok=True)
    (folder / "creditmeter.toml").write_text('data_dir = "data"\n', encoding="utf-8")
    print_status(f"Now the pages, with an example account; the data stay in {folder}.")
    os.chdir(folder)
    os.execv(sys.executable, [sys.executable, "-P", "-m", "cli.main", "up", "--example"])  # noqa: S606 -- ourselves


if __name__ == "__main__":
    main()
