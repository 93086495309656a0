"""Sending one again, and sending a test: written to the topic of deliveries, where a deliverer takes it up.

Neither waits for the try: `application/webhooks/listing.py` shows what came of it.
"""

from __future__ import annotations

from application.access.access import Access
from application.access.authors import Author
from application.access.ids import new_id
from application.errors import ErrorCode, Failed
from application.pipeline import Pipeline
from application.usage.store import UsageStore
from application.webhooks.events import EventType
from application.webhooks.listing import find_delivery
from application.webhooks.messages import body, is_on
from application.webhooks.schedule import sent_again
from streams.access.records import Webhook
from streams.deliveries.records import Delivery
from streams.deliveries.topic import Written
from streams.log.partitioner import partition_of


def send_again(
    pipeline: Pipeline, access: Access, author: Author, store: UsageStore, webhook: Webhook, delivery_id: str
) -> Delivery:
    """Has a message of this webhook tried at once, whatever became of it, with all its tries before it.

    Its id stays. The author must be one who may change the webhook (`application/access/webhooks.py`). Raises Failed:
    NOT_FOUND, also while it is not loaded yet; CONFLICT where the webhook is off; LogError, AccessUnavailable.
    """
    _raise_unless_on(webhook)
    listed = find_delivery(store, webhook.webhook_id, delivery_id)
    access.note_change(author, "delivery.sent_again", delivery_id, webhook.account_id, webhook=webhook.webhook_id)
    again = sent_again(listed.delivery, f"sent again by {author.name}", access.now())
    pipeline.delivery_topic.write([Written(listed.partition, again)])
    return again


def send_test(pipeline: Pipeline, access: Access, author: Author, webhook: Webhook) -> Delivery:
    """Sends a `webhook.test` to this webhook alone. Raises Failed (CONFLICT where it is off), LogError."""
    _raise_unless_on(webhook)
    now = access.now()
    text = body(EventType.TEST, now, None, {"webhook_id": webhook.webhook_id})
    delivery = Delivery(
        delivery_id=new_id("msg"), webhook_id=webhook.webhook_id, account_id=webhook.account_id,
        event=EventType.TEST.value, payload=text, created_at=now, next_at=now,
    )  # fmt: skip
    access.note_change(author, "webhook.tested", webhook.webhook_id, webhook.account_id, delivery=delivery.delivery_id)
    partition = partition_of(webhook.webhook_id, pipeline.partitions)
    pipeline.delivery_topic.write([Written(partition, delivery)])
    return delivery


def _raise_unless_on(webhook: Webhook) -> None:
    if not is_on(webhook):
        raise Failed("the webhook is off: change it to turn it on again", ErrorCode.CONFLICT)
