"""From what happened to the messages that webhooks get: which webhooks want it, a message's id, its body. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from hashlib import blake2b
from typing import Any

from application.webhooks.events import EventSequence, EventType, Happening
from metering.windows import format_instant
from streams.access.records import Webhook
from streams.deliveries.records import Delivery

_ID_BYTES = 16


def is_on(webhook: Webhook) -> bool:
    """Whether anything is sent to it: it is neither off nor removed."""
    return webhook.disabled_at is None and webhook.removed_at is None


def wants(webhook: Webhook, happening: Happening, recorded_at: int) -> bool:
    """Whether a webhook is told of it. `recorded_at`: when the log had it, ms; what is older than the webhook is not.

    A webhook of an account hears of that account alone; one for every account also of what is about none.
    """
    return (
        is_on(webhook)
        and happening.event in webhook.events
        and webhook.account_id in {None, happening.account_id}
        and recorded_at >= webhook.created_at
    )


def message_id(log_id: str, event: EventType, sequence: EventSequence, webhook_id: str) -> str:
    """The header `webhook-id`: the same for the same happening and webhook, whoever makes it and however often.

    `log_id` is the input topic's: places of a log that was made again are others.
    """
    content = json.dumps([log_id, event, *asdict(sequence).values(), webhook_id]).encode()
    return f"msg_{blake2b(content, digest_size=_ID_BYTES).hexdigest()}"


def body(event: EventType, at: int, sequence: EventSequence | None, data: Mapping[str, Any]) -> str:
    """The message as it is sent: JSON with `type`, `timestamp` (RFC 3339), `data` and `sequence`. `at` in ms.

    `sequence` None: it stands nowhere in the log, as a test.
    """
    place = None if sequence is None else asdict(sequence)
    content = {"type": event, "timestamp": format_instant(at), "data": data, "sequence": place}
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))


def delivery_for(
    webhook: Webhook, happening: Happening, log_id: str, recorded_at: int, now: int, text: str | None = None
) -> Delivery:  # fmt: skip
    """The message for one webhook, due at once. `text`: its body, where that is made already.

    `recorded_at` (ms): when the log had it, so that a message that is made again after a crash is the same row.
    """
    if text is None:
        text = body(happening.event, happening.at, happening.sequence, happening.data)
    return Delivery(
        delivery_id=message_id(log_id, happening.event, happening.sequence, webhook.webhook_id),
        webhook_id=webhook.webhook_id, account_id=happening.account_id, event=happening.event.value, payload=text,
        created_at=recorded_at, next_at=now,
    )  # fmt: skip


def deliveries(
    happening: Happening, webhooks: Iterable[Webhook], log_id: str, recorded_at: int, now: int
) -> list[Delivery]:  # fmt: skip
    """A message for each of these webhooks that wants it, due at once. `recorded_at` and `now` in ms."""
    wanting = [webhook for webhook in webhooks if wants(webhook, happening, recorded_at)]
    text = body(happening.event, happening.at, happening.sequence, happening.data) if wanting else None
    return [delivery_for(webhook, happening, log_id, recorded_at, now, text) for webhook in wanting]
