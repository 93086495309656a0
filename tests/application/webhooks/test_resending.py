"""Sending one again and sending a test: what is written, by whom, and what is refused."""

import json
from pathlib import Path

import pytest

from application.access.access import Access
from application.access.changes import list_changes
from application.access.webhooks import WebhookOrder, create_webhook, disable_webhook
from application.errors import ErrorCode, Failed
from application.in_memory import in_memory_pipeline
from application.pipeline import Pipeline
from application.usage.store import SinkUsage
from application.webhooks.listing import list_deliveries
from application.webhooks.resending import send_again, send_test
from application.webhooks.schedule import after_try
from sinks.embedded import EmbeddedSink
from streams.access.records import Webhook
from streams.deliveries.records import Delivery, DeliveryStatus
from streams.deliveries.topic import Written
from streams.log.partitioner import partition_of
from tests.application.access.world import OWNER, World
from tests.application.webhooks.examples import refused
from tests.stores import with_schema


def records(pipeline: Pipeline, partition: int) -> list[Delivery]:
    topic = pipeline.delivery_topic
    read = topic.read(partition, 0, topic.bounds(partition)[1])
    return [record for _, record in read if isinstance(record, Delivery)]


def a_webhook(access: Access) -> Webhook:
    return create_webhook(access, OWNER, WebhookOrder("acme", "https://example.com/", ["refund.made"]))


def test_a_message_is_sent_again_whatever_became_of_it_and_a_test_is_sent_to_one_webhook(tmp_path: Path) -> None:
    sink = EmbeddedSink(with_schema(tmp_path / "clickhouse"))
    world = World(in_memory_pipeline(tmp_path, sink=sink))
    with world.server() as access:
        store, pipeline = SinkUsage(sink), world.pipeline
        webhook = a_webhook(access)
        test = send_test(pipeline, access, OWNER, webhook)
        partition = partition_of(webhook.webhook_id, pipeline.partitions)
        assert records(pipeline, partition) == [test]
        told = json.loads(test.payload)
        assert (told["type"], told["data"], told["sequence"]) == (
            "webhook.test",
            {"webhook_id": webhook.webhook_id},
            None,
        )
        assert (test.status, test.next_at) == (DeliveryStatus.PENDING, world.now)

        tried = after_try(test, refused(world.now, 410))
        pipeline.delivery_topic.write([Written(partition, tried)])
        world.now += 1_000
        again = send_again(pipeline, access, OWNER, store, webhook, test.delivery_id)
        assert records(pipeline, partition)[-1] == again
        assert (again.status, again.tries, again.next_at) == (DeliveryStatus.PENDING, 0, world.now)
        assert (again.attempts, again.reason) == (tried.attempts, "sent again by key_owner")
        (listed,) = list_deliveries(store, webhook.webhook_id).deliveries
        assert (listed.delivery, listed.partition) == (again, partition)
        actions = [change.action for change in list_changes(access, OWNER.identity, "acme")]
        assert actions[:2] == ["delivery.sent_again", "webhook.tested"]

        with pytest.raises(Failed) as missing:
            send_again(pipeline, access, OWNER, store, webhook, "msg_none")
        assert missing.value.code is ErrorCode.NOT_FOUND
        off = disable_webhook(access, OWNER, webhook.webhook_id, "enough")
        for refuse in (
            lambda: send_again(pipeline, access, OWNER, store, off, test.delivery_id),
            lambda: send_test(pipeline, access, OWNER, off),
        ):
            with pytest.raises(Failed) as conflict:
                refuse()
            assert conflict.value.code is ErrorCode.CONFLICT
    sink.close()
