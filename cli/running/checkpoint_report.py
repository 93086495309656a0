"""Prints the reports of `creditmeter checkpoint`: tables for people, JSON for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from application.checkpoints import LogEnds, needed_from
from application.wording import shown_time
from cli.terminal.output import print_json
from cli.terminal.tables import print_table

if TYPE_CHECKING:
    from streams.checkpoints.manifest import Checkpoint, ListedCheckpoint

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def print_made(made: Sequence[Checkpoint], *, as_json: bool) -> None:
    if as_json:
        print_json([_as_json(checkpoint) for checkpoint in made], indent=2)
        return
    rows = [
        (
            checkpoint.partition,
            checkpoint.applied,
            _time(checkpoint.recorded_at),
            shown_size(checkpoint.size),
            checkpoint.place,
        )
        for checkpoint in made
    ]
    print_table(("partition", "offset", "log time", "size", "place"), rows, {"partition", "offset", "size"})


def print_list(
    listed: Mapping[int, Sequence[ListedCheckpoint]], ends: Mapping[int, LogEnds], checked: str | None, *, as_json: bool
) -> None:
    """`checked`: the heading of what a reading of every byte says; None where only a look was taken."""
    needed = {partition: needed_from(checkpoints) for partition, checkpoints in listed.items()}
    if as_json:
        plain = [
            _found_json(partition, checkpoint, ends[partition])
            for partition, checkpoints in listed.items()
            for checkpoint in checkpoints
        ]
        print_json({"checkpoints": plain, "log_needed_from": needed}, indent=2)
        return
    rows = [
        _row(partition, checkpoint, ends[partition])
        for partition, checkpoints in listed.items()
        for checkpoint in checkpoints
    ]
    columns = ("partition", "offset", "log time", "age", "messages behind", "size", checked or "condition", "place")
    print_table(columns, rows, {"partition", "offset", "messages behind", "size", "age"})
    kept = [(p, ends[p].first, "everything" if offset is None else offset) for p, offset in needed.items()]
    print_table(("partition", "log begins at", "needed from"), kept, {"partition", "log begins at", "needed from"})


def shown_size(size: int) -> str:
    amount, unit = float(size), 0
    while amount >= 1024 and unit < len(_UNITS) - 1:
        amount, unit = amount / 1024, unit + 1
    return f"{amount:,.0f} {_UNITS[unit]}" if unit == 0 else f"{amount:,.1f} {_UNITS[unit]}"


def shown_age(ms: int) -> str:
    """A time span in its two largest units: 3d 4h, 5m 12s."""
    seconds = max(0, ms) // 1_000
    parts = ((seconds // 86_400, "d"), (seconds // 3_600 % 24, "h"), (seconds // 60 % 60, "m"), (seconds % 60, "s"))
    first = next((at for at, (amount, _) in enumerate(parts) if amount), 3)
    return " ".join(f"{amount}{unit}" for amount, unit in parts[first : first + 2])


def _row(partition: int, listed: ListedCheckpoint, ends: LogEnds) -> tuple[Any, ...]:
    kept = listed.checkpoint
    condition = f"{listed.condition}: {listed.detail}" if listed.detail else str(listed.condition)
    recorded_at = None if kept is None else kept.recorded_at
    age = _age(recorded_at, ends)
    return (
        partition,
        listed.applied,
        _time(recorded_at),
        "" if age is None else shown_age(age),
        max(0, ends.end - 1 - listed.applied),
        "" if kept is None else shown_size(kept.size),
        condition,
        listed.place,
    )


def _found_json(partition: int, listed: ListedCheckpoint, ends: LogEnds) -> dict[str, Any]:
    kept = {} if listed.checkpoint is None else _as_json(listed.checkpoint)
    age = _age(None if listed.checkpoint is None else listed.checkpoint.recorded_at, ends)
    return {
        "partition": partition,
        "applied": listed.applied,
        "place": listed.place,
        "condition": str(listed.condition),
        "detail": listed.detail,
        "messages_behind": max(0, ends.end - 1 - listed.applied),
        "age_ms": age,
    } | kept


def _as_json(made: Checkpoint) -> dict[str, Any]:
    return {
        "partition": made.partition,
        "applied": made.applied,
        "recorded_at": made.recorded_at,
        "made_at": made.made_at,
        "size": made.size,
        "files": len(made.files),
        "place": made.place,
    }


def _age(recorded_at: int | None, ends: LogEnds) -> int | None:
    """How much log time has passed since: from its message's time to that of the log's last record, ms."""
    return None if recorded_at is None or ends.last_at is None else max(0, ends.last_at - recorded_at)


def _time(ms: int | None) -> str:
    return "" if ms is None else shown_time(ms)
