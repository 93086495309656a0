"""`creditmeter changes`: who changed what, when and from where."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli.terminal.command import Command
from cli.terminal.option_types import DURATION
from cli.terminal.options import json_option, with_configuration
from cli.terminal.output import print_json

if TYPE_CHECKING:
    from application.configuration.sources import Configuration


@click.command(
    cls=Command,
    short_help="List who changed what, when and from where.",
    epilog="""
    creditmeter changes --account acme --last 7d
    """,
)
@click.option("--account", help="Only changes of this account.")
@click.option("--last", type=DURATION, default="30d", show_default=True, help="How far back: 7d, 12h.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True, help="Newest changes to show.")
@json_option
@with_configuration
def changes(configuration: Configuration, *, account: str | None, last: int, limit: int, as_json: bool) -> None:
    """List changes of keys, members, links and webhooks, and what operators did over HTTP, newest first."""
    from application.access.changes import list_changes
    from application.wording import shown_time
    from cli.access.opening import access_of, typing_author
    from cli.terminal.tables import print_table

    with access_of(configuration.settings) as access:
        since = max(0, access.now() - last)
        listed = list_changes(access, typing_author().identity, account, since=since, limit=limit)
    if as_json:
        print_json([change.fields() for change in listed])
        return
    rows = [
        (
            shown_time(change.at), change.changed_by, change.changed_from, change.action, change.account_id,
            change.subject, ", ".join(f"{name}={value}" for name, value in change.details.items() if value),
        )
        for change in listed
    ]  # fmt: skip
    print_table(["at", "who", "from", "what", "account", "subject", "details"], rows)
