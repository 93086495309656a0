"""`creditmeter dead-letters`: see what was set aside, what became of it, and send it again."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import click

from cli.events.dead_letter_options import filtered
from cli.events.dead_letter_replay import replay
from cli.terminal.command import Group
from cli.terminal.options import json_option, with_configuration
from cli.terminal.output import print_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from application.configuration.sources import Configuration
    from application.dead_letters.newest import Newest
    from application.dead_letters.reading import DeadLetter
    from application.dead_letters.resent import Replay, Replays

_LIMIT = 20
_OUTCOMES_IN_ORDER = ("accepted", "repeated", "dead_letter", "undecided")


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


@dead_letters.command(
    "list",
    short_help="Count them by reason and producer, and list the newest.",
    epilog="""
    creditmeter dead-letters list --limit 100
    creditmeter dead-letters list --open --reason invalid_event --account acme --json
    creditmeter dead-letters list --counts
    """,
)
@filtered
@click.option("--open", "only_open", is_flag=True, help="Only those that were not replayed yet.")
@click.option("--counts", "only_counts", is_flag=True, help="Only counts, and what became of those replayed.")
@click.option(
    "--limit", type=click.IntRange(min=0), help=f"How many to list, the newest. Default: {_LIMIT}; with --json, all."
)
@json_option
@with_configuration
def list_(
    configuration: Configuration, *, reason: str | None, account: str | None, producer: str | None, only_open: bool,
    only_counts: bool, limit: int | None, as_json: bool,
) -> None:  # fmt: skip
    """Count dead letters by reason and producer, and list the newest, with what became of those that were replayed.

    The newest are first, by the log's time; how many more there are is said. Replays are read from the input log, from
    the earliest letter on. With --json: one object a line for every dead letter that fits, partition by partition and
    without counts, or with --limit for the newest of them, the newest first; with --counts too, one for each reason
    and producer.
    """
    from application.dead_letters.newest import Newest
    from application.dead_letters.reading import DeadLetterLog
    from application.dead_letters.resent import ReplayLog
    from application.pipeline import opened
    from cli.terminal.output import print_line, print_status
    from cli.terminal.progress import TerminalNotices

    with opened(configuration.settings, TerminalNotices()) as pipeline:
        log, replay_log = DeadLetterLog.of(pipeline), ReplayLog(pipeline)
        # The newest are known only when all have been read: then their replays alone are looked for.
        needs_all = only_open or only_counts or as_json
        earliest = log.earliest() if needs_all else None
        replays = {} if earliest is None else replay_log.since(earliest)
        letters = (
            letter for letter in log.matching(reason, account, producer) if not only_open or letter.place not in replays
        )
        partitions = pipeline.partitions
        if as_json and not only_counts and limit is None:
            _write_rows(letters, replays, partitions)
            return
        counts: Counter[tuple[str, str, str]] = Counter()
        newest = Newest(0 if only_counts else _LIMIT if limit is None else limit)
        for letter in letters:
            became = replays[letter.place][-1].outcome if letter.place in replays else "open"
            counts[letter.record["reason"], letter.record["producer"] or "", became] += 1
            newest.add(letter)
        if not needs_all and newest.letters:
            replays = replay_log.of(newest.letters)
    none = f"There are no dead letters{' that fit' if only_open or reason or account or producer else ''}."
    if only_counts:
        _print_outcomes(counts, none, as_json=as_json)
    elif as_json:
        _write_rows(newest.letters, replays, partitions)
        if (hidden := _hidden(newest)) is not None:
            print_status(hidden)
    else:
        _print_list(counts, newest.letters, replays, none)
        for text in (_hidden(newest), _wrong_setting(newest.letters, partitions)):
            if text is not None:
                print_line(text)


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
    """Show the dead letter at PLACE: why it was set aside, its bytes, what they say, and what became of its replays."""
    from application.dead_letters.hints import row_with_hint
    from application.dead_letters.reading import DeadLetterLog
    from application.dead_letters.resent import ReplayLog
    from application.pipeline import opened
    from cli.terminal.progress import TerminalNotices

    with opened(configuration.settings, TerminalNotices()) as pipeline:
        log = DeadLetterLog.of(pipeline)
        letter = log.at(place)
        original = log.original(letter)
        decoded = log.decoded(original)
        row = row_with_hint(letter, pipeline.partitions)
        replays = ReplayLog(pipeline).of([letter]).get(letter.place, [])
    if as_json:
        read = None if decoded is None else {"name": decoded[0], "record": decoded[1]}
        rows = [replay.row() for replay in replays]
        shown = row | {"replays": rows, "original": original.hex(), "decoded": read}
        print_json(shown, default=_as_text)
        return
    _print_one(row, replays, original, decoded)


dead_letters.add_command(replay)


def _write_rows(letters: Iterable[DeadLetter], replays: Replays, partitions: int) -> None:
    from application.dead_letters.hints import row_with_hint
    from application.input.file_rating import to_line
    from cli.terminal.output import data_output

    with data_output() as out:
        for letter in letters:
            row = row_with_hint(letter, partitions)
            out.write(to_line(row | {"replays": [replay.row() for replay in replays.get(letter.place, ())]}))


def _hidden(newest: Newest) -> str | None:
    """How many letters are not listed; None where all are."""
    total = newest.hidden + len(newest.letters)
    return f"{newest.hidden:,} more: --limit {total} lists all." if newest.hidden else None


def _wrong_setting(letters: Iterable[DeadLetter], partitions: int) -> str | None:
    """The producer's setting, by the first letter that is in a wrong partition; None where there is none."""
    from application.dead_letters.hints import hint

    replay = "`creditmeter dead-letters replay --reason wrong_partition` sends such events to the right one"
    hints = ((letter.place, hint(letter, partitions)) for letter in letters)
    return next((f"{place} was {text}. {replay}." for place, text in hints if text is not None), None)


