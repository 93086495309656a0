"""Sending the commands of a file to Kafka, for `emit`."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

from application.configuration.settings import Settings
from application.input.ndjson import InputCommand
from application.pipeline import opened
from streams.log.command_producer import CommandProducer


class KafkaSender:
    """Commands into the log, each account's in the order of the file."""

    def __init__(self, producer: CommandProducer) -> None:
        self._producer = producer

    @classmethod
    @contextmanager
    def opened(cls, settings: Settings) -> Iterator[Self]:
        """A sender to the pipeline of the configuration; topics that are missing are made. Raises Failed."""
        with opened(settings) as cluster:
            cluster.ensure_topics()
            name = f"emit@{socket.gethostname()}"
            security = cluster.security
            with CommandProducer(
                cluster.bootstrap, cluster.names, cluster.codec, producer=name, security=security
            ) as producer:
                yield cls(producer)

    def send(self, command: InputCommand) -> None:
        """Queue one command; waits while Kafka is slower than the file."""
        self._producer.send_command(command.name, command.record)

    def finish(self) -> None:
        """Return when everything is acknowledged."""
        self._producer.flush()
