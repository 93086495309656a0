"""`creditmeter up` and `down`: everything on this machine, and its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli.terminal.command import Command
from cli.terminal.options import with_configuration

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from application.configuration.sources import Configuration
    from cli.running.machine_access import MachineAccess
    from cli.running.stack import Stack
    from local.record import Record
    from local.start import Broker

_LOOK_SECONDS = 0.2
_DOWN_SECONDS = 120.0
_START_SECONDS = 300.0


@click.command(
    cls=Command,
    short_help="Start everything on this machine.",
    epilog="""
    creditmeter up --detach
    creditmeter up --detach --example
    creditmeter query "SELECT * FROM daily_usage"
    creditmeter down
    """,
)
@click.option("--detach", is_flag=True, help="Return when everything answers, and leave it running.")
@click.option("--example", is_flag=True, help="Make an example account with a history, to look at the pages.")
@click.option(
    "--without-links", is_flag=True, hidden=True, help="Print no sign-in links, which whoever starts it does."
)
@with_configuration
def up(configuration: Configuration, *, detach: bool, example: bool, without_links: bool) -> None:
    """Start Kafka, a worker, a loader with embedded ClickHouse, and the HTTP API; keep them running, all in data_dir.

    With bootstrap_servers set, that Kafka is used instead of one of our own. Kafka of our own needs Java 17 and Maven;
    with Docker alone use `docker compose up`. Commands typed in this folder meanwhile find the addresses by themselves.
    A part that ends by itself is started again, and the log says why.
    A link is printed that signs a browser in, once, for support; with --example one for the example account, too.
    Everything ends with Ctrl-C, or after --detach with `creditmeter down`; the data stay, and `up` goes on with them.
    """
    if detach:
        _detach(configuration, example=example)
    else:
        _stay(configuration, example=example, with_links=not without_links)


@click.command(
    cls=Command,
    short_help="Stop what `up --detach` left running.",
    epilog="""
    creditmeter down
    """,
)
@with_configuration
def down(configuration: Configuration) -> None:
    """Stop what `creditmeter up` runs in data_dir, in order. The data stay."""
    from application.configuration.sources import UP_RECORD
    from application.errors import Failed
    from cli.terminal.output import print_status
    from local.process import ServerFailed
    from local.record import stop

    try:
        ran = stop(configuration.settings.data_dir / UP_RECORD, _DOWN_SECONDS)
    except ServerFailed as error:
        raise Failed(str(error)) from error
    print_status("Stopped." if ran else "Nothing was running.")


def _stay(configuration: Configuration, *, example: bool, with_links: bool) -> None:
    """Run everything until SIGTERM or Ctrl-C. Exit code 1 when Kafka ends by itself, or a part too often."""
    import os
    import signal
    from threading import Event

    from application.configuration.sources import RUN_RECORD, UP_RECORD
    from application.errors import Failed
    from application.private_files import private_folders
    from cli.running.machine_access import MachineAccess
    from cli.running.ports import is_set, taken_ports
    from cli.running.stack import Stack
    from cli.terminal.output import print_status
    from local.choose import NoService
    from local.process import ServerFailed
    from local.record import Record

    settings = configuration.settings
    record = settings.data_dir / UP_RECORD
    asked = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: asked.set())
    config = ["--config", str(configuration.file.absolute())] if configuration.file else []
    given = (
        None if configuration.origins["bootstrap_servers"].startswith("creditmeter up") else settings.bootstrap_servers
    )
    machine = MachineAccess(settings)
    set_ports = [name for name in ("query_port", "serve_port") if is_set(configuration.origins, name)]
    stack = Stack(
        settings, lambda: _broker(settings.data_dir / "kafka", given), print_status, config,
        set_ports=set_ports, with_server=True, prepare=machine.make_operator_key,
    )  # fmt: skip
    try:
        if (running := Record.read(record)) is not None:
            raise Failed(_already(settings.data_dir, running))
        (settings.data_dir / RUN_RECORD).unlink(missing_ok=True)  # what a killed `up` has left
        if taken := taken_ports(settings, configuration.origins):
            raise Failed("\n".join(taken))
        for remark in private_folders(settings):
            print_status(remark)
        machine.make_secret()
        Record.of(os.getpid(), "").write(record)
        try:
            stack.start()
            kafka, logs = stack.addresses["bootstrap_servers"], settings.data_dir / "logs"
            print_status(f"Everything runs. Kafka: {kafka}; HTTP: {_url(stack)}; logs: {logs}")
            print_status(f"Operator's key of this machine: {machine.key_file}")
            if with_links:
                _print_links(machine, stack.addresses, example=example)
            print_status("Ctrl-C ends it; the data stay.")
            while not asked.wait(_LOOK_SECONDS):
                stack.mend()
        finally:
            print_status("Stopping …")
            stack.stop()
            record.unlink(missing_ok=True)
    except (NoService, ServerFailed) as error:
        raise Failed(str(error)) from error


def _detach(configuration: Configuration, *, example: bool) -> None:
    """Start `up` in the background and return when it says that everything runs."""
    import sys

    from application.configuration.sources import RUN_RECORD, UP_RECORD
    from application.errors import Failed
    from application.private_files import private_folders
    from cli.running.machine_access import MachineAccess
    from cli.running.ports import taken_ports
    from cli.terminal.output import print_status
    from local.answers import wait_until
    from local.process import ServerFailed, ServerProcess
    from local.record import Record

    folder = configuration.settings.data_dir
    config = ["--config", str(configuration.file.absolute())] if configuration.file else []
    if (running := Record.read(folder / UP_RECORD)) is not None:
        why = wait_until((folder / RUN_RECORD).exists, _START_SECONDS, lambda: None if running.runs() else "has ended")
        if why is not None:
            raise Failed(f"the `creditmeter up` that was starting here (pid {running.pid}) {why}")
        print_status(_already(folder, running))
        if example:
            _print_links(MachineAccess(configuration.settings), _addresses(folder), example=True)
        return
    if taken := taken_ports(configuration.settings, configuration.origins):
        raise Failed("\n".join(taken))
    try:
        for remark in private_folders(configuration.settings):
            print_status(remark)
        (folder / "logs").mkdir(parents=True, exist_ok=True)
        (folder / RUN_RECORD).unlink(missing_ok=True)
        command = [sys.executable, "-P", "-m", "cli.main", "up", "--without-links", *config]
        process = ServerProcess("creditmeter up", command, log=folder / "logs" / "up.log", outlive=True)
        process.wait_until((folder / RUN_RECORD).exists, _START_SECONDS)
    except ServerFailed as error:
        raise Failed(str(error)) from error
    print_status(f"Everything runs (pid {process.pid}); logs: {folder / 'logs'}; `creditmeter down` stops it.")
    _print_links(MachineAccess(configuration.settings), _addresses(folder), example=example)


def _addresses(folder: Path) -> dict[str, str | int]:
    """Where everything answers, as `up` has written it."""
    import json

    from application.configuration.sources import RUN_RECORD

    addresses: dict[str, str | int] = json.loads((folder / RUN_RECORD).read_text())
    return addresses


def _print_links(machine: MachineAccess, addresses: Mapping[str, str | int], *, example: bool) -> None:
    """Sign-in links on standard error: whoever reads them can sign in, once each."""
    from cli.terminal.output import print_status

    for whom, url in machine.sign_in_links(addresses, example=example):
        print_status(f"Sign in once, {whom}: {url}")


def _url(stack: Stack) -> str:
    return f"http://{stack.settings.serve_host}:{stack.addresses['serve_port']}"


def _already(folder: Path, running: Record) -> str:
    """The message where everything runs already."""
    import json

    from application.configuration.sources import RUN_RECORD

    try:
        kafka = json.loads((folder / RUN_RECORD).read_text())["bootstrap_servers"]
    except (OSError, ValueError, KeyError):  # not there before everything answers
        kafka = "is starting"
    return f"creditmeter already runs here (pid {running.pid}, Kafka {kafka}); `creditmeter down` stops it."


def _broker(folder: Path, given: str | None) -> Broker:
    """The Kafka that is configured, or one of our own whose data stay in the folder.

    Not one in a container: `local` removes those with their data, and the state beside it must not outlive the log.
    """
    from local import probes
    from local.broker import LocalBroker
    from local.choose import NoService
    from local.start import GivenBroker

    if given is not None:
        return GivenBroker(given)
    missing = [why for why in (probes.java(), probes.maven()) if why is not None]
    if missing:
        raise NoService(
            f"Kafka cannot be run here: {'; '.join(missing)}. Set bootstrap_servers to a Kafka that runs, install Java "
            "17 and Maven (Debian: apt install maven), or with Docker use `docker compose up`."
        )
    return LocalBroker(folder).start()
