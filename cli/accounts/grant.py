"""`creditmeter grant`: credits for an account."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from cli.access.opening import note_typed_changes
from cli.accounts.orders import carried_out, show_result
from cli.terminal.command import Command
from cli.terminal.option_types import DURATION, INSTANT
from cli.terminal.options import json_option, wait_option, with_configuration

if TYPE_CHECKING:
    from application.commands.grants import GrantResult
    from application.configuration.sources import Configuration
    from application.pipeline import Pipeline


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
    anything go wrong, repeat the command with --id and that id, and the account has the credits once. An id that the
    account knows with other content changes nothing: what differs is said, and the exit code is 1.
    """
    import uuid

    from application.access.access import ChangeNote
    from application.commands.grants import GrantOrder, grant_credits
    from metering.records import LAST_INSTANT
    from metering.windows import format_instant
    from streams import clock

    if expires_at is not None and expires_in is not None:
        raise click.UsageError("--expires-at and --expires-in are two ways to say the same: give one of them")
    now = clock.now_ms()
    ends = now + expires_in if expires_in is not None else expires_at
    if ends is not None and not now < ends <= LAST_INSTANT:
        option = "--expires-at" if expires_in is None else "--expires-in"
        raise click.UsageError(f"{option}: a time later than now, {format_instant(LAST_INSTANT)} at the latest")
    order = GrantOrder(account, credit_type, credits_, now, ends, grant_id or str(uuid.uuid4()), reason)

    def listed(pipeline: Pipeline, record: Mapping[str, Any]) -> None:
        details = {"credits": str(credits_), "credit_type": credit_type}
        change = ChangeNote("grant", record["grant_id"], account, details)
        note_typed_changes(configuration.settings, pipeline, [change])

    result = carried_out(configuration.settings, order, grant_credits, wait, _OPTION, lists=listed)
    failed = result.decided.is_set_aside or result.decided.is_other_content
    show_result(result, _print, as_json=as_json, failed=failed)


_OPTION = {
    "account_id": "ACCOUNT", "credits": "CREDITS", "credit_type": "--credit-type", "grant_id": "--id",
    "reason": "--reason",
}  # fmt: skip


def _print(result: GrantResult) -> None:
    from application.commands.outcome_sentences import in_words, kept_time
    from application.commands.repeats import repeat_in_words
    from application.wording import amount
    from cli.terminal.output import print_line

    decided = result.decided
    for output in decided.outputs:
        print_line(in_words(output))
    if decided.repeat is not None:
        print_line(repeat_in_words(decided.repeat, f"grant {decided.own_id} of {decided.record['account_id']}"))
        for row in result.first:
            what = amount(row["credits"], row["credit_type"])
            print_line(f"the first time, {kept_time(row['changed_at'])}: {row['status']} {what}")
