"""`creditmeter explain`: why an event cost what it cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from cli.terminal.command import Command
from cli.terminal.options import json_option, with_configuration
from cli.terminal.output import print_json

if TYPE_CHECKING:
    from application.configuration.settings import Settings
    from application.configuration.sources import Configuration
    from application.explaining.explained import Explained
    from application.explaining.locating import Found
    from metering.explanation import Claimant
    from replay.event_story import Place


_NOWHERE = """\
There is no event {event_id}{whose}: neither the log nor the dead letters have it. Check
  - the id: it is compared as it is written, upper and lower case apart;
  - the account: whose id was sent with it (`creditmeter dead-letters list --account …` shows what was set aside);
  - the producer: whether its events were acknowledged, and are younger than what the log still keeps;
  - the pipeline: `creditmeter config` shows which Kafka and which topic_prefix this is;
  - without --account only what the loader has loaded by now is known: with --account the log itself is read."""


@click.command(
    cls=Command,
    short_help="Say why an event cost what it cost.",
    epilog="""
    creditmeter explain 7b1f-event
    creditmeter explain 7b1f-event --account acme --json
    """,
)
@click.argument("event_id")
@click.option("--account", help="Whose event it is. May be left out where ClickHouse has the id of one account only.")
@json_option
@with_configuration
def explain(configuration: Configuration, event_id: str, *, account: str | None, as_json: bool) -> None:
    """Tell the whole story of the event EVENT_ID: which price and rule decided it, what is left of it, and the present.

    The account is replayed from the log, so that every reason is the one that decided; then the lines are compared with
    those billed. Exit code 1 where there is no such event, or where the bill says something else. With --json: times in
    ms.
    """
    from application.explaining.locating import find
    from application.explaining.sentences import story_in_words
    from cli.terminal.output import tell

    settings = configuration.settings
    found = find(settings, event_id, account)
    explained = None if found is None else _told(settings, event_id, found)
    if explained is None:
        _set_aside_or_nowhere(settings, event_id, account, as_json=as_json)
        return
    if as_json:
        print_json(explained.as_plain(), default=str)
    else:
        for line in story_in_words(explained):
            tell(line)
    _cry_out(explained.comparison.differences)


def _cry_out(differences: Sequence[str]) -> None:
    """Raises Failed where the bill says something else."""
    from application.errors import Failed

    if differences:
        wrong = "\n  ".join(differences)
        raise Failed(
            f"THE BILL DOES NOT SAY WHAT THE LOG COMES TO:\n  {wrong}\n"
            "  Run `creditmeter audit`: it compares everything, and says where else."
        )


def _told(settings: Settings, event_id: str, found: Found) -> Explained | None:
    """Replays the account from before the event to the log's end, and compares; None where the event is not met."""
    from application.accounts.opening import opened_replay, replay_bar
    from application.explaining.explained import Explained, compared, owners_of, stray_rows
    from application.explaining.locating import offset_of
    from replay.account import ReplaySource
    from replay.event_story import place_of, tell_story
    from schemas.price_book import read_book
    from streams import clock

    # From the newest state there would be no event to replay: so from one before it, or the log's beginning.
    with opened_replay(settings, found.account_id, before=found.first or 0) as opened:
        with replay_bar(opened) as progress:
            story = tell_story(opened.replay, event_id, opened.stop, clock.now_ms(), progress)
        if story.told is None:
            _cry_out(stray_rows(story, found))
            return None
        cluster, names = opened.cluster, opened.cluster.names
        log = cluster.log(names.requests)
        source = ReplaySource(names, cluster.partitions, cluster.codec, read_book, log)

        def owner_at(owner: Claimant, event_at: Place) -> Place | None:
            known = offset_of(settings, found.account_id, owner)
            first = log.bounds(event_at.partition)[0] if known is None else known
            return place_of(source, found.account_id, owner, first, (event_at.offset if known is None else known) + 1)

        return Explained(story, opened.stop, compared(cluster, story, found), owners_of(story, owner_at))


def _set_aside_or_nowhere(settings: Settings, event_id: str, account: str | None, *, as_json: bool) -> None:
    """An event that no replay of its account meets: a dead letter elsewhere, or nothing at all."""
    from application.dead_letters.hints import hint, row_with_hint
    from application.errors import Failed
    from application.explaining.locating import dead_letters_of
    from application.explaining.sentences import letter_in_words
    from application.pipeline import opened
    from cli.terminal.output import tell

    with opened(settings) as cluster:
        letters, partitions = dead_letters_of(cluster, event_id, account), cluster.partitions
    if not letters:
        whose = "" if account is None else f" of account {account}"
        raise Failed(_NOWHERE.format(event_id=event_id, whose=whose))
    if as_json:
        rows = [row_with_hint(letter, partitions) for letter in letters]
        print_json({"event_id": event_id, "became": "dead_letter", "dead_letters": rows}, default=str)
        return
    for letter in letters:
        for line in letter_in_words(letter, hint(letter, partitions)):
            tell(line)
