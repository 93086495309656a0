"""How far a pipeline is behind: messages that a consumer group has not acknowledged yet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from confluent_kafka import Consumer, KafkaException, TopicPartition

from streams.kafka_client import client_config
from streams.log import LogUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

_TIMEOUT = 10.0


class GroupLag:
    """Asks about one consumer group without joining it."""

    def __init__(self, bootstrap: str, group: str, security: Mapping[str, str]) -> None:
        config = client_config(bootstrap, security, group_id=group, enable_auto_commit=False)
        self._consumer = Consumer(config)

    def behind(self, topics: Sequence[str], partitions: int) -> int:
        """Messages in these topics behind what the group has acknowledged. Raises LogUnavailable."""
        places = [TopicPartition(topic, each) for topic in topics for each in range(partitions)]
        try:
            behind = 0
            for place in self._consumer.committed(places, timeout=_TIMEOUT):
                low, high = self._consumer.get_watermark_offsets(place, timeout=_TIMEOUT)
                behind += high - max(low, place.offset)
        except KafkaException as error:
            raise LogUnavailable(f"how far consumers are cannot be asked: {error.args[0].str()}") from error
        return behind

    def close(self) -> None:
        """Let go of the client."""
        self._consumer.close()
