"""A whole deliverer over a pipeline in memory, with a receiver that checks signatures as the reference library does."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook as Verifier

from application.access.access import Access
from application.access.webhooks import WebhookOrder, create_webhook, rotate_secret, signing_secrets
from application.errors import ErrorCode, Failed
from application.usage.store import UsageStore
from application.webhooks.delivering import Deliverer, DelivererParts
from application.webhooks.sending import HttpSender
from application.webhooks.targets import TargetRules
from schemas.catalog import BATCHES
from streams.access.records import Webhook
from streams.deliveries.records import Delivery, DeliveryStatus
from streams.log.seals import SEAL_HEADER
from streams.metrics import Metrics
from tests.application.access.world import OWNER, World
from tests.application.webhooks.receivers import Receiver, answers, receiving
from tests.schemas.records import EXAMPLES


class NoStore:
    def rows(self, _sql: str, _parameters: object) -> list[dict[str, Any]]:
        raise Failed("no store", ErrorCode.UNAVAILABLE)


def put_output(world: World, offset: int, **item: Any) -> None:
    """An alert of the account acme."""
    names, connections = world.pipeline.names, world.pipeline.connections
    (alert,) = EXAMPLES["AlertBatch"][BATCHES["AlertBatch"]]
    batch = {
        "source_partition": 0, "source_offset": offset, "part": 0, "parts": 1,
        "alerts": [alert | {"account_id": "acme"} | item],
    }  # fmt: skip
    value = world.pipeline.codec.encode("AlertBatch", batch)
    seal = connections.sealer.seal(names.alerts, 0, value)  # type: ignore[attr-defined]
    connections.broker.append(names.alerts, 0, value, headers={SEAL_HEADER: seal})  # type: ignore[attr-defined]


def newest(world: World) -> dict[str, Delivery]:
    topic = world.pipeline.delivery_topic
    return {
        record.delivery_id: record
        for partition in range(world.pipeline.partitions)
        for _, record in topic.read(partition, 0, topic.bounds(partition)[1])
        if isinstance(record, Delivery)
    }  # fmt: skip


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not holds():  # noqa: ASYNC110 -- it is another thread's work that is waited for
            await asyncio.sleep(0.02)


def delivered(reply: Any, check: Callable[[World, Access, Receiver, Metrics], Awaitable[None]]) -> None:
    """Run `check` while a deliverer runs that sends to a receiver with this reply."""

    async def run() -> None:
        world, metrics = World(), Metrics()
        store: UsageStore = NoStore()
        with world.server() as access:
            async with receiving(reply) as receiver:
                access.view.follow(0.05)
                stop, ready = asyncio.Event(), asyncio.Event()
                sender = HttpSender(TargetRules(allow_http_to_this_machine=True))
                parts = DelivererParts(world.pipeline, access, sender, store, metrics)
                loop = asyncio.get_running_loop()
                running = asyncio.create_task(Deliverer(parts).run(stop, lambda: loop.call_soon_threadsafe(ready.set)))
                await asyncio.wait([running, asyncio.create_task(ready.wait())], return_when="FIRST_COMPLETED")
                await check(world, access, receiver, metrics)
                stop.set()
                await running

    asyncio.run(run())


def a_webhook(access: Access, receiver: Receiver) -> Webhook:
    url = f"http://127.0.0.1:{receiver.port}/hook"
    return create_webhook(access, OWNER, WebhookOrder("acme", url, ["balance.below", "balance.empty"]))


def test_what_happens_is_received_signed_and_secrets_rotate_without_a_lost_message(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def check(world: World, access: Access, receiver: Receiver, metrics: Metrics) -> None:
        webhook = a_webhook(access, receiver)
        (secret,) = signing_secrets(access, webhook)
        put_output(world, 0)
        await until(lambda: len(receiver.requests) == 1)
        message = Verifier(secret).verify(receiver.requests[0].body, receiver.requests[0].headers)
        assert (message["type"], message["data"]["account_id"]) == ("balance.below", "acme")
        rotated = rotate_secret(access, OWNER, webhook.webhook_id)
        put_output(world, 1, kind="empty", mark=None)
        await until(lambda: len(receiver.requests) == 2)
        for known in {secret, *signing_secrets(access, rotated)}:
            second = Verifier(known).verify(receiver.requests[1].body, receiver.requests[1].headers)
            assert second["type"] == "balance.empty"
        await until(lambda: {record.status for record in newest(world).values()} == {DeliveryStatus.DELIVERED})
        assert set(newest(world)) == {request.headers["webhook-id"] for request in receiver.requests}
        text = metrics.text().decode()
        assert 'creditmeter_webhook_tries_total{outcome="delivered"} 2.0' in text
        assert secret not in caplog.text + text
        assert json.loads(receiver.requests[0].body)["data"]["credit_type"] not in caplog.text

    delivered(answers(200), check)


def test_410_turns_a_webhook_off_and_its_owner_sees_why() -> None:
    async def check(world: World, access: Access, receiver: Receiver, _metrics: Metrics) -> None:
        webhook = a_webhook(access, receiver)
        put_output(world, 0)
        await until(lambda: (access.state.webhook(webhook.webhook_id) or webhook).disabled_at is not None)
        known = access.state.webhook(webhook.webhook_id)
        assert known is not None
        assert known.disabled_reason == "it answered 410 Gone: nothing is wanted there any more"
        await until(lambda: [record.status for record in newest(world).values()] == [DeliveryStatus.FAILED])

    delivered(answers(410), check)


def test_a_failure_in_the_thread_ends_the_deliverer() -> None:
    async def run() -> None:
        world = World()
        with world.server() as access:
            sender = HttpSender(TargetRules())
            deliverer = Deliverer(DelivererParts(world.pipeline, access, sender, NoStore(), Metrics()))
            names, connections = world.pipeline.names, world.pipeline.connections
            connections.after_sending = lambda: None  # type: ignore[attr-defined]  # nothing loads it
            seal = connections.sealer.seal(names.alerts, 0, b"junk")  # type: ignore[attr-defined]
            create_webhook(access, OWNER, WebhookOrder("acme", "https://example.com", ["balance.below"]))
            connections.broker.append(names.alerts, 0, b"junk", headers={SEAL_HEADER: seal})  # type: ignore[attr-defined]
            with pytest.raises(Exception, match=r"alerts\[0\]@"):
                await deliverer.run(asyncio.Event())

    asyncio.run(run())
