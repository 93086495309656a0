"""`creditmeter explain`: why an event cost what it cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli.terminal.command import Command
from cli.terminal.options import json_option, with_configuration
from cli.terminal.output import print_json

if TYPE_CHECKING:
    from application.configuration.settings import Settings
    from application.configuration.sources import Configuration
    from application.explaining.explain import SetAside


@click.command(
    cls=Command,
    short_help="Say why an event cost what it cost, or a hold ended.",
    epilog="""
    creditmeter explain 7b1f-event
    creditmeter explain 7b1f-event --account acme --json
    creditmeter explain --hold export-7 --account acme
    """,
)
@click.argument("event_id", required=False)
@click.option("--hold", "hold_id", help="Explain this hold, in place of an event: why it was rejected, how it ended.")
@click.option("--account", help="Whose it is. May be left out where ClickHouse has the id of one account only.")
@json_option
@with_configuration
def explain(
    configuration: Configuration, event_id: str | None, *, hold_id: str | None, account: str | None, as_json: bool
) -> None:
    """Show the whole story of the event EVENT_ID: which price and rule decided it, what is left of it, and the present.

    The account is replayed from the log, so that every reason is the one that decided; then the lines are compared with
    those billed. Exit code 1 where there is no such event, or where the bill says something else. With --json: times in
    ms.
    """
    from application.explaining.explain import SetAside, raise_on_mismatch
    from application.explaining.explain import explain as explain_event
    from application.explaining.sentences import story_in_words
    from application.pipeline import opened
    from cli.terminal.output import print_line
    from cli.terminal.progress import TerminalNotices

    if event_id is None or hold_id is not None:
        if event_id is not None or hold_id is None:
            raise click.UsageError("give EVENT_ID or --hold, one of them")
        _explain_hold(configuration.settings, hold_id, account, as_json=as_json)
        return
    with opened(configuration.settings, TerminalNotices()) as pipeline:
        explained = explain_event(pipeline, event_id, account)
    if isinstance(explained, SetAside):
        _print_set_aside(explained, as_json=as_json)
        return
    if as_json:
        print_json(explained.as_plain(), default=str)
    else:
        for line in story_in_words(explained):
            print_line(line)
    raise_on_mismatch(explained.comparison.differences)


def _explain_hold(settings: Settings, hold_id: str, account: str | None, *, as_json: bool) -> None:
    from application.explaining.hold_sentences import hold_in_words
    from application.explaining.holds import explain_hold
    from application.pipeline import opened
    from cli.terminal.output import print_line
    from cli.terminal.progress import TerminalNotices

    with opened(settings, TerminalNotices()) as pipeline:
        explained = explain_hold(pipeline, hold_id, account)
    if as_json:
        print_json(explained.as_plain(), default=str)
        return
    for line in hold_in_words(explained):
        print_line(line)


def _print_set_aside(event: SetAside, *, as_json: bool) -> None:
    from application.dead_letters.hints import hint, row_with_hint
    from application.explaining.sentences import letter_in_words
    from cli.terminal.output import print_line

    if as_json:
        rows = [row_with_hint(letter, event.partitions) for letter in event.letters]
        print_json({"event_id": event.event_id, "became": "dead_letter", "dead_letters": rows}, default=str)
        return
    for letter in event.letters:
        for line in letter_in_words(letter, hint(letter, event.partitions)):
            print_line(line)
