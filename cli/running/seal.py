"""`creditmeter seal`: which key the output records are sealed with, and from where on."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from cli.terminal.command import Group
from cli.terminal.options import json_option, with_configuration

if TYPE_CHECKING:
    from application.configuration.sources import Configuration
    from streams.log.seal_ledger import SealLedger


@click.group(
    cls=Group,
    short_help="Show or rotate the key of the outputs' seals.",
    epilog="""
    creditmeter seal show
    creditmeter seal rotate
    """,
)
def seal() -> None:
    """Every output record has a seal; one without the right seal counts nowhere (docs/operations.md, Seals).

    The key is the setting seal_key, or the input topic's id where none is set. From which offsets on it counts is noted
    in the topic PREFIX.seals.
    """


@seal.command(epilog="creditmeter seal show --json")
@json_option
@with_configuration
def show(configuration: Configuration, *, as_json: bool) -> None:
    """Show which keys, by their ids, seal the outputs, and from which offsets on."""
    from application.pipeline import opened, pipeline_seals

    settings = configuration.settings
    with opened(settings) as pipeline:
        _print(pipeline_seals(settings, pipeline).opened(), as_json=as_json)


@seal.command(epilog="CREDITMETER_SEAL_KEY=... CREDITMETER_SEAL_KEYS_BEFORE=... creditmeter seal rotate")
@json_option
@with_configuration
def rotate(configuration: Configuration, *, as_json: bool) -> None:
    """Note that outputs are sealed with the configured key from their present ends on.

    Set seal_key to the new key and seal_keys_before to the old ones, for every process, and stop all workers and
    loaders first. What is in the topics keeps the seals that it has.
    """
    from application.pipeline import opened, pipeline_seals

    settings = configuration.settings
    with opened(settings) as pipeline:
        _print(pipeline_seals(settings, pipeline).rotate(pipeline.partitions), as_json=as_json)


def _print(ledger: SealLedger, *, as_json: bool) -> None:
    notes = ledger.notes
    if as_json:
        shown = [
            {"offset": note.offset, "key": note.key, "ends": [[t, p, end] for (t, p), end in sorted(note.ends.items())]}
            for note in notes
        ]
        click.echo(json.dumps({"notes": shown}))
        return
    if not notes:
        click.echo("nothing is noted yet: the first worker or loader does it; until then every record counts")
    for number, note in enumerate(notes):
        records = sum(note.ends.values())
        before = "no seal is asked for" if number == 0 else f"the key {notes[number - 1].key}"
        click.echo(f"key {note.key}, behind {records:,} records of output topics; for those before: {before}")
