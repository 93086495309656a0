"""`creditmeter dead-letters replay`: sends dead letters again, after their cause is mended, or corrected."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.access.opening import note_typed_changes
from cli.events.dead_letter_options import filtered
from cli.terminal.command import Command
from cli.terminal.options import NumberRange, json_option, with_configuration

if TYPE_CHECKING:
    from application.configuration.sources import Configuration
    from application.dead_letters.corrections import CorrectedLetter
    from application.dead_letters.reading import DeadLetter, DeadLetterLog
    from application.dead_letters.resent import Replay, Replays
    from application.pipeline import Pipeline

_SHOWN = 20


@click.command(
    cls=Command,
    short_help="Send them again, as they are or corrected.",
    epilog="""
    creditmeter dead-letters replay 3@1042/17 3@1043
    creditmeter dead-letters replay --reason in_future --dry-run
    creditmeter dead-letters show --json 3@1042/17 > letter.json    # edit it, then:
    creditmeter dead-letters replay 3@1042/17 --corrected letter.json
    """,
)
@click.argument("places", nargs=-1)
@filtered
@click.option("--again", is_flag=True, help="With options that say which: also those that were replayed before.")
@click.option(
    "--corrected", type=click.Path(exists=True, dir_okay=False, allow_dash=True),
    help="Send this instead: JSON as `show --json` prints it, edited. One PLACE.",
)  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Only show what would be sent.")
@click.option(
    "--wait", type=NumberRange(min=0), default=30.0, show_default=True, metavar="SECONDS",
    help="How long to wait for what becomes of them; 0 does not wait.",
)  # fmt: skip
@json_option
@with_configuration
def replay(
    configuration: Configuration, places: tuple[str, ...], *, reason: str | None, account: str | None,
    producer: str | None, again: bool, corrected: str | None, dry_run: bool, wait: float, as_json: bool,
) -> None:  # fmt: skip
    """Send the dead letters at PLACES, or all that fit the options, to the input again, byte for byte.

    Each goes to its account's partition with its first sender's name, marked as a replay of its place. An event that
    was accepted meanwhile is a repeat and changes nothing; one that is still wrong becomes a dead letter again (exit
    code 1). What was replayed before is left out unless its place is given, or --again.
    """
    from application.access.access import ChangeNote
    from application.dead_letters.reading import DeadLetterLog
    from application.dead_letters.resending import outcomes, resend
    from application.dead_letters.resent import ReplayLog
    from application.pipeline import opened
    from cli.terminal.output import print_status
    from cli.terminal.progress import TerminalNotices

    if bool(places) == any((reason, account, producer)):
        raise click.UsageError("give places, or options that say which (--reason, --account, --producer)")
    if corrected is not None and len(places) != 1:
        raise click.UsageError("--corrected is of one letter: give its PLACE")
    with opened(configuration.settings, TerminalNotices()) as pipeline:
        log = DeadLetterLog.of(pipeline)
        letters = [log.at(place) for place in places] if places else list(log.matching(reason, account, producer))
        before = ReplayLog(pipeline).of(letters)
        if not places and not again:
            left_out = [letter for letter in letters if letter.place in before]
            letters = [letter for letter in letters if letter.place not in before]
            if left_out:
                print_status(f"left out because replayed before: {len(left_out):,} (--again sends them too)")
        correction = _read(corrected, letters[0], log, pipeline) if corrected is not None else None
        _announce(pipeline, log, letters, before, correction)
        if dry_run:
            print_status(f"{len(letters):,} would be sent")
            return
        notes = [ChangeNote("dead_letter.replayed", str(letter.place), None, {}) for letter in letters]
        note_typed_changes(configuration.settings, pipeline, notes)
        sent = resend(pipeline, log, letters, correction)
        print_status(f"{len(sent):,} sent and acknowledged")
        results = outcomes(pipeline, sent, letters, correction, wait) if wait and sent else []
    if _print(results, as_json=as_json):
        raise click.exceptions.Exit(1)


def _read(path: str, letter: DeadLetter, log: DeadLetterLog, pipeline: Pipeline) -> CorrectedLetter:
    """The correction of one letter; shows what it changes."""
    from application.dead_letters.corrections import changed_fields, read_correction
    from application.errors import Misconfigured
    from cli.terminal.output import print_status

    try:
        text = click.get_text_stream("stdin").read() if path == "-" else Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(f"--corrected: {path}: {error}") from error
    correction = read_correction(text, str(letter.place), pipeline.codec, pipeline.partitions)
    changed = list(changed_fields(log.decoded(log.original(letter)), correction))
    for line in changed or ["nothing differs from what was set aside"]:
        print_status(f"  {line}")
    return correction


def _announce(
    pipeline: Pipeline, log: DeadLetterLog, letters: Sequence[DeadLetter], before: Replays,
    correction: CorrectedLetter | None,
) -> None:  # fmt: skip
    from cli.terminal.output import print_status

    for letter in letters[:_SHOWN]:
        target = log.target(letter) if correction is None else correction.partition
        again = f" (replayed before, {before[letter.place][-1].sentence()})" if letter.place in before else ""
        print_status(f"{letter.place}: {letter.record['reason']} -> {pipeline.names.requests}[{target}]{again}")
    if len(letters) > _SHOWN:
        print_status(f"… and {len(letters) - _SHOWN:,} more")


def _print(results: Sequence[Replay], *, as_json: bool) -> bool:
    """Prints the outcomes; returns whether any was set aside again."""
    from application.dead_letters.resent import ReplayOutcome
    from application.input.file_rating import to_line
    from cli.terminal.output import data_output, print_line, print_status

    if as_json:
        with data_output() as out:
            for replay in results:
                out.write(to_line({"place": str(replay.of), **replay.row()}))
    else:
        for replay in results[:_SHOWN]:
            print_line(f"{replay.of}: {replay.sentence()}")
    if len(results) > 1:
        counts: Counter[Any] = Counter(replay.outcome for replay in results)
        print_status(", ".join(f"{count:,} {outcome}" for outcome, count in sorted(counts.items())))
    return any(replay.outcome is ReplayOutcome.SET_ASIDE for replay in results)
