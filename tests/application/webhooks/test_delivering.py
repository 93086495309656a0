"""A whole deliverer over a pipeline in memory, with a receiver that checks signatures as the reference library does."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook as Verifier

from application.access.access import Access
from application.access.webhooks import WebhookOrder, change_webhook, create_webhook, rotate_secret, signing_secrets
from application.errors import ErrorCode, Failed
from application.usage.store import UsageStore
from application.webhooks.delivering import Deliverer, DelivererParts
from application.webhooks.schedule import TRIES
from application.webhooks.sending import HttpSender
from application.webhooks.targets import TargetRules
from schemas.catalog import BATCHES
from streams import clock
from streams.access.records import Webhook
from streams.deliveries.records import Delivery, DeliveryStatus
from streams.log.seals import SEAL_HEADER
from streams.metrics import Metrics
from tests.application.access.world import OWNER, World
from tests.application.webhooks.examples import HOUR
from tests.application.webhooks.receivers import Receiver, answers, receiving, reserved_port
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


class Clock:
    """The clock of a deliverer: `ahead` (ms) of the real one."""

    ahead = 0

    def now(self) -> int:
        return clock.now_ms() + self.ahead


@asynccontextmanager
async def delivering(time: Clock, metrics: Metrics) -> AsyncIterator[tuple[World, Access]]:
    """A deliverer over a world of its own, for the time of the block."""
    world = World()
    store: UsageStore = NoStore()
    with world.server() as access:
        access.view.follow(0.05)
        stop, ready = asyncio.Event(), asyncio.Event()
        sender = HttpSender(TargetRules(allow_http_to_this_machine=True), now=time.now)
        parts = DelivererParts(world.pipeline, access, sender, store, metrics, now=time.now)
        loop = asyncio.get_running_loop()
        running = asyncio.create_task(Deliverer(parts).run(stop, lambda: loop.call_soon_threadsafe(ready.set)))
        await asyncio.wait([running, asyncio.create_task(ready.wait())], return_when="FIRST_COMPLETED")
        try:
            yield world, access
        finally:
            stop.set()
            await running


def delivered(reply: Any, check: Callable[[World, Access, Receiver, Metrics], Awaitable[None]]) -> None:
    """Run `check` while a deliverer runs that sends to a receiver with this reply."""

    async def run() -> None:
        metrics = Metrics()
        async with receiving(reply) as receiver, delivering(Clock(), metrics) as (world, access):
            await check(world, access, receiver, metrics)

    asyncio.run(run())


def a_webhook(access: Access, port: int) -> Webhook:
    url = f"http://127.0.0.1:{port}/hook"
    return create_webhook(access, OWNER, WebhookOrder("acme", url, ["balance.below", "balance.empty"]))


def of(webhook: Webhook, world: World) -> list[Delivery]:
    """The newest records of its messages."""
    return [record for record in newest(world).values() if record.webhook_id == webhook.webhook_id]


def test_what_happens_is_received_signed_and_secrets_rotate_without_a_lost_message(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def check(world: World, access: Access, receiver: Receiver, metrics: Metrics) -> None:
        webhook = a_webhook(access, receiver.port)
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
        webhook = a_webhook(access, receiver.port)
        put_output(world, 0)
        await until(lambda: (access.state.webhook(webhook.webhook_id) or webhook).disabled_at is not None)
        known = access.state.webhook(webhook.webhook_id)
        assert known is not None
        assert known.disabled_reason == "it answered 410 Gone: nothing is wanted there any more"
        await until(lambda: [record.status for record in newest(world).values()] == [DeliveryStatus.FAILED])

    delivered(answers(410), check)


def test_410_of_an_address_that_was_left_meanwhile_turns_nothing_off_and_loses_nothing() -> None:
    async def run() -> None:
        time, released = Clock(), asyncio.Event()

        async def gone_at_last(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await released.wait()
            await answers(410)(reader, writer)

        async with (
            receiving(gone_at_last) as old,
            receiving(answers(200)) as new,
            delivering(time, Metrics()) as (world, access),
        ):
            webhook = a_webhook(access, old.port)
            put_output(world, 0)
            await until(lambda: len(old.requests) == 1)
            order = WebhookOrder("acme", f"http://127.0.0.1:{new.port}/hook", webhook.events)
            await asyncio.to_thread(change_webhook, access, OWNER, webhook.webhook_id, order)
            released.set()
            await until(lambda: [record.tries for record in of(webhook, world)] == [1])
            assert [record.status for record in of(webhook, world)] == [DeliveryStatus.PENDING]
            time.ahead = HOUR
            await until(lambda: [record.status for record in of(webhook, world)] == [DeliveryStatus.DELIVERED])
            assert new.requests[0].headers["webhook-id"] == old.requests[0].headers["webhook-id"]
            known = access.state.webhook(webhook.webhook_id)
            assert known is not None
            assert known.disabled_at is None

    asyncio.run(run())


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


def test_a_receiver_that_is_down_gets_everything_once_it_is_up_with_the_same_ids() -> None:
    async def run() -> None:
        time, place = Clock(), reserved_port()
        async with delivering(time, Metrics()) as (world, access):
            webhook = a_webhook(access, place.getsockname()[1])
            for offset in range(5):
                put_output(world, offset)
            await until(lambda: [record.tries >= 1 for record in of(webhook, world)] == [True] * 5)
            first = newest(world)
            assert {record.attempts[0].error for record in first.values()} == {"no connection: Connection refused"}
            time.ahead = HOUR
            await until(lambda: all(record.tries >= 2 for record in of(webhook, world)))
            async with receiving(answers(200), place=place) as receiver:
                time.ahead = 4 * HOUR
                await until(lambda: {record.status for record in of(webhook, world)} == {DeliveryStatus.DELIVERED})
                assert sorted(request.headers["webhook-id"] for request in receiver.requests) == sorted(first)

    asyncio.run(run())


def test_a_hanging_receiver_delays_no_other_and_a_poisonous_message_turns_nothing_off() -> None:
    """The first receiver answers nothing; the second refuses one message for ever and takes all others."""

    async def run() -> None:
        time, released = Clock(), asyncio.Event()

        async def hang(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
            await released.wait()

        async def refuse_poison(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            is_poison = json.loads(second.requests[-1].body)["data"]["balance"] == -666
            await answers(500 if is_poison else 200)(reader, writer)

        async with (
            receiving(hang) as first,
            receiving(refuse_poison) as second,
            delivering(time, Metrics()) as (world, access),
        ):
            hanging, taking = a_webhook(access, first.port), a_webhook(access, second.port)

            def taken() -> int:
                return sum(record.status is DeliveryStatus.DELIVERED for record in of(taking, world))

            for offset in range(40):
                put_output(world, offset, balance=-666 if offset == 7 else offset)
            await until(lambda: taken() == 39)
            assert {record.status for record in of(hanging, world)} == {DeliveryStatus.PENDING}
            await until(lambda: bool(first.requests))
            released.set()
            (poison,) = (record for record in of(taking, world) if record.status is DeliveryStatus.PENDING)
            for tries in range(2, TRIES + 1):
                time.ahead += 27 * HOUR
                await until(lambda tries=tries: newest(world)[poison.delivery_id].tries >= tries)
            assert newest(world)[poison.delivery_id].status is DeliveryStatus.FAILED
            await until(lambda: (access.state.webhook(hanging.webhook_id) or hanging).disabled_at is not None)
            known = access.state.webhook(taking.webhook_id)
            assert known is not None
            assert known.disabled_at is None
            put_output(world, 40)
            await until(lambda: taken() == 40)

    asyncio.run(run())
