"""Requests to the broker's administration, with one deadline and our errors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # public, but not marked so in the library's types
    AdminClient,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from streams import clock
from streams.log.client import client_config
from streams.log.protocols import LogError, LogUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from concurrent.futures import Future

    from confluent_kafka.admin import TopicDescription  # type: ignore[attr-defined]

__all__ = ["NewTopic", "TopicAdmin", "TopicMissing"]

_PAUSE = 0.1
_SILENT = {KafkaError._TIMED_OUT, KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN}  # noqa: SLF001 (their names)


class TopicMissing(LogError):
    """Topics that are not there."""


class TopicAdmin:
    """An admin client whose calls share one deadline and raise our errors."""

    def __init__(self, bootstrap: str, security: Mapping[str, str] | None, timeout: float) -> None:
        self._bootstrap = bootstrap
        self._timeout = timeout
        self._deadline = clock.monotonic() + timeout
        self._admin = AdminClient(client_config(bootstrap, security))

    def describe(self, names: Iterable[str]) -> dict[str, TopicDescription]:
        """The topics that are there."""
        asked = self._call(lambda left: self._admin.describe_topics(TopicCollection(list(names)), request_timeout=left))
        return {name: answer for name, future in asked.items() if (answer := self._result(name, future)) is not None}

    def must_describe(self, names: Iterable[str]) -> dict[str, TopicDescription]:
        """The topics, all of which must be there. Raises TopicMissing."""
        names = list(names)
        topics = self.describe(names)
        missing = [name for name in names if name not in topics]
        if missing:
            raise TopicMissing(f"no such topic: {', '.join(missing)}; make the topics first, or see topic_prefix")
        return topics

    def wait_for(self, names: Iterable[str]) -> None:
        """Return once topics that were just made show everywhere, with all their partitions. Raises TopicMissing."""
        while True:
            try:
                if all(topic.partitions for topic in self.must_describe(names).values()):
                    return
            except TopicMissing:
                if clock.monotonic() + _PAUSE >= self._deadline:
                    raise
            clock.sleep(_PAUSE)

    def create(self, topics: list[NewTopic]) -> None:
        made = self._call(lambda left: self._admin.create_topics(topics, operation_timeout=left, request_timeout=left))
        for name, future in made.items():
            self._result(name, future, fine=KafkaError.TOPIC_ALREADY_EXISTS)  # another process was quicker

    def config(self, names: Iterable[str]) -> dict[str, dict[str, str]]:
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
        asked = self._call(lambda left: self._admin.describe_configs(resources, request_timeout=left))
        entries_by_topic = {resource.name: self._result(resource.name, future) for resource, future in asked.items()}
        return {
            name: {key: entry.value for key, entry in entries.items()} for name, entries in entries_by_topic.items()
        }

    def _call(self, ask: Callable[[float], dict[Any, Future[Any]]]) -> dict[Any, Future[Any]]:
        left = self._deadline - clock.monotonic()
        if left <= 0:
            raise self._unavailable()
        return ask(max(left, 0.1))

    def _result(self, name: str, future: Future[Any], fine: int = KafkaError.UNKNOWN_TOPIC_OR_PART) -> Any:
        try:
            return future.result()
        except KafkaException as error:
            cause: KafkaError = error.args[0]
            if cause.code() == fine:
                return None
            if cause.code() in _SILENT:
                raise self._unavailable() from error
            raise LogError(f"{name}: the broker refuses: {cause.str()} ({cause.name()})") from error

    def _unavailable(self) -> LogUnavailable:
        return LogUnavailable(
            f"no Kafka broker answered at {self._bootstrap} within {self._timeout:g} s; "
            "see that it runs and that bootstrap_servers and the security settings are right"
        )
