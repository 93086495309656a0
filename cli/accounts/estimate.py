"""`creditmeter estimate`: what a job would cost, before it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli.terminal.command import Command
from cli.terminal.options import json_option, with_configuration
from cli.terminal.output import print_json

if TYPE_CHECKING:
    from application.accounts.estimate import Estimator
    from application.configuration.sources import Configuration


@click.command(
    cls=Command,
    short_help="Tell what a job would cost before it runs.",
    epilog="""
    creditmeter estimate --account acme job.ndjson
    creditmeter estimate --account acme --prices next.yaml --json job.ndjson.gz
    """,
)
@click.option("--account", "account_id", required=True, metavar="ACCOUNT", help="Who would pay.")
@click.option(
    "--prices", "book", type=click.Path(exists=True, dir_okay=False),
    help="Another price book (YAML) instead of the one in force.",
)  # fmt: skip
@click.argument("file", default="-", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@json_option
@with_configuration
def estimate(configuration: Configuration, account_id: str, book: str | None, file: str, *, as_json: bool) -> None:
    """Count what the commands of FILE (NDJSON as `rate` reads it; - is standard input) would cost ACCOUNT.

    They are applied to a copy of the account's present state, with its claims and balances; nothing is sent or written.
    A line may leave out account_id (it is ACCOUNT), a request's event_id (each is then a new event) and its time (it
    is now). Every other command is taken as sent at its own time. A line for another account is an error.
    """
    from application.accounts.estimate import Estimator
    from application.accounts.opening import opened_replay, scratch_store
    from application.pipeline import opened
    from application.prices.files import read_book_file
    from cli.accounts.estimate_report import print_estimate
    from cli.terminal.output import print_status
    from cli.terminal.progress import TerminalNotices
    from streams import clock

    text = None if book is None else read_book_file(book)[0]
    with (
        opened(configuration.settings, TerminalNotices()) as pipeline,
        opened_replay(pipeline, account_id) as account,
        scratch_store(pipeline.places.data) as upper,
    ):
        account.run()
        estimator = Estimator(account.replay, upper, clock.now_ms())
        if text is not None:
            estimator.use_book(text)
        if estimator.result.stream_time is None:
            print_status(f"{account_id} is not known yet: it has no balance and no claims.")
        if not estimator.has_prices:
            print_status("No price book is in force: everything is unpriced. Publish one, or give --prices.")
        _read(estimator, file)
        result, place = estimator.finish(), f"{account.replay.place}@{account.replay.applied}"
    if as_json:
        print_json({"account_id": account_id, "place": place, **result.as_plain()})
    else:
        print_estimate(result, place)


def _read(estimator: Estimator, file: str) -> None:
    """Every line of the file. Raises Failed."""
    from application.accounts.estimate import WrongAccount
    from application.errors import Failed
    from application.input.lines import UnreadableInputError, read_lines
    from application.input.ndjson import CommandReader
    from cli.terminal.input import opened_input
    from cli.terminal.output import print_status
    from cli.terminal.progress import file_progress

    result = estimator.result
    try:
        with (
            opened_input(file) as source,
            file_progress(file, source, "counted") as report,
        ):
            reader = CommandReader(read_lines(source.stream))
            for done, command in enumerate(reader, 1):
                estimator.add(command)
                bad = result.dead_letters.total()
                report.advance(done - bad, bad)
        if reader.unfinished is not None:
            print_status(f"{file}: line {reader.unfinished} has no end yet and is no whole object: it was left out.")
    except (UnreadableInputError, WrongAccount) as error:
        raise Failed(f"{file}: {error}") from error
