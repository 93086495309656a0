"""`creditmeter dead-letters replay`: send what was set aside again, after its cause is mended or with it corrected."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.events.dead_letter_options import filtered, find, wanted
from cli.terminal.command import Command
from cli.terminal.options import NumberRange, json_option, with_configuration

if TYPE_CHECKING:
    from application.configuration.sources import Configuration
    from application.dead_letters.corrections import Correction
    from application.dead_letters.reading import DeadLetter, DeadLetterLog, Place
    from application.dead_letters.resent import Replay
    from application.pipeline import Cluster

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
@click.option("--dry-run", is_flag=True, help="Only tell what would be sent.")
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
    from application.dead_letters.resent import ReplayLog
    from application.pipeline import opened
    from cli.terminal.output import say
    from cli.terminal.progress import counting_bar

    if bool(places) == any((reason, account, producer)):
        raise click.UsageError("give places, or options that say which (--reason, --account, --producer)")
    if corrected is not None and len(places) != 1:
        raise click.UsageError("--corrected is of one letter: give its PLACE")
    with opened(configuration.settings) as cluster:
        log = cluster.dead_letters()
        letters = [find(log, place) for place in places] if places else list(wanted(log, reason, account, producer))
        with counting_bar("looking for replays") as bar:
            before = ReplayLog(cluster).of(letters, bar.told)
        if not places and not again:
            left_out = [letter for letter in letters if letter.place in before]
            letters = [letter for letter in letters if letter.place not in before]
            if left_out:
                say(f"left out because replayed before: {len(left_out):,} (--again sends them too)")
        correction = _read(corrected, letters[0], log, cluster) if corrected is not None else None
        _announce(cluster, log, letters, before, correction)
        if dry_run:
            say(f"{len(letters):,} would be sent")
            return
        sent = _send(cluster, log, letters, correction)
        say(f"{len(sent):,} sent and acknowledged")
        results = _results(cluster, sent, letters, correction, wait) if wait and sent else []
    if _print(results, as_json=as_json):
        raise click.exceptions.Exit(1)


def _read(path: str, letter: DeadLetter, log: DeadLetterLog, cluster: Cluster) -> Correction:
    """The correction of one letter; says what it changes."""
    from application.dead_letters.corrections import changed_fields, read_correction
    from application.errors import Misconfigured
    from cli.terminal.output import say

    try:
        text = click.get_text_stream("stdin").read() if path == "-" else Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(f"--corrected: {path}: {error}") from error
    correction = read_correction(text, str(letter.place), cluster.codec, cluster.partitions)
    changed = list(changed_fields(log.decoded(log.original(letter)), correction))
    for line in changed or ["nothing differs from what was set aside"]:
        say(f"  {line}")
    return correction


def _announce(
    cluster: Cluster, log: DeadLetterLog, letters: Sequence[DeadLetter], before: Mapping[Place, list[Replay]],
    correction: Correction | None,
) -> None:  # fmt: skip
    from cli.terminal.output import say

    for letter in letters[:_SHOWN]:
        target = log.target(letter) if correction is None else correction.partition
        again = f" (replayed before, {before[letter.place][-1].sentence()})" if letter.place in before else ""
        say(f"{letter.place}: {letter.record['reason']} -> {cluster.names.requests}[{target}]{again}")
    if len(letters) > _SHOWN:
        say(f"… and {len(letters) - _SHOWN:,} more")


def _send(
    cluster: Cluster, log: DeadLetterLog, letters: Sequence[DeadLetter], correction: Correction | None
) -> dict[Place, tuple[int, int]]:
    from application.dead_letters.resending import Replayer

    replayer = Replayer(cluster)
    for letter in letters:
        target, value = (
            (log.target(letter), log.original(letter))
            if correction is None
            else (correction.partition, correction.value)
        )
        replayer.send(target, value, letter.record["producer"], letter.place, corrected=correction is not None)
    return replayer.finish()


def _results(
    cluster: Cluster, sent: Mapping[Place, tuple[int, int]], letters: Sequence[DeadLetter],
    correction: Correction | None, wait: float,
) -> list[Replay]:  # fmt: skip
    """What became of each, in the order of the letters. Raises NotDecided."""
    from application.dead_letters.resent import Replay, ReplayLog
    from cli.terminal.progress import waiting
    from schemas.catalog import COMMANDS
    from streams import clock

    last: dict[int, int] = {}
    for partition, offset in sent.values():
        last[partition] = max(offset, last.get(partition, -1))
    now, topic = clock.now_ms(), cluster.names.requests
    replays = []
    for letter in letters:
        command = letter.record["command"] if correction is None else COMMANDS[correction.name]
        replays.append(Replay(letter.place, topic, *sent[letter.place], now, correction is not None, command))
    with waiting("waiting for the worker"):
        cluster.results().wait_until_decided(last, wait)
        judged = {each.of: each for each in ReplayLog(cluster).judged(replays)}
    return [judged[letter.place] for letter in letters]


def _print(results: Sequence[Replay], *, as_json: bool) -> bool:
    """Prints the outcomes; gives whether any was set aside again."""
    from application.dead_letters.resent import SET_ASIDE
    from application.input.file_rating import to_line
    from cli.terminal.output import data_output, say, tell

    if as_json:
        with data_output() as out:
            for each in results:
                out.write(to_line({"place": str(each.of), **each.row()}))
    else:
        for each in results[:_SHOWN]:
            tell(f"{each.of}: {each.sentence()}")
    if len(results) > 1:
        counts: Counter[Any] = Counter(each.outcome for each in results)
        say(", ".join(f"{count:,} {outcome}" for outcome, count in sorted(counts.items())))
    return any(each.outcome == SET_ASIDE for each in results)
