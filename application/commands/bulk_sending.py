"""Sending the commands of a file into the log, for `emit`; and counting what became of them."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Self

from application.input.ndjson import InputCommand
from application.pipeline import Pipeline
from streams.log.command_producer import Delivery
from streams.log.connections import CommandSender
from streams.log.place import Place

_SHOWN = 5
"""Of the commands under a known id with other content, so many are listed."""


@dataclass(frozen=True, slots=True)
class ReusedId:
    """A command whose id its account had accepted before with other content. `first`: where that one stands."""

    command: str
    own_id: str
    place: Place
    first: Place | None


@dataclass(slots=True)
class BulkDecisions:
    """What became of sent commands, each counted once.

    `repeated` were accepted before; of these `other_content` are other commands under a known id, the first few of them
    in `reused`. `set_aside` are dead letters.
    """

    sent: int = 0
    repeated: int = 0
    other_content: int = 0
    set_aside: int = 0
    reused: list[ReusedId] = field(default_factory=list)

    @property
    def accepted(self) -> int:
        """Those that count, whatever was decided about them."""
        return self.sent - self.repeated - self.set_aside

    def add_repeat(self, partition: int, offset: int, repeat: dict[str, Any]) -> None:
        """Count an item of an answer's `repeated`."""
        self.repeated += 1
        if repeat["same_content"] is not False:
            return
        self.other_content += 1
        if len(self.reused) < _SHOWN:
            at = repeat["first_offset"]
            first = None if at is None else Place(partition, at, repeat["first_index"])
            place = Place(partition, offset, repeat["index"])
            self.reused.append(ReusedId(repeat["command"], repeat["id"], place, first))


class _Delivered:
    """Where acknowledged messages stand, and how many commands they hold."""

    def __init__(self) -> None:
        self.offsets: dict[int, list[int]] = {}
        self.commands = 0

    def add(self, delivery: Delivery) -> None:
        if delivery.error is None:
            self.offsets.setdefault(delivery.partition, []).append(delivery.offset)
            self.commands += len(delivery.records)


class BulkSender:
    """Commands into the log, each account's in the order of the file."""

    def __init__(self, pipeline: Pipeline, producer: CommandSender, delivered: _Delivered) -> None:
        self._pipeline = pipeline
        self._producer = producer
        self._delivered = delivered

    @classmethod
    @contextmanager
    def opened(cls, pipeline: Pipeline) -> Iterator[Self]:
        """A sender to the pipeline; topics that are missing are made. Raises LogError."""
        pipeline.ensure_topics()
        delivered = _Delivered()
        with pipeline.connections.command_sender(f"emit@{socket.gethostname()}", delivered.add) as producer:
            yield cls(pipeline, producer, delivered)

    def send(self, command: InputCommand) -> None:
        """Queue one command; waits while Kafka is slower than the file."""
        self._producer.send_command(command.name, command.record)

    def finish(self) -> None:
        """Return when everything is acknowledged."""
        self._producer.flush()

    def decisions(self, seconds: float) -> BulkDecisions:
        """What became of everything that is acknowledged by now, once it is decided. Raises LogError, NotDecided.

        Waits up to `seconds`, then reads the answers once, whatever their number.
        """
        results, offsets = self._pipeline.results, self._delivered.offsets
        decisions = BulkDecisions(self._delivered.commands)
        with self._pipeline.notices.waiting("waiting for the worker"):
            results.wait_until_decided({partition: max(sent) for partition, sent in offsets.items()}, seconds)
            for partition, sent in offsets.items():
                for offset, answer in results.answer_parts(partition, sent):
                    decisions.set_aside += len(answer.set_aside)
                    for repeat in answer.repeated:
                        decisions.add_repeat(partition, offset, repeat)
        return decisions
