"""`creditmeter grant`: credits for an account."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cli.terminal.command import Command
from cli.terminal.option_types import DURATION, INSTANT
from cli.terminal.options import json_option, wait_option, with_configuration
from cli.terminal.output import print_json

if TYPE_CHECKING:
    from application.commands.submitting import Decided
    from application.configuration.settings import Settings
    from application.configuration.sources import Configuration


@click.command(
    cls=Command,
    short_help="Give an account credits.",
    epilog="""
    creditmeter grant acme 5000 --credit-type credit --expires-in 30d --reason "January, plan team"
    creditmeter grant acme 100 --credit-type email --id invoice-1042
    """,
)
@click.argument("account")
@click.argument("credits_", metavar="CREDITS", type=click.IntRange(min=1))
@click.option("--credit-type", required=True, help="Which of the account's balances: a charge's credit_type.")
@click.option("--expires-at", type=INSTANT, help="When what is left is forfeited: 2026-12-31T00:00:00Z or 2026-12-31.")
@click.option("--expires-in", type=DURATION, help="The same, counted from now: 30d, 12h.")
@click.option("--id", "grant_id", help="The grant's id: the same again changes nothing. Without it: a random one.")
@click.option("--reason", default="", help="Kept with the grant, for whoever looks later.")
@wait_option
@json_option
@with_configuration
def grant(
    configuration: Configuration,
    *,
    account: str,
    credits_: int,
    credit_type: str,
    expires_at: int | None,
    expires_in: int | None,
    grant_id: str | None,
    reason: str,
    wait: float,
    as_json: bool,
) -> None:
    """Give ACCOUNT so many CREDITS, wait for the result, and print the balance after.

    Debt is filled first; charges use the grant that expires soonest first. The id is printed before it is sent: should
    anything go wrong, repeat the command with --id and that id, and the account has the credits once.
    """
    import uuid

    from application.commands.fields import allowed_values
    from application.commands.submitting import decide
    from application.pipeline import opened
    from metering.records import LAST_INSTANT
    from metering.records import Command as Word
    from metering.validation import check_grant
    from metering.windows import format_instant
    from streams import clock

    if expires_at is not None and expires_in is not None:
        raise click.UsageError("--expires-at and --expires-in are two ways to say the same: give one of them")
    now = clock.now_ms()
    record = {
        "grant_id": grant_id or str(uuid.uuid4()),
        "account_id": account,
        "credit_type": credit_type,
        "credits": credits_,
        "granted_at": now,
        "expires_at": now + expires_in if expires_in is not None else expires_at,
        "reason": reason,
    }
    bad = check_grant(record)
    if bad is not None:
        option, allowed = _OPTION.get(bad, bad), allowed_values(Word.GRANT, bad)
        if bad == "expires_at":
            option = "--expires-at" if expires_in is None else "--expires-in"
            allowed = f"a time later than now, {format_instant(LAST_INSTANT)} at the latest"
        raise click.UsageError(f"{option}: {allowed}")
    with opened(configuration.settings) as cluster:
        (result,) = decide(cluster, Word.GRANT, [record], wait)
    first = [] if result.outputs else _first(configuration.settings, result)
    _show(result, first, as_json=as_json)
    if result.is_set_aside:
        raise click.exceptions.Exit(1)


_OPTION = {
    "account_id": "ACCOUNT", "credits": "CREDITS", "credit_type": "--credit-type", "grant_id": "--id",
    "reason": "--reason",
}  # fmt: skip


def _first(settings: Settings, result: Decided) -> list[dict[str, Any]]:
    """What this grant's id did the first time, as far as ClickHouse has it at hand."""
    from application.clickhouse.asking import known_rows, literal

    return known_rows(
        settings,
        "SELECT changed_at, credit_type, status, credits, expires_at, balance_after FROM grants "  # noqa: S608 - quoted
        f"WHERE account_id = {literal(result.record['account_id'])} AND grant_id = {literal(result.own_id)} "
        "ORDER BY source_offset, position",
    )


def _show(result: Decided, first: list[dict[str, Any]], *, as_json: bool) -> None:
    from application.commands.outcome_sentences import amount, in_words, kept_time
    from cli.terminal.output import tell

    if as_json:
        repeat = {"repeated": not result.outputs, "first": first}
        print_json(result.as_json() | repeat)
        return
    for output in result.outputs:
        tell(in_words(output))
    if not result.outputs:
        account = result.record["account_id"]
        tell(f"repeated: nothing changed; {account} has accepted a grant {result.own_id} before")
        for row in first:
            what = amount(row["credits"], row["credit_type"])
            tell(f"the first time, {kept_time(row['changed_at'])}: {row['status']} {what}")
