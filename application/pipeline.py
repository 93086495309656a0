"""One pipeline as the use cases see it: its topics, its log, its store and its places on this machine.

Opened once and closed once. It carries the values of the configuration that use cases need, makes each client when it
is first needed and uses it again. It knows no use case. `in_memory.py` has its twin, and one contract suite runs every
use case over both.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from application.clickhouse.asking import ConfiguredSql, SqlReader
from application.configuration.settings import Settings
from application.errors import ErrorCode, Failed, Misconfigured, UseCaseError
from application.notices import Notices, Silent
from local.port_holder import why_not_listening
from replay.account import ReplaySource
from schemas.codec import Codec
from schemas.errors import RegistryUnavailable, Unencodable
from schemas.price_book import read_book
from schemas.registry import HttpRegistry
from streams.checkpoints.checkpoints import Checkpoints
from streams.checkpoints.sealed import CheckpointError
from streams.deliveries.topic import DeliveryTopic
from streams.listening import CannotListen
from streams.log.command_producer import TooLarge
from streams.log.connections import Connections, KafkaConnections, group_lag
from streams.log.pipeline_seals import PipelineSeals
from streams.log.protocols import DeliveryFailed, LogError, LogUnavailable, RecordLog
from streams.log.results import NotDecided, Results
from streams.log.seal_ledger import SealSettings
from streams.log.seals import SealCheck, SealedLog
from streams.log.topics import TopicNames, TopicSettings
from streams.state.store import StateError


@dataclass(frozen=True, slots=True)
class LocalPlaces:
    """Where this machine keeps things: all data, a worker's states, and where checkpoints are kept (None: nowhere)."""

    data: Path
    states: Path
    checkpoint_url: str | None = None


class Pipeline:
    """The topics, clients and places of one pipeline. Raises LogError wherever a log is asked."""

    def __init__(
        self, names: TopicNames, codec: Codec, connections: Connections, sql: SqlReader, places: LocalPlaces, *,
        topic_settings: TopicSettings | None = None, notices: Notices | None = None,
    ) -> None:  # fmt: skip
        self.names = names
        self.codec = codec
        self.connections = connections
        self.sql = sql
        self.places = places
        self.notices = notices or Silent()
        self._topic_settings = topic_settings or TopicSettings()

    @property
    def address(self) -> str:
        """What people know the cluster by."""
        return self.connections.address

    @cached_property
    def partitions(self) -> int:
        """How many partitions the input topic has."""
        return self.connections.partition_count()

    @cached_property
    def log_id(self) -> str:
        """The input topic's id; all topics have been checked."""
        return self.connections.log_id()

    @cached_property
    def input_log(self) -> RecordLog:
        """The commands."""
        return self.log(self.names.requests)

    @cached_property
    def replay_source(self) -> ReplaySource:
        """What every replay of this log reads."""
        return ReplaySource(self.names, self.partitions, self.codec, read_book, self.input_log)

    @cached_property
    def results(self) -> Results:
        """What single commands caused, once a worker has decided them."""
        outputs = {topic: self.own_output(topic) for topic in self.names.outputs}
        rating = self.connections.group(self.names.rating_group)
        return Results(self.names, self.partitions, self.codec, self.input_log, outputs, rating)

    def log(self, topic: str) -> RecordLog:
        """A topic to read; all share one client."""
        return self.connections.log(topic)

    @cached_property
    def seals(self) -> SealCheck:
        """Tells output records of this pipeline from stray ones."""
        return self.connections.seals()

    def own_output(self, topic: str) -> RecordLog:
        """An output topic to read: only what this pipeline's workers wrote; stray records are logged and skipped."""
        return SealedLog(self.log(topic), topic, self.seals)

    @cached_property
    def delivery_topic(self) -> DeliveryTopic:
        """What is sent to webhooks and what was tried, to read and to write."""
        topic = self.names.deliveries
        return DeliveryTopic(self.log(topic), topic, self.seals, self.codec, self.connections.deliveries_writer())

    def checkpoints(self, url: str | None = None) -> Checkpoints | None:
        """The checkpoints of this log at `url`, else at the configured place; None where there is none."""
        place = url or self.places.checkpoint_url
        return None if place is None else Checkpoints(place, self.names.requests, self.log_id)

    def ensure_topics(self) -> None:
        """Make the topics that are missing. Raises LogError where those that are there do not fit."""
        self.connections.ensure_topics(self._topic_settings)

    def place_name(self, partition: int, offset: int) -> str:
        """topic[partition]@offset of an input message."""
        return f"{self.names.requests}[{partition}]@{offset}"

    def lag(self, group: str, topics: tuple[str, ...]) -> dict[tuple[str, int], int]:
        """By topic and partition, the messages that a group has not acknowledged yet."""
        return group_lag(self.connections, group, topics, self.partitions)


