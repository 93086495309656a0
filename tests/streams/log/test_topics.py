"""Names of topics, making them, and finding what is wrong with those that are there."""

import threading
import time
from collections.abc import Callable

import pytest
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    ResourceType,
)

from local.shared import SharedKafka
from streams.log.protocols import LogError, LogUnavailable
from streams.log.topic_admin import TopicMissing
from streams.log.topics import TopicMismatch, TopicNames, TopicSettings, check_topics, ensure_topics, partition_count


def test_names() -> None:
    names = TopicNames()
    assert names.requests == "credits.requests"
    assert names.outputs == (
        "credits.billed",
        "credits.refunds",
        "credits.grants",
        "credits.alerts",
        "credits.accounts",
        "credits.holds",
        "credits.dead-letters",
    )
    assert names.all == ("credits.requests", *names.outputs)
    assert (names.rating_group, names.loading_group) == ("credits.rating", "credits.loading")


@pytest.mark.parametrize("prefix", ["", "a b", "ä", ".a", "x" * 201, "a/b"])
def test_a_prefix_that_kafka_would_refuse(prefix: str) -> None:
    with pytest.raises(ValueError, match="topic prefix"):
        TopicNames(prefix)


def configuration(kafka: SharedKafka, topic: str) -> dict[str, str]:
    resource = ConfigResource(ResourceType.TOPIC, topic)
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    described = admin.describe_configs([resource])[resource].result(30)
    return {name: entry.value for name, entry in described.items()}


@pytest.mark.kafka
def test_topics_are_made_once_and_as_they_must_be(kafka: SharedKafka) -> None:
    names = TopicNames(kafka.fresh_prefix())
    with pytest.raises(TopicMissing, match=f"{names.requests}, {names.billed}"):
        check_topics(kafka.bootstrap, names)
    settings = TopicSettings(partitions=3, outputs_retention_ms=86_400_000)
    made = ensure_topics(kafka.bootstrap, names, settings)
    assert set(made) == set(names.all)
    assert len(set(made.values())) == 8
    assert ensure_topics(kafka.bootstrap, names, settings) == made == check_topics(kafka.bootstrap, names)
    assert partition_count(kafka.bootstrap, names.requests) == 3
    wanted = {
        "message.timestamp.type": "LogAppendTime",
        "cleanup.policy": "delete",
        "retention.bytes": "-1",
        "max.message.bytes": str(16 << 20),
    }
    for name in names.all:
        retention = "-1" if name == names.requests else "86400000"
        configured = configuration(kafka, name)
        assert {key: configured[key] for key in wanted} == wanted
        assert configured["retention.ms"] == retention
    access = configuration(kafka, names.access)
    assert (access["cleanup.policy"], access["message.timestamp.type"]) == ("compact", "LogAppendTime")
    assert partition_count(kafka.bootstrap, names.access) == 1
    deliveries = configuration(kafka, names.deliveries)
    assert (deliveries["cleanup.policy"], deliveries["message.timestamp.type"]) == ("compact", "LogAppendTime")
    assert partition_count(kafka.bootstrap, names.deliveries) == 3


def wait_for(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def is_missing(kafka: SharedKafka, topic: str) -> bool:
    try:
        partition_count(kafka.bootstrap, topic)
    except TopicMissing:
        return True
    return False


def mismatches(kafka: SharedKafka, names: TopicNames) -> list[object]:
    try:
        check_topics(kafka.bootstrap, names)
    except TopicMismatch as error:
        return list(error.mismatches)
    return []


@pytest.mark.kafka
def test_a_pipeline_of_an_earlier_version_has_some_topics_only_when_its_topics_are_made_again(
    kafka: SharedKafka,
) -> None:
    names = TopicNames(kafka.fresh_prefix())
    made = ensure_topics(kafka.bootstrap, names, TopicSettings(partitions=1))
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})  # kept: one that is let go of gives up its requests
    for later, deleted in admin.delete_topics([names.access, names.deliveries]).items():
        deleted.result(30)
        wait_for(lambda later=later: is_missing(kafka, later))
    assert check_topics(kafka.bootstrap, names) == made
    with pytest.raises(TopicMissing, match=r"\.access"):
        partition_count(kafka.bootstrap, names.access)
    assert ensure_topics(kafka.bootstrap, names, TopicSettings(partitions=1)) == made
    assert partition_count(kafka.bootstrap, names.access) == partition_count(kafka.bootstrap, names.deliveries) == 1


@pytest.mark.kafka
def test_several_processes_may_make_them_at_once(kafka: SharedKafka) -> None:
    names = TopicNames(kafka.fresh_prefix())
    seen: list[dict[str, str]] = []
    threads = [threading.Thread(target=lambda: seen.append(ensure_topics(kafka.bootstrap, names))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [seen[0]] * 4


@pytest.mark.kafka
def test_all_that_is_wrong_is_said_at_once(kafka: SharedKafka) -> None:
    names = TopicNames(kafka.fresh_prefix())
    ensure_topics(kafka.bootstrap, names, TopicSettings(partitions=2))
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    for more in (names.billed, names.deliveries):
        admin.create_partitions([NewPartitions(more, 4)])[more].result(30)
    deleting = ConfigResource(
        ResourceType.TOPIC,
        names.access,
        incremental_configs=[ConfigEntry("cleanup.policy", "delete", incremental_operation=AlterConfigOpType.SET)],
    )
    admin.incremental_alter_configs([deleting])[deleting].result(30)
    change = ConfigResource(
        ResourceType.TOPIC,
        names.requests,
        incremental_configs=[
            ConfigEntry("message.timestamp.type", "CreateTime", incremental_operation=AlterConfigOpType.SET),
            ConfigEntry("cleanup.policy", "compact", incremental_operation=AlterConfigOpType.SET),
        ],
    )
    admin.incremental_alter_configs([change])[change].result(30)
    wait_for(lambda: len(mismatches(kafka, names)) >= 5)  # a broker shows new settings a moment later
    with pytest.raises(TopicMismatch) as caught:
        check_topics(kafka.bootstrap, names)
    assert [(m.topic, m.setting, m.actual, m.wanted) for m in caught.value.mismatches] == [
        (names.billed, "the number of partitions", "4", "2"),
        (names.deliveries, "the number of partitions", "4", "2"),
        (names.requests, "message.timestamp.type", "CreateTime", "LogAppendTime"),
        (names.requests, "cleanup.policy", "compact", "delete"),
        (names.access, "cleanup.policy", "delete", "compact"),
    ]
    assert "choose another topic_prefix" in str(caught.value)
    with pytest.raises(TopicMismatch, match="the number of partitions is 2, 8 is needed"):
        ensure_topics(kafka.bootstrap, names, TopicSettings(partitions=8))


@pytest.mark.kafka
def test_what_the_broker_refuses(kafka: SharedKafka) -> None:
    with pytest.raises(LogError, match=r"\.requests: the broker refuses: .*[Rr]eplication"):
        ensure_topics(kafka.bootstrap, TopicNames(kafka.fresh_prefix()), TopicSettings(replication=30))


def test_no_broker_is_said_in_time() -> None:
    begun = time.monotonic()
    with pytest.raises(LogUnavailable, match=r"no Kafka broker answered at 127\.0\.0\.1:1 within 0\.5 s"):
        ensure_topics("127.0.0.1:1", TopicNames(), timeout=0.5)
    assert time.monotonic() - begun < 3
