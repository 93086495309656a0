"""`creditmeter dead-letters`: see what was set aside, what became of it, and send it again."""

from __future__ import annotations

import json
from collections import Counter, deque
from typing import TYPE_CHECKING, Any

import click

from cli.events.dead_letter_options import filtered
from cli.events.dead_letter_replay import replay
from cli.terminal.command import Group
from cli.terminal.options import json_option, with_configuration

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from application.configuration.sources import Configuration
    from application.dead_letters.reading import DeadLetter
    from application.dead_letters.resent import Replay, Replays


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
    short_help="Count them by reason and producer, and list the latest.",
    epilog="""
    creditmeter dead-letters list
    creditmeter dead-letters list --open --reason invalid_event --account acme --json
    creditmeter dead-letters list --counts
    """,
)
@filtered
@click.option("--open", "only_open", is_flag=True, help="Only those that were not replayed yet.")
@click.option("--counts", "only_counts", is_flag=True, help="Only counts, and what became of those replayed.")
@click.option("--limit", type=click.IntRange(min=0), default=20, show_default=True, help="How many to list.")
@json_option
@with_configuration
def list_(
    configuration: Configuration, *, reason: str | None, account: str | None, producer: str | None, only_open: bool,
    only_counts: bool, limit: int, as_json: bool,
) -> None:  # fmt: skip
    """Count dead letters by reason and producer, and list the latest, with what became of those that were replayed.

    Replays are read from the input log, from the earliest letter on. With --json: one object a line for every dead
    letter that fits, without counts and without limit; with --counts too, one for each reason and producer.
    """
    from application.dead_letters.reading import DeadLetterLog
    from application.dead_letters.resent import ReplayLog
    from application.pipeline import opened
    from cli.terminal.progress import TerminalNotices

    with opened(configuration.settings, TerminalNotices()) as pipeline:
        log, replay_log = DeadLetterLog.of(pipeline), ReplayLog(pipeline)
        # The latest are known only when all have been read: then their replays alone are looked for.
        needs_all = only_open or only_counts or as_json
        earliest = log.earliest() if needs_all else None
        replays = {} if earliest is None else replay_log.since(earliest)
        letters = (
            each for each in log.matching(reason, account, producer) if not only_open or each.place not in replays
        )
        if as_json and not only_counts:
            _write_rows(letters, replays)
            return
        counts: Counter[tuple[str, str, str]] = Counter()
        latest: deque[DeadLetter] = deque(maxlen=0 if only_counts else limit)
        for letter in letters:
            became = replays[letter.place][-1].outcome if letter.place in replays else "open"
            counts[letter.record["reason"], letter.record["producer"] or "", became] += 1
            latest.append(letter)
        if not needs_all and latest:
            replays = replay_log.of(latest)
    none = f"There are no dead letters{' that fit' if only_open or reason or account or producer else ''}."
    if only_counts:
        _print_outcomes(counts, none, as_json=as_json)
    else:
        _print_list(counts, latest, replays, none)


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
    from application.dead_letters.reading import DeadLetterLog
    from application.dead_letters.resent import ReplayLog
    from application.pipeline import opened
    from cli.terminal.progress import TerminalNotices

    with opened(configuration.settings, TerminalNotices()) as pipeline:
        log = DeadLetterLog.of(pipeline)
        letter = log.at(place)
        original = log.original(letter)
        decoded = log.decoded(original)
        replays = ReplayLog(pipeline).of([letter]).get(letter.place, [])
    if as_json:
        read = None if decoded is None else {"name": decoded[0], "record": decoded[1]}
        rows = [each.row() for each in replays]
        shown = letter.row() | {"replays": rows, "original": original.hex(), "decoded": read}
        click.echo(json.dumps(shown, ensure_ascii=False, default=_as_text))
        return
    _print_one(letter, replays, original, decoded)


dead_letters.add_command(replay)


def _write_rows(letters: Iterable[DeadLetter], replays: Replays) -> None:
    from application.input.file_rating import to_line
    from cli.terminal.output import data_output

    with data_output() as out:
        for letter in letters:
            out.write(to_line(letter.row() | {"replays": [each.row() for each in replays.get(letter.place, ())]}))


def _print_list(
    counts: Counter[tuple[str, str, str]], latest: Iterable[DeadLetter], replays: Replays, none: str
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
    for letter in latest:
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
        of = {each: counts[reason, producer, each] for each in ("open", *_OUTCOMES_IN_ORDER)}
        rows.append({"reason": reason, "producer": producer or None, "count": sum(of.values()), **of})
    if as_json:
        for row in rows:
            click.echo(json.dumps(row, ensure_ascii=False))
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
    letter: DeadLetter, replays: Sequence[Replay], original: bytes, decoded: tuple[str, dict[str, Any]] | None
) -> None:
    from application.dead_letters.reading import hex_lines
    from application.wording import shown_time
    from cli.terminal.output import print_line

    for name, value in letter.row().items():
        print_line(f"{name:12} {shown_time(value) if name == 'recorded_at' else '' if value is None else value}")
    for each in replays:
        print_line(f"{'replayed':12} {shown_time(each.recorded_at)}, {each.sentence()}")
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
