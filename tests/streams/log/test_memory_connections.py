"""The senders of commands: one contract over the twin in memory and over Kafka; and that all clients are closed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from local.shared import SharedKafka
from schemas.codec import Codec
from schemas.errors import Unencodable
from streams.log.command_producer import Delivery, TooLarge
from streams.log.connections import Connections, KafkaConnections
from streams.log.group_offsets import GroupOffsets
from streams.log.memory import MemoryBroker
from streams.log.memory_connections import MemoryConnections
from streams.log.protocols import DeliveryFailed
from streams.log.topics import TopicNames, TopicSettings

PARTITIONS = 2
CODEC = Codec()


def event(number: int, **fields: Any) -> dict[str, Any]:
    return {
        "event_id": f"e-{number}", "account_id": "acme", "occurred_at": 1_767_225_600_000 + number,
        "endpoint": "/v1/ip-lookup", "channel": "api", "outcome": "processed",
    } | fields  # fmt: skip


def grant(grant_id: str) -> dict[str, Any]:
    return {
        "grant_id": grant_id, "account_id": "acme", "credit_type": "credit", "credits": 1,
        "granted_at": 1_767_225_600_000, "expires_at": None, "reason": "",
    }  # fmt: skip


class SenderContract:
    """Inherit, and give the fixture `connections`, with topics that are there."""

    @staticmethod
    def ids(connections: Connections, topic: str) -> list[list[list[str]]]:
        """By partition and message, the ids of its records."""
        log = connections.log(topic)
        partitions: list[list[list[str]]] = []
        for partition in range(PARTITIONS):
            messages = []
            for message in log.read(partition, *log.bounds(partition)):
                _, record = CODEC.decode(message.value)
                messages.append([next(iter(item.values())) for item in record.get("events", [record])])
            partitions.append(messages)
        return partitions

    def test_events_share_a_message_and_go_before_a_later_command(self, connections: Connections, topic: str) -> None:
        reports: list[Delivery] = []
        with connections.command_sender("test", reports.append) as sender:
            sender.send_command("request", event(1))
            sender.send_command("request", event(2))
            sender.send_command("grant", grant("g-1"))
            sender.flush()
            assert [len(report.records) for report in reports] == [2, 1]
            sender.send_command("request", event(3))
        assert [report.error for report in reports] == [None] * 3
        assert sorted(self.ids(connections, topic)) == [[], [["e-1", "e-2"], ["g-1"], ["e-3"]]]

    def test_a_price_book_goes_to_every_partition(self, connections: Connections, topic: str) -> None:
        book = {"book_id": "b", "yaml": "x", "published_at": 1_767_225_600_000}
        with connections.command_sender("test") as sender:
            sender.send_command("price_book", book)
            sender.send_command("price_book", book, partition=1)
        assert self.ids(connections, topic) == [[["b"]], [["b"], ["b"]]]

    def test_a_wrong_record_is_named_and_what_stood_before_it_is_sent(
        self, connections: Connections, topic: str
    ) -> None:
        with connections.command_sender("test") as sender:
            sender.send_command("request", event(1))
            with pytest.raises(Unencodable, match="occurred_at: is true, should be a time"):
                sender.send_command("request", event(2, occurred_at=True))
            with pytest.raises(TooLarge, match="'e-3' has "):
                sender.send_command("request", event(3, attributes={"a": "x" * 20_000_000}))
        assert sorted(self.ids(connections, topic)) == [[], [["e-1"]]]

    def test_a_report_that_fails_loses_nothing(self, connections: Connections, topic: str) -> None:
        def fails(_delivery: Delivery) -> None:
            raise ValueError("of the caller")

        with connections.command_sender("test", fails) as sender:
            sender.send_command("grant", grant("g-1"))
            sender.send_command("grant", grant("g-2"))
        assert sorted(self.ids(connections, topic)) == [[], [["g-1"], ["g-2"]]]

    def test_nothing_is_sent_after_the_end(self, connections: Connections, topic: str) -> None:
        sender = connections.command_sender("test")
        sender.close()
        sender.close()
        with pytest.raises(DeliveryFailed, match="closed"):
            sender.send_command("grant", grant("g-1"))
        assert self.ids(connections, topic) == [[], []]


class TestInMemory(SenderContract):
    @pytest.fixture
    @classmethod
    def connections(cls) -> MemoryConnections:
        return MemoryConnections(TopicNames("memory"), CODEC, PARTITIONS, MemoryBroker(lambda: 1_767_225_600_000))

    @pytest.fixture
    @classmethod
    def topic(cls) -> str:
        return TopicNames("memory").requests

    def test_nothing_is_there_before_it_is_acknowledged(self, connections: MemoryConnections, topic: str) -> None:
        raw = connections.raw_sender()
        raw.send(1, b"x", {}, "one")
        sender = connections.command_sender("test")
        sender.send_command("grant", grant("g-1"))
        assert [connections.log(topic).bounds(partition) for partition in range(PARTITIONS)] == [(0, 0), (0, 0)]
        assert raw.finish() == {"one": (1, 0)}
        sender.close()
        assert sum(connections.log(topic).bounds(partition)[1] for partition in range(PARTITIONS)) == 2


@pytest.mark.kafka
class TestOnKafka(SenderContract):
    @pytest.fixture
    @classmethod
    def names(cls, kafka: SharedKafka) -> TopicNames:
        return TopicNames(kafka.fresh_prefix())

    @pytest.fixture
    @classmethod
    def topic(cls, names: TopicNames) -> str:
        return names.requests

    @pytest.fixture
    @classmethod
    def connections(cls, kafka: SharedKafka, names: TopicNames) -> Iterator[KafkaConnections]:
        connections = KafkaConnections(kafka.bootstrap, names, CODEC, {})
        connections.ensure_topics(TopicSettings(partitions=PARTITIONS))
        yield connections
        connections.close()


def test_every_client_is_closed_also_where_one_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[GroupOffsets] = []
    close = GroupOffsets.close

    def failing(group: GroupOffsets) -> None:
        close(group)
        closed.append(group)
        if group is groups[1]:
            raise RuntimeError("cannot be closed")

    monkeypatch.setattr(GroupOffsets, "close", failing)
    connections = KafkaConnections("127.0.0.1:1", TopicNames("x"), CODEC, {})
    groups = [connections.group(name) for name in ("a", "b", "c")]
    with pytest.raises(RuntimeError, match="cannot be closed"):
        connections.close()
    assert closed == groups[::-1]
