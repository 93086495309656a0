"""Kafka as the commands use it: one pipeline, with clients made from the configuration when they are needed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property

from application.configuration.settings import Settings
from application.dead_letters.reading import DeadLetterLog
from application.errors import Failed, Misconfigured
from application.prices.publishing import BookLog
from schemas.codec import Codec
from schemas.errors import RegistryUnavailable
from schemas.registry import HttpRegistry
from streams.log import topics
from streams.log.group_offsets import GroupOffsets
from streams.log.input_log import KafkaInputLog
from streams.log.output_log import KafkaOutputLog
from streams.log.protocols import LogError
from streams.log.reader import KafkaReader
from streams.log.results import Results

_DELIVERY_MS = 120_000


class Cluster:
    """The topics of one pipeline. What it opens is closed with it."""

    def __init__(self, settings: Settings, bootstrap: str, stack: ExitStack) -> None:
        self.names = topics.TopicNames(settings.topic_prefix)
        self.bootstrap = bootstrap
        self.security = settings.kafka_security
        self._settings = settings
        self._stack = stack

    @cached_property
    def codec(self) -> Codec:
        """The codec, with the schema registry where one is configured."""
        return codec_of(self._settings)

    @cached_property
    def partitions(self) -> int:
        """How many partitions the input topic has. Raises LogError."""
        return topics.partition_count(self.bootstrap, self.names.requests, security=self.security)

    def ensure_topics(self) -> None:
        """Make the topics that are missing. Raises LogError where those that are there do not fit."""
        wanted = topics.TopicSettings(self._settings.partitions, self._settings.replication_factor)
        topics.ensure_topics(self.bootstrap, self.names, wanted, security=self.security)

    def log(self, topic: str) -> KafkaInputLog:
        """A topic to read."""
        log = KafkaInputLog(self.bootstrap, topic, security=self.security)
        self._stack.callback(log.close)
        return log

    @contextmanager
    def reader(self) -> Iterator[KafkaReader]:
        """A reader of any topic, with all that a record carries."""
        reader = KafkaReader(self.bootstrap, security=self.security)
        try:
            yield reader
        finally:
            reader.close()

    def books(self) -> BookLog:
        """The price books of the input."""
        return BookLog(self.log(self.names.requests), self.codec, self.names.requests, self.partitions)

    def dead_letters(self) -> DeadLetterLog:
        """The dead letters, and the input that brought them."""
        letters, commands = self.log(self.names.dead_letters), self.log(self.names.requests)
        return DeadLetterLog(letters, commands, self.codec, self.partitions)

    def results(self) -> Results:
        """What single commands caused, once a worker has decided them."""
        progress = GroupOffsets(self.bootstrap, self.names.rating_group, self.security)
        self._stack.callback(progress.close)
        outputs = {topic: self.log(topic) for topic in self.names.outputs}
        return Results(self.names, self.partitions, self.codec, self.log(self.names.requests), outputs, progress)

    def output_log(self) -> KafkaOutputLog:
        """A sender to chosen partitions that keeps their order; gives up after two minutes without Kafka."""
        position_of = self.codec.read_position
        security = self.security
        out = KafkaOutputLog(self.bootstrap, position_of, security=security, message_timeout_ms=_DELIVERY_MS)
        self._stack.callback(out.close)
        return out


def codec_of(settings: Settings) -> Codec:
    """A codec that writes Confluent's framing where a schema registry is configured."""
    if settings.schema_registry_url is None:
        return Codec()
    secret = settings.schema_registry_password
    password = None if secret is None else secret.get_secret_value()
    return Codec(HttpRegistry(settings.schema_registry_url, settings.schema_registry_user, password))


@contextmanager
def opened(settings: Settings) -> Iterator[Cluster]:
    """The cluster of the configuration; what goes wrong with Kafka or the registry becomes Failed.

    Raises Misconfigured where there is no address.
    """
    if settings.bootstrap_servers is None:
        raise Misconfigured(
            "No Kafka is known here: set bootstrap_servers (CREDITMETER_BOOTSTRAP_SERVERS), or start everything on "
            "this machine with `creditmeter up`."
        )
    with ExitStack() as stack:
        try:
            yield Cluster(settings, settings.bootstrap_servers, stack)
        except (LogError, RegistryUnavailable) as error:
            raise Failed(str(error)) from error
