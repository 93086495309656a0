"""Sending commands to the log and waiting until each is decided: what `grant`, `refund` and `account set` share.

1. Send, and wait for the broker's acknowledgement: from then on the command is in the log for ever.
2. Wait until the rating worker has passed it.
3. Read what it caused from the output topics.

Ctrl-C, a crash or no worker at all leaves step 1 as it is: the command will be decided, and repeating it is safe.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from application.commands.repeats import Repeat, repeats_of
from application.pipeline import Pipeline
from metering.records import ID_FIELD, Command, Kind
from streams.log.command_producer import Delivery
from streams.log.results import Answer, Caused
from streams.rating.outputs import topics_by_kind

# Across topics nothing says what came first; this is how a single command's outputs follow each other.
_ORDER = (
    Kind.GRANT,
    Kind.BILLED,
    Kind.REFUND,
    Kind.ACCOUNT,
    Kind.HOLD,
    Kind.DEAD_LETTER,
    Kind.ALERT,
)
_WORD = {Command.ACCOUNT: "account update"}

_At = tuple[int, int]
"""Partition and offset."""


@dataclass(frozen=True)
class Decided:
    """One command, its place in the log, and the outputs that it caused, each with its `type` as `rate` prints it.

    `repeat`: what it repeats, where the account had accepted its id before; then there are no outputs.
    """

    command: Command
    record: Mapping[str, Any]
    topic: str
    partition: int
    offset: int
    outputs: Sequence[dict[str, Any]]
    repeat: Repeat | None = None

    @property
    def own_id(self) -> str:
        """The id that makes a repeat of it one."""
        return str(self.record[ID_FIELD[self.command]])

    @property
    def place(self) -> str:
        """topic[partition]@offset."""
        return f"{self.topic}[{self.partition}]@{self.offset}"

    def of(self, kind: Kind) -> list[dict[str, Any]]:
        """Its outputs of one kind."""
        return [output for output in self.outputs if output["type"] == kind]

    @property
    def is_set_aside(self) -> bool:
        """Whether it became a dead letter."""
        return bool(self.of(Kind.DEAD_LETTER))

    @property
    def is_repeated(self) -> bool:
        """Whether the account had accepted its id before, so that it changed nothing."""
        return self.repeat is not None

    @property
    def is_other_content(self) -> bool:
        """Whether it was taken for a repeat and asked for something else than the first of its id."""
        return self.repeat is not None and self.repeat.is_other_content

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "command": self.command,
            "id": self.own_id,
            "account_id": self.record["account_id"],
            "place": self.place,
            "outputs": list(self.outputs),
            "repeat_of": None if self.repeat is None else self.repeat.as_json(),
        }


def submit_and_wait(
    pipeline: Pipeline, command: Command, records: Sequence[Mapping[str, Any]], seconds: float
) -> list[Decided]:
    """Sends the commands in order and returns the outputs of each, in the same order. Raises LogError, NotDecided."""
    places = submit(pipeline, command, records)
    results = pipeline.results
    last: dict[int, int] = {}
    for partition, offset in places:
        last[partition] = max(offset, last.get(partition, -1))
    with pipeline.notices.waiting("waiting for the worker"):
        results.wait_until_decided(last, seconds)
        decided = {
            partition: results.answers_and_outputs(
                partition, [offset for place_partition, offset in places if place_partition == partition]
            )
            for partition in last
        }
        answers = {
            (partition, offset): answer for partition, (by_offset, _) in decided.items()
            for offset, answer in by_offset.items()
        }  # fmt: skip
        repeats = _repeats(pipeline, command, dict(zip(places, records, strict=True)), answers)
    topic, all_decided = pipeline.names.requests, []
    for record, (partition, offset) in zip(records, places, strict=True):
        outputs = _outputs(pipeline, decided[partition][1], offset)
        # Without outputs it is a repeat, also where a worker of an earlier version answers nothing.
        repeat = repeats.get((partition, offset)) or (None if outputs else Repeat(None, None))
        all_decided.append(Decided(command, record, topic, partition, offset, outputs, repeat))
    return all_decided


def submit(pipeline: Pipeline, command: Command, records: Sequence[Mapping[str, Any]]) -> list[tuple[int, int]]:
    """Sends the commands; returns (partition, offset) of each once the broker has acknowledged it. Raises LogError."""
    places: dict[int, tuple[int, int]] = {}
    word = _WORD.get(command, command)
    remark = pipeline.notices.remark
    if len(records) == 1:
        remark(f"sending {word} {records[0][ID_FIELD[command]]}")
    else:
        remark(f"sending {len(records):,} {word}s")

    def delivered(delivery: Delivery) -> None:
        places[id(delivery.records[0])] = delivery.partition, delivery.offset

    with pipeline.connections.command_sender(f"{command}@{socket.gethostname()}", delivered) as sender:
        for record in records:
            sender.send_command(command, record)
    in_order = [places[id(record)] for record in records]
    remark(f"in the log: {pipeline.place_name(*in_order[0]) if len(in_order) == 1 else 'acknowledged'}")
    return in_order


def _repeats(
    pipeline: Pipeline, command: Command, sent: Mapping[_At, Mapping[str, Any]], answers: Mapping[_At, Answer]
) -> dict[_At, Repeat]:
    """What the commands repeat that were answered as repeats, by their places. Raises LogError."""
    repeats: dict[_At, Repeat] = {}
    repeated = {place: answer.repeated for place, answer in answers.items() if answer.repeated}
    for partition in {partition for partition, _ in repeated}:
        places = [place for place in repeated if place[0] == partition]
        pairs = [(sent[place], repeated[place][0]) for place in places]
        repeats.update(zip(places, repeats_of(pipeline, partition, command, pairs), strict=True))
    return repeats


def _outputs(pipeline: Pipeline, caused: Mapping[int, Caused], offset: int) -> list[dict[str, Any]]:
    topics = topics_by_kind(pipeline.names)
    by_topic = caused.get(offset, {})
    return [printed(kind, record) for kind in _ORDER for record in by_topic.get(topics[kind], [])]


def printed(kind: Kind, record: Mapping[str, Any]) -> dict[str, Any]:
    """An output as programs get it: its `type` first, and of a dead letter all but the original bytes."""
    return {"type": kind, **{name: value for name, value in record.items() if name != "original"}}
