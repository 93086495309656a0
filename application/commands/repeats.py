"""What a command whose id was accepted before says beside the one that was accepted first.

An answer compares bytes (SPEC 4, `same_content`), and a front that sends a command with the present time makes other
bytes every time. So the first command is read from the log, at the place in the answer, and its fields are compared.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from application.pipeline import Pipeline
from application.wording import shown_time
from metering.records import ID_FIELD, TIME_FIELD, Command
from replay.commands import ReplayedCommand, commands_of
from streams.log.place import Place

_Record = Mapping[str, Any]
_SHOWN = 4
_LONGEST_VALUE = 60
_READ_ON = 500
"""Messages between two wanted ones up to which reading on is quicker than to look for the second."""


@dataclass(frozen=True, slots=True)
class Repeat:
    """A command that changed nothing, because its account had accepted one of this id before, at `first`.

    `first` is None where a version that kept no places accepted it. `differences` are sentences, empty where both say
    the same; None where the first is not at hand. A time that follows from the command's own (`expires_at` of `30d`)
    counts as the same.
    """

    first: Place | None
    differences: tuple[str, ...] | None

    @property
    def is_other_content(self) -> bool:
        """Whether something else was asked for under the same id, and so was not done."""
        return bool(self.differences)

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        differences = None if self.differences is None else list(self.differences)
        return {"first": None if self.first is None else str(self.first), "differences": differences}


def repeat_of(
    pipeline: Pipeline, partition: int, command: Command, record: Mapping[str, Any], answer: Mapping[str, Any]
) -> Repeat:
    """The repeat that an item of an answer's `repeated` speaks of. Raises LogError."""
    (repeat,) = repeats_of(pipeline, partition, command, [(record, answer)])
    return repeat


def repeats_of(
    pipeline: Pipeline, partition: int, command: Command, repeated: Sequence[tuple[_Record, _Record]]
) -> list[Repeat]:
    """The repeats of one partition, in order: each record with its item of an answer's `repeated`. Raises LogError."""
    places = [_place(partition, answer) for _, answer in repeated]
    first = _read(pipeline, partition, {place for place in places if place is not None})
    return [
        Repeat(place, _differences(command, record, None if place is None else first.get(place)))
        for (record, _), place in zip(repeated, places, strict=True)
    ]


def repeat_in_words(repeat: Repeat, what: str) -> str:
    """That nothing changed, because `what` (`grant g-1 of acme`) was accepted before; and how this one differs."""
    at = "" if repeat.first is None else f" at {repeat.first}"
    if repeat.differences:
        others = shortened(repeat.differences)
        return f"the same id with other content: {others}; {what} was accepted before{at}; nothing changed"
    unknown = "" if repeat.differences is not None else "; whether it was the same is not known"
    return f"repeated: nothing changed; {what} was accepted before{at}{unknown}"


def differing_fields(repeat: Mapping[str, Any], accepted: Mapping[str, Any]) -> list[str]:
    """`quantities.results 1000 instead of 1`, for each field in which a repeat differs from the accepted command.

    Both in plain form; maps entry by entry. Empty where they say the same.
    """
    new, old = dict(_entries(repeat)), dict(_entries(accepted))
    names = [name for name in dict.fromkeys([*old, *new]) if old.get(name) != new.get(name)]
    return [f"{name} {_shown(name, new.get(name))} instead of {_shown(name, old.get(name))}" for name in names]


def shortened(differences: Sequence[str]) -> str:
    """The first of them, and how many more there are."""
    more = f", and {len(differences) - _SHOWN} more fields" if len(differences) > _SHOWN else ""
    return f"{', '.join(differences[:_SHOWN])}{more}"


def _place(partition: int, answer: Mapping[str, Any]) -> Place | None:
    offset = answer["first_offset"]
    return None if offset is None else Place(partition, offset, answer["first_index"])


def _read(pipeline: Pipeline, partition: int, places: Collection[Place]) -> dict[Place, ReplayedCommand]:
    """The commands at these places of a partition, as far as the log still has them. Raises LogError."""
    log = pipeline.input_log
    commands: dict[Place, ReplayedCommand] = {}
    low, high = log.bounds(partition)
    offsets = sorted({place.offset for place in places if low <= place.offset < high})
    for first, last in _runs(offsets):
        for message in log.read(partition, first, last + 1):
            for command in commands_of(pipeline.codec, message):
                place = Place(partition, message.offset, command.index)
                if place in places:
                    commands[place] = command
    return commands


def _runs(offsets: Sequence[int]) -> Iterator[tuple[int, int]]:
    """(first, last) of offsets that are near each other."""
    start = 0
    for at in range(1, len(offsets) + 1):
        if at == len(offsets) or offsets[at] - offsets[at - 1] > _READ_ON:
            yield offsets[start], offsets[at - 1]
            start = at


def _differences(command: Command, record: Mapping[str, Any], first: ReplayedCommand | None) -> tuple[str, ...] | None:
    if first is None or first.command != command or first.record.get(ID_FIELD[command]) != record[ID_FIELD[command]]:
        return None
    own = TIME_FIELD[command]
    moved = record[own] - first.record[own]
    accepted = {**_moved(first.record, record, moved), own: record[own]}
    given = {name: value for name, value in record.items() if name in accepted}
    return tuple(differing_fields(given, {name: accepted[name] for name in given}))


def _moved(accepted: Mapping[str, Any], repeat: Mapping[str, Any], moved: int) -> dict[str, Any]:
    """The accepted fields, with each time that is as far from the command's own as the repeat's put where that is."""
    fields = {}
    for name, value in accepted.items():
        new = repeat.get(name)
        if isinstance(value, Mapping) and isinstance(new, Mapping):
            fields[name] = _moved(value, new, moved)
        elif name.endswith("_at") and type(value) is int and new == value + moved:
            fields[name] = new
        else:
            fields[name] = value
    return fields


def _entries(command: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in command.items():
        if isinstance(value, Mapping):
            yield from ((f"{name}.{key}", inner) for key, inner in value.items())
        else:
            yield name, value


def _shown(name: str, value: Any) -> str:
    if value is None:
        return "nothing"
    text = shown_time(value) if name.endswith(("_at", ".at")) and type(value) is int else str(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"