@contextmanager
def opened(settings: Settings, notices: Notices | None = None) -> Iterator[Pipeline]:
    """The pipeline of the configuration; errors of Kafka, the registry and states become UseCaseErrors.

    Raises Misconfigured where there is no address.
    """
    if settings.bootstrap_servers is None:
        raise Misconfigured(
            "No Kafka is known here: set bootstrap_servers (CREDITMETER_BOOTSTRAP_SERVERS), or start everything on "
            "this machine with `creditmeter up`."
        )
    names, codec = TopicNames(settings.topic_prefix), codec_of(settings)
    connections = KafkaConnections(
        settings.bootstrap_servers, names, codec, settings.kafka_security, seal_settings_of(settings)
    )
    places = LocalPlaces(settings.data_dir, settings.state_path, settings.checkpoint_url)
    topic_settings = TopicSettings(settings.partitions, settings.replication_factor)
    pipeline = Pipeline(
        names, codec, connections, ConfiguredSql(settings), places, topic_settings=topic_settings, notices=notices
    )
    with translated_causes(), closing(connections):
        yield pipeline


@contextmanager
def translated_causes() -> Iterator[None]:
    """Turns what the layers below raise into UseCaseErrors, each with its code."""
    try:
        yield
    except UseCaseError:
        raise
    except NotDecided as error:
        raise Failed(str(error), ErrorCode.UNDECIDED) from error
    except (TooLarge, Unencodable) as error:
        raise Misconfigured(str(error)) from error
    except (LogUnavailable, DeliveryFailed, RegistryUnavailable) as error:
        raise Failed(str(error), ErrorCode.UNAVAILABLE) from error
    except (LogError, StateError, CheckpointError) as error:
        raise Failed(str(error)) from error
    except CannotListen as error:
        reason = why_not_listening(error.setting, error, error.port)
        raise Failed(f"{error.setting} {error.port} of {error.host}: {reason}") from error


def pipeline_seals(settings: Settings, pipeline: Pipeline) -> PipelineSeals:
    """The pipeline's seals of output records, to begin or to rotate them. Raises LogError."""
    keys = seal_settings_of(settings).for_log(pipeline.log_id)
    return PipelineSeals(pipeline.address, pipeline.names, keys, settings.kafka_security)


def seal_settings_of(settings: Settings) -> SealSettings:
    """The configured seal keys."""
    key, before = settings.seal_key, settings.seal_keys_before
    earlier = [] if before is None else [key.encode() for key in before.get_secret_value().split(",")]
    return SealSettings(None if key is None else key.get_secret_value().encode(), tuple(earlier))


def codec_of(settings: Settings) -> Codec:
    """A codec that writes Confluent's framing where a schema registry is configured."""
    if settings.schema_registry_url is None:
        return Codec()
    secret = settings.schema_registry_password
    password = None if secret is None else secret.get_secret_value()
    return Codec(HttpRegistry(settings.schema_registry_url, settings.schema_registry_user, password))