def _print_list(
    counts: Counter[tuple[str, str, str]], letters: Iterable[DeadLetter], replays: Replays, none: str
) -> None:
    from application.wording import shown_time
    from cli.terminal.output import print_status
    from cli.terminal.tables import print_table

    if not counts:
        print_status(none)
        return
    totals: Counter[tuple[str, str]] = Counter()
    for (reason, producer, _), count in counts.items():
        totals[reason, producer] += count
    rows = [(reason, producer, f"{count:,}") for (reason, producer), count in sorted(totals.items())]
    print_table(("reason", "producer", "count"), rows, right=("count",))
    columns = ("place", "recorded_at", "reason", "field", "command", "account_id", "id", "replayed")
    shown = []
    for letter in letters:
        last = replays[letter.place][-1].sentence() if letter.place in replays else None
        row = letter.row() | {"recorded_at": shown_time(letter.record["recorded_at"]), "replayed": last}
        shown.append([row[name] for name in columns])
    if shown:
        print_table(columns, shown)


def _print_outcomes(counts: Counter[tuple[str, str, str]], none: str, *, as_json: bool) -> None:
    """A row for each reason and producer: how many there are, how many are open, and what became of the others."""
    from cli.terminal.output import print_status
    from cli.terminal.tables import print_table

    if not counts:
        print_status(none)
    rows: list[dict[str, Any]] = []
    for reason, producer in sorted({key[:2] for key in counts}):
        of = {outcome: counts[reason, producer, outcome] for outcome in ("open", *_OUTCOMES_IN_ORDER)}
        rows.append({"reason": reason, "producer": producer or None, "count": sum(of.values()), **of})
    if as_json:
        for row in rows:
            print_json(row)
    elif rows:
        heads = (
            "reason",
            "producer",
            "count",
            "open",
            "replayed: accepted",
            "repeated",
            "set aside again",
            "undecided",
        )
        cells = [[f"{value:,}" if isinstance(value, int) else value for value in row.values()] for row in rows]
        print_table(heads, cells, right=heads[2:])


def _print_one(
    row: dict[str, Any], replays: Sequence[Replay], original: bytes, decoded: tuple[str, dict[str, Any]] | None
) -> None:
    from application.dead_letters.reading import hex_lines
    from application.wording import shown_time
    from cli.terminal.output import print_line

    for name, value in row.items():
        if name == "hint" and value is None:
            continue
        print_line(f"{name:12} {shown_time(value) if name == 'recorded_at' else '' if value is None else value}")
    for resent in replays:
        print_line(f"{'replayed':12} {shown_time(resent.recorded_at)}, {resent.sentence()}")
    print_line()
    if decoded is None:
        print_line("The bytes hold no command of creditmeter.")
    else:
        text = json.dumps(decoded[1], ensure_ascii=False, indent=2, default=_as_text)
        for line in f"{decoded[0]} {text}".split("\n"):
            print_line(line)
    print_line()
    for line in hex_lines(original):
        print_line(line)


def _as_text(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)
