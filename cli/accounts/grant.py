"""`creditmeter grant`: credits for an account."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli.terminal.command import Command
from cli.terminal.option_types import DURATION, INSTANT
from cli.terminal.options import json_option, wait_option, with_configuration
from cli.terminal.output import print_json

if TYPE_CHECKING:
    from application.commands.grants import GrantResult
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

    from application.commands.fields import BadField
    from application.commands.grants import GrantOrder, grant_credits
    from application.pipeline import opened
    from cli.terminal.exits import usage_error
    from cli.terminal.progress import TerminalNotices
    from metering.records import LAST_INSTANT
    from metering.windows import format_instant
    from streams import clock

    if expires_at is not None and expires_in is not None:
        raise click.UsageError("--expires-at and --expires-in are two ways to say the same: give one of them")
    now = clock.now_ms()
    ends = now + expires_in if expires_in is not None else expires_at
    order = GrantOrder(account, credit_type, credits_, now, ends, grant_id or str(uuid.uuid4()), reason)
    try:
        order.record()
    except BadField as error:
        if error.field == "expires_at":
            option = "--expires-at" if expires_in is None else "--expires-in"
            last = format_instant(LAST_INSTANT)
            raise click.UsageError(f"{option}: a time later than now, {last} at the latest") from error
        raise usage_error(error, _OPTION) from error
    with opened(configuration.settings, TerminalNotices()) as pipeline:
        result = grant_credits(pipeline, order, wait)
    if as_json:
        print_json(result.as_json())
    else:
        _print(result)
    if result.decided.is_set_aside:
        raise click.exceptions.Exit(1)


_OPTION = {
    "account_id": "ACCOUNT", "credits": "CREDITS", "credit_type": "--credit-type", "grant_id": "--id",
    "reason": "--reason",
}  # fmt: skip


def _print(result: GrantResult) -> None:
    from application.commands.outcome_sentences import in_words, kept_time
    from application.wording import amount
    from cli.terminal.output import print_line

    decided = result.decided
    for output in decided.outputs:
        print_line(in_words(output))
    if result.is_repeated:
        account = decided.record["account_id"]
        print_line(f"repeated: nothing changed; {account} has accepted a grant {decided.own_id} before")
        for row in result.first:
            what = amount(row["credits"], row["credit_type"])
            print_line(f"the first time, {kept_time(row['changed_at'])}: {row['status']} {what}")
