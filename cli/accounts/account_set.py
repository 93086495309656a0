"""`creditmeter account set`: an account's plan, what happens when it is empty, and its alert marks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from cli.access.opening import note_typed_changes
from cli.terminal.command import Command
from cli.terminal.option_types import INSTANT, amounts_by_type
from cli.terminal.options import json_option, wait_option, with_configuration
from cli.terminal.output import print_json

if TYPE_CHECKING:
    from application.commands.account_settings import SettingsResult
    from application.configuration.sources import Configuration


@click.command(
    cls=Command,
    short_help="Change plan, on-empty rule or alert marks.",
    epilog="""
    creditmeter account set acme --plan team --started-at 2026-01-01
    creditmeter account set acme --on-empty reject --alert-below credit=500 --alert-below email=20
    creditmeter account set acme --no-plan --no-alert-below email
    """,
)
@click.argument("account_id", metavar="ACCOUNT")
@click.option("--plan", help="The plan's name, as price books use it.")
@click.option("--started-at", type=INSTANT, help="When the plan began: 2026-01-01. Without it: now.")
@click.option("--ends-at", type=INSTANT, help="When it ends. Without it, with --plan: never.")
@click.option("--no-plan", is_flag=True, help="No plan from now on.")
@click.option("--on-empty", type=click.Choice(["allow", "reject"]), help="Beyond the balance: charge it, or reject it.")
@click.option(
    "--alert-below", "marks", multiple=True, callback=amounts_by_type, metavar="TYPE=N",
    help="Alert when TYPE falls below N.",
)  # fmt: skip
@click.option("--no-alert-below", "no_marks", multiple=True, metavar="TYPE", help="Remove TYPE's mark.")
@click.option("--id", "update_id", help="The update's id: the same again changes nothing. Without it: a random one.")
@wait_option
@json_option
@with_configuration
def account_set(
    configuration: Configuration,
    account_id: str,
    *,
    plan: str | None,
    started_at: int | None,
    ends_at: int | None,
    no_plan: bool,
    on_empty: str | None,
    marks: dict[str, int],
    no_marks: tuple[str, ...],
    update_id: str | None,
    wait: float,
    as_json: bool,
) -> None:
    """Change what is given of ACCOUNT's settings, wait for the result, and print what is in force.

    An update replaces all settings; those that are not given are sent as they are now. Should somebody else change
    them at the same moment, the later one in the log counts, and this command says what it replaced.
    """
    from application.access.access import ChangeNote
    from application.commands.account_settings import SettingsChange, change_settings
    from application.commands.fields import BadField
    from application.pipeline import opened
    from cli.terminal.exits import usage_error
    from cli.terminal.progress import TerminalNotices

    if no_plan and (plan is not None or started_at is not None or ends_at is not None):
        raise click.UsageError("--no-plan leaves nothing for --plan, --started-at and --ends-at to say")
    change = SettingsChange(plan, started_at, ends_at, no_plan, on_empty, marks, no_marks)
    if change == SettingsChange(marks={}):
        raise click.UsageError("say what to change, for example --on-empty reject")
    with opened(configuration.settings, TerminalNotices()) as pipeline:

        def listed(record: Mapping[str, Any]) -> None:
            details = {"on_empty": str(record["on_empty"])}
            made = ChangeNote("settings.replaced", record["update_id"], account_id, details)
            note_typed_changes(configuration.settings, pipeline, [made])

        try:
            result = change_settings(pipeline, account_id, change, update_id, wait, listed)
        except BadField as error:
            raise usage_error(error, _OPTION) from error
    _show(result, as_json=as_json)
    if result.is_refused:
        raise click.exceptions.Exit(1)


_OPTION = {"update_id": "--id", "account_id": "ACCOUNT", "plan": "--plan", "alert_below": "--alert-below"}


def _show(result: SettingsResult, *, as_json: bool) -> None:
    from application.commands.outcome_sentences import in_words
    from application.commands.repeats import repeat_in_words
    from cli.terminal.output import print_line, print_status

    overlooked = list(result.overlooked())
    if overlooked:
        who = result.account_id
        print_status(f"Somebody changed {who} at the same moment; this update came after it and replaced it:")
        for line in overlooked:
            print_status(f"  theirs: {line}")
    if as_json:
        print_json(result.as_json())
        return
    if result.place is None:
        print_status("Already so: nothing was sent.")
    elif result.repeat is not None:
        print_status(repeat_in_words(result.repeat, f"update {result.update_id} of {result.account_id}"))
    for line in result.changes():
        print_line(f"changed      {line}")
    for output in result.outputs:
        print_line(in_words(output))
    for name, value in result.after.shown().items():
        print_line(f"{name:12} {value}")
