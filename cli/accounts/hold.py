"""`creditmeter hold`: credits set aside before work is done, and released where it failed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli.accounts.orders import carried_out, show_result
from cli.terminal.command import Command, Group
from cli.terminal.option_types import DURATION, amounts_by_type
from cli.terminal.options import json_option, wait_option, with_configuration

if TYPE_CHECKING:
    from application.commands.holds import HoldResult
    from application.configuration.sources import Configuration

_HELP = ("-h", "--help")


class _HoldGroup(Group):
    """`hold ACCOUNT …` is short for `hold place ACCOUNT …`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Click's, with the subcommand put in where none is named."""
        if args and args[0] not in self.commands and args[0] not in _HELP:
            args = ["place", *args]
        return super().parse_args(ctx, args)


@click.group(
    cls=_HoldGroup,
    short_help="Set credits aside before work is done.",
    epilog="""
    creditmeter hold acme --credits credit=100 --expires-in 1h --reason "export 7"
    creditmeter hold release export-7 --account acme
    """,
)
def hold() -> None:
    """Hold credits of an account for work to come, or release them where it failed.

    `hold ACCOUNT` is short for `hold place ACCOUNT`. The work's events name the hold (hold_id) and draw on it.
    """


@hold.command(
    cls=Command,
    short_help="Set an account's credits aside.",
    epilog="""
    creditmeter hold acme --credits credit=100 --expires-in 1h --reason "export 7"
    creditmeter hold acme --credits credit=50 --credits email=5 --id export-7 --json
    """,
)
@click.argument("account_id", metavar="ACCOUNT")
@click.option(
    "--credits", "credits_", multiple=True, required=True, callback=amounts_by_type, metavar="TYPE=N",
    help="How many of which type.",
)  # fmt: skip
@click.option(
    "--expires-in",
    type=DURATION,
    default="1h",
    show_default=True,
    help="When the rest is free again: 30s, 2d; 30d at most.",
)
@click.option("--id", "hold_id", help="The hold's id: the same again changes nothing. Without it: a random one.")
@click.option("--reason", default="", help="Kept with the hold, for whoever looks later.")
@wait_option
@json_option
@with_configuration
def place(
    configuration: Configuration,
    account_id: str,
    *,
    credits_: dict[str, int],
    expires_in: int,
    hold_id: str | None,
    reason: str,
    wait: float,
    as_json: bool,
) -> None:
    """Set credits of ACCOUNT aside, wait for the decision, and print what is available after it.

    No balance moves. Where the account rejects (on_empty) and has less available, the hold is rejected and the exit
    code is 1. The id is printed before it is sent: repeat the command with --id and that id, and it is held once. An
    id that the account knows with other content changes nothing: what differs is said, and the exit code is 1.
    """
    import uuid

    from application.commands.holds import HoldOrder, place_hold
    from streams import clock

    now = clock.now_ms()
    order = HoldOrder(account_id, credits_, now, now + expires_in, hold_id or str(uuid.uuid4()), reason)
    result = carried_out(configuration.settings, order, place_hold, wait, _OPTION)
    failed = result.is_rejected or result.decided.is_set_aside or result.decided.is_other_content
    show_result(result, _print_placed, as_json=as_json, failed=failed)


@hold.command(
    cls=Command,
    short_help="Free what a hold sets aside: its work failed.",
    epilog="""
    creditmeter hold release export-7 --account acme
    """,
)
@click.argument("hold_id")
@click.option("--account", "account_id", required=True, help="Whose hold.")
@wait_option
@json_option
@with_configuration
def release(configuration: Configuration, hold_id: str, *, account_id: str, wait: float, as_json: bool) -> None:
    """End the hold HOLD_ID without a charge; what it still sets aside is available again.

    It sends an event of outcome failed that names the hold, as a service does whose work failed. Where the hold is not
    open (any more) nothing changes, and the exit code is 1.
    """
    from application.commands.holds import ReleaseOrder, release_hold
    from streams import clock

    order = ReleaseOrder(account_id, hold_id, clock.now_ms())
    options = {"hold_id": "HOLD_ID", "account_id": "--account"}
    result = carried_out(configuration.settings, order, release_hold, wait, options)
    show_result(result, _print_released, as_json=as_json, failed=not result.is_over)


_OPTION = {
    "account_id": "ACCOUNT", "credits": "--credits", "expires_at": "--expires-in", "hold_id": "--id",
    "reason": "--reason",
}  # fmt: skip


def _print_placed(result: HoldResult) -> None:
    from application.commands.outcome_sentences import in_words, kept_time
    from application.commands.repeats import repeat_in_words
    from cli.terminal.output import print_line

    for output in result.decided.outputs:
        print_line(in_words(output))
    repeat = result.decided.repeat
    if repeat is not None:
        print_line(repeat_in_words(repeat, f"hold {result.hold_id} of {result.decided.record['account_id']}"))
        for row in result.first:
            print_line(f"the first time, {kept_time(row['held_at'])}; its last change: {row['status']}")


def _print_released(result: HoldResult) -> None:
    from application.commands.outcome_sentences import in_words
    from cli.terminal.output import print_line
    from metering.records import Kind

    for output in result.decided.outputs:
        if output["type"] != Kind.BILLED:  # the event that releases costs nothing
            print_line(in_words(output))
    if result.change is None and not result.decided.is_set_aside:
        print_line(f"nothing changed: {result.decided.record['account_id']} has no open hold {result.hold_id}")
