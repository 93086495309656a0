"""`creditmeter rate`: price a file of commands without Kafka."""

from __future__ import annotations

import click

from cli.terminal.command import Command
from cli.terminal.option_types import INSTANT_OR_NOW


@click.command(
    cls=Command,
    short_help="Price a file of commands, without Kafka.",
    epilog="""
    creditmeter rate --prices examples/prices/pixel.yaml events.ndjson > billed.ndjson
    grep '"decision":"charged"' billed.ndjson
    """,
)
@click.option(
    "--prices", "book", required=True, type=click.Path(exists=True, dir_okay=False), help="The price book (YAML)."
)
@click.option(
    "--recorded-at",
    type=INSTANT_OR_NOW,
    metavar="TIME|now",
    help="When commands without a recorded_at of their own entered the log. Without it: at their own time.",
)
@click.option("--strict", is_flag=True, help="Exit with 1 when there are dead letters or an unfinished last line.")
@click.argument("file", default="-", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@click.pass_context
def rate(ctx: click.Context, book: str, *, recorded_at: int | None, strict: bool, file: str) -> None:
    """Price the commands of FILE (NDJSON, also compressed; - is standard input) and print what they cause.

    Each input object has a "type": request (the default), refund, grant or account, and that command's fields.
    Times are ms or RFC 3339. Absent: nullable fields are null, maps empty, outcome processed, and recorded_at
    is the command's own time. Each output object has a "type": billed, refund, grant, alert, dead_letter or
    repeated. The summary goes to standard error. It is the engine of the stream, so prices can be tried here.

    With recorded_at at the command's own time nothing is ever in the future, and one event far ahead makes the later
    ones of its account too late; --recorded-at judges as the stream would.
    """
    from application.errors import Failed
    from application.input.file_rating import Rater, to_line
    from application.input.lines import UnreadableInputError, read_lines
    from application.input.ndjson import CommandReader
    from application.prices.files import read_book_file
    from cli.terminal.input import opened_input
    from cli.terminal.output import data_output, print_status
    from streams.garbage_collection import collecting_rarely

    text, _ = read_book_file(book)
    rater = Rater(text)
    try:
        with collecting_rarely(), data_output() as out, opened_input(file) as source:
            reader = CommandReader(read_lines(source.stream), recorded_at)
            for record in rater.rate(reader):
                out.write(to_line(record))
            rater.summary.unfinished = reader.unfinished
        stopped = False
    except KeyboardInterrupt:
        stopped = True
    except UnreadableInputError as error:
        raise Failed(f"{file}: {error}") from error
    if stopped:
        print_status("Stopped. Until then:")
    for sentence in rater.summary.sentences():
        print_status(sentence)
    if stopped or (strict and (rater.summary.dead_letters or rater.summary.unfinished is not None)):
        ctx.exit(1)
