"""`creditmeter query`: SQL over what was billed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from cli.terminal.command import Command
from cli.terminal.options import with_configuration

if TYPE_CHECKING:
    from application.configuration.sources import Configuration

_NOTHING_FOUND = (
    "No rows. What was sent just now is there after a moment: `creditmeter status` shows how much is still to come."
)
_FORMATS = {"table": "Pretty", "csv": "CSVWithNames", "json": "JSONEachRow", "ndjson": "JSONEachRow"}


class _SqlCommand(Command):
    """SQL may begin with a comment: `-- credits by day` is no option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put SQL that begins with a comment behind `--`, where nothing is taken for an option."""
        comments = [argument for argument in args if argument.startswith("--") and argument[2:3].isspace()]
        if comments and "--" not in args:
            args = [*(argument for argument in args if argument not in comments), "--", *comments]
        return super().parse_args(ctx, args)


@click.command(
    cls=_SqlCommand,
    short_help="Ask ClickHouse in SQL, read-only.",
    epilog="""
    creditmeter query "SELECT day, feature, sum(credits) AS credits FROM daily_usage GROUP BY ALL ORDER BY day"
    creditmeter query --format csv "SELECT * FROM billed_events WHERE account_id = 'acme'" > acme.csv
    """,
)
@click.argument("sql")
@click.option("--format", "wanted", type=click.Choice(list(_FORMATS)), help="How to print it.  [default: table]")
@click.option(
    "--raw-csv", is_flag=True, help="CSV for programs: no apostrophe before what a sheet takes for a formula."
)
@with_configuration
def query(configuration: Configuration, *, sql: str, wanted: str | None, raw_csv: bool) -> None:
    """Run one reading statement SQL (- reads it from standard input) and print its result.

    Views: billed_events, refunds, grants, balances, daily_usage, dead_letters, alerts. With the embedded store the
    loader answers while it runs; else the data directory is opened for the moment. json is one array, ndjson one
    object a line. In csv, text that begins with = + - @ or a tab gets an apostrophe before it, so that no spreadsheet
    takes it for a formula; numbers stay as they are.
    """
    from application.clickhouse.asking import answer
    from application.clickhouse.sheets import without_formulas
    from cli.terminal.output import data_output, for_terminal, print_status

    if raw_csv and wanted not in {None, "csv"}:
        raise click.UsageError(f"--raw-csv goes with --format csv, not with {wanted}")
    wanted = wanted or ("csv" if raw_csv else "table")
    text = click.get_text_stream("stdin").read() if sql == "-" else sql
    result = answer(configuration.settings, text, _FORMATS[wanted])
    if not result:
        print_status(_NOTHING_FOUND)
    if wanted == "json":
        result = b"[" + b",\n ".join(result.splitlines()) + b"]\n"
    if wanted == "csv" and not raw_csv:
        result = without_formulas(result)
    if sys.stdout.isatty():
        result = for_terminal(result, is_json=wanted in {"json", "ndjson"})
    with data_output() as out:
        out.write(result)
