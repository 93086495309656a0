"""Sending the commands of a file into the log, for `emit`."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

from application.input.ndjson import InputCommand
from application.pipeline import Pipeline
from streams.log.connections import CommandSender


class BulkSender:
    """Commands into the log, each account's in the order of the file."""

    def __init__(self, producer: CommandSender) -> None:
        self._producer = producer

    @classmethod
    @contextmanager
    def opened(cls, pipeline: Pipeline) -> Iterator[Self]:
        """A sender to the pipeline; topics that are missing are made. Raises LogError."""
        pipeline.ensure_topics()
        with pipeline.connections.command_sender(f"emit@{socket.gethostname()}") as producer:
            yield cls(producer)

    def send(self, command: InputCommand) -> None:
        """Queue one command; waits while Kafka is slower than the file."""
        self._producer.send_command(command.name, command.record)

    def finish(self) -> None:
        """Return when everything is acknowledged."""
        self._producer.flush()
