"""`creditmeter dead-letters`: see what was set aside, and send it again."""

from __future__ import annotations

import json
from collections import Counter, deque
from typing import TYPE_CHECKING, Any

import click

from cli.command import Group
from cli.options import json_option, with_configuration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cli.config_sources import Configuration
    from cli.dead_letter_log import DeadLetter, DeadLetterLog

_REASONS = ("undecodable", "invalid_event", "in_future", "too_late", "wrong_partition")


@click.group(
    cls=Group,
    epilog="""
    creditmeter dead-letters list --reason invalid_event
    creditmeter dead-letters show 3@1042/17
    creditmeter dead-letters replay 3@1042/17
    """,
)
def dead_letters() -> None:
    """See commands that were set aside, and send them again.

    A dead letter is named by its place: partition@offset of the message that brought it, and /index in its batch.
    """


_filters = (
    click.option("--reason", type=click.Choice(_REASONS), help="Only those set aside for this reason."),
    click.option("--account", help="Only those of this account."),
    click.option("--producer", help="Only those that this producer sent."),
)


def _filtered(command: Any) -> Any:
    for option in reversed(_filters):
        command = option(command)
    return command


@dead_letters.command(
    "list",
    short_help="Count them by reason and producer, and list the latest.",
    epilog="""
    creditmeter dead-letters list
    creditmeter dead-letters list --reason invalid_event --account acme --json
    """,
)
@_filtered
@click.option("--limit", type=click.IntRange(min=0), default=20, show_default=True, help="How many to list.")
@json_option
@with_configuration
def list_(
    configuration: Configuration,
    *,
    reason: str | None,
    account: str | None,
    producer: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """Count dead letters by reason and producer, and list the latest of each partition.

    With --json: one object a line for every dead letter that fits, without counts and without limit.
    """
    from cli.kafka import opened
    from cli.output import data_output
    from cli.rating import to_line

    with opened(configuration.settings) as cluster:
        letters = _wanted(cluster.dead_letters(), reason, account, producer)
        if as_json:
            with data_output() as out:
                for letter in letters:
                    out.write(to_line(letter.row()))
            return
        counts: Counter[tuple[str, str]] = Counter()
        latest: deque[DeadLetter] = deque(maxlen=limit)
        for letter in letters:
            counts[letter.record["reason"], letter.record["producer"] or ""] += 1
            latest.append(letter)
    _print_list(counts, latest)


@dead_letters.command(
    short_help="Show one, with its bytes.",
    epilog="""
    creditmeter dead-letters show 3@1042/17
    """,
)
@click.argument("place")
@json_option
@with_configuration
def show(configuration: Configuration, place: str, *, as_json: bool) -> None:
    """Show the dead letter at PLACE: why it was set aside, its bytes, and what they say where they can be read."""
    from cli.kafka import opened

    with opened(configuration.settings) as cluster:
        log = cluster.dead_letters()
        letter = _find(log, place)
        original = log.original(letter)
        decoded = log.decoded(original)
    if as_json:
        read = None if decoded is None else {"name": decoded[0], "record": decoded[1]}
        shown = letter.row() | {"original": original.hex(), "decoded": read}
        click.echo(json.dumps(shown, ensure_ascii=False, default=_as_text))
        return
    _print_one(letter, original, decoded)


@dead_letters.command(
    short_help="Send them again.",
    epilog="""
    creditmeter dead-letters replay 3@1042/17 3@1043
    creditmeter dead-letters replay --reason wrong_partition --dry-run
    """,
)
@click.argument("places", nargs=-1)
@_filtered
@click.option("--dry-run", is_flag=True, help="Only tell what would be sent.")
@with_configuration
def replay(
    configuration: Configuration,
    places: tuple[str, ...],
    *,
    reason: str | None,
    account: str | None,
    producer: str | None,
    dry_run: bool,
) -> None:
    """Send the dead letters at PLACES, or all that fit the options, to the input again, byte for byte.

    Each goes to its account's partition, with the headers creditmeter-producer (the first sender's) and
    creditmeter-replay-of (its place). An event that was accepted meanwhile is a repeat and changes nothing; one that
    is still wrong becomes a dead letter again.
    """
    from cli.kafka import Replayer, opened
    from cli.output import say

    if bool(places) == any((reason, account, producer)):
        raise click.UsageError("give places, or options that say which (--reason, --account, --producer)")
    with opened(configuration.settings) as cluster:
        log = cluster.dead_letters()
        letters = [_find(log, place) for place in places] if places else list(_wanted(log, reason, account, producer))
        replayer = Replayer(cluster)
        for letter in letters:
            target = log.target(letter)
            if not dry_run:
                replayer.send(target, log.original(letter), letter.record["producer"], str(letter.place))
            say(f"{letter.place}: {letter.record['reason']} -> {cluster.names.requests}[{target}]")
        if not dry_run:
            replayer.finish()
    say(f"{len(letters):,} {'would be sent' if dry_run else 'sent and acknowledged'}")


def _wanted(log: DeadLetterLog, reason: str | None, account: str | None, producer: str | None) -> Iterator[DeadLetter]:
    asked = {"reason": reason, "account_id": account, "producer": producer}
    for letter in log.read():
        if all(value is None or letter.record[name] == value for name, value in asked.items()):
            yield letter


def _find(log: DeadLetterLog, text: str) -> DeadLetter:
    from cli.dead_letter_log import Place
    from cli.errors import Failed

    try:
        place = Place.parse(text)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    letter = log.find(place)
    if letter is None:
        raise Failed(f"There is no dead letter at {place}; `creditmeter dead-letters list` shows places.")
    return letter


def _print_list(counts: Counter[tuple[str, str]], latest: deque[DeadLetter]) -> None:
    from cli.output import say
    from cli.price_files import shown_time
    from cli.tables import print_table

    if not counts:
        say("There are no dead letters.")
        return
    rows = [(reason, producer, f"{count:,}") for (reason, producer), count in sorted(counts.items())]
    print_table(("reason", "producer", "count"), rows, right=("count",))
    columns = ("place", "recorded_at", "reason", "field", "command", "account_id", "id")
    shown = [letter.row() | {"recorded_at": shown_time(letter.record["recorded_at"])} for letter in latest]
    if shown:
        print_table(columns, [[row[name] for name in columns] for row in shown])


def _print_one(letter: DeadLetter, original: bytes, decoded: tuple[str, dict[str, Any]] | None) -> None:
    from cli.dead_letter_log import hex_lines
    from cli.price_files import shown_time

    for name, value in letter.row().items():
        click.echo(f"{name:12} {shown_time(value) if name == 'recorded_at' else '' if value is None else value}")
    click.echo("")
    if decoded is None:
        click.echo("The bytes hold no command of creditmeter.")
    else:
        click.echo(f"{decoded[0]} {json.dumps(decoded[1], ensure_ascii=False, indent=2, default=_as_text)}")
    click.echo("")
    for line in hex_lines(original):
        click.echo(line)


def _as_text(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)
