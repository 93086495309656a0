"""What was sent to a webhook, page by page, from a real store."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from application.errors import ErrorCode, Failed
from application.usage.query import BadQuery
from application.usage.store import SinkUsage, UsageStore
from application.webhooks.listing import find_delivery, list_deliveries
from application.webhooks.schedule import after_try
from sinks.deliveries import DeliveryAt, delivery_insert
from sinks.embedded import EmbeddedSink
from streams.deliveries.records import Delivery, DeliveryStatus
from tests.application.webhooks.examples import DAY, NOW, a_delivery, refused, taken
from tests.stores import with_schema

FAILED = after_try(a_delivery("msg_failed", created_at=NOW + 1), refused(NOW + 2, None))
DELIVERED = after_try(FAILED, taken(NOW + 9))
SAME_TIME = [a_delivery(f"msg_{number}", created_at=NOW) for number in range(5)]
FOREIGN = a_delivery("msg_foreign", "wh_2")
OLD = [
    a_delivery(f"msg_old_{number}", "wh_old", created_at=NOW - days * DAY)
    for number, days in enumerate((0, 3, 40, 400, 4_000))
]  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[UsageStore]:
    """Two records of one delivery, five of one instant, others of other webhooks; loaded out of order and twice."""
    folder: Path = tmp_path_factory.mktemp("store") / "clickhouse"
    sink = EmbeddedSink(with_schema(folder))
    records = [DELIVERED, FAILED, *SAME_TIME, FOREIGN, *OLD]
    for _ in range(2):
        sink.insert(*delivery_insert([DeliveryAt(3, record.revision, record.fields()) for record in records]))
    yield SinkUsage(sink)
    sink.close()


def names(store: UsageStore, **asked: object) -> list[str]:
    return [listed.delivery.delivery_id for listed in list_deliveries(store, "wh_1", **asked).deliveries]  # type: ignore[arg-type]


def test_the_newest_record_of_each_newest_first_and_of_this_webhook_alone(store: UsageStore) -> None:
    assert names(store) == ["msg_failed", "msg_4", "msg_3", "msg_2", "msg_1", "msg_0"]
    first = list_deliveries(store, "wh_1").deliveries[0]
    assert (first.delivery, first.partition) == (DELIVERED, 3)
    assert names(store, status="delivered") == ["msg_failed"]
    assert list_deliveries(store, "wh_9").deliveries == ()


def test_a_walk_of_pages_has_each_message_once(store: UsageStore) -> None:
    seen: list[Delivery] = []
    cursor: str | None = None
    while True:
        page = list_deliveries(store, "wh_1", cursor=cursor, limit=2)
        seen += [listed.delivery for listed in page.deliveries]
        cursor = page.next
        if cursor is None:
            break
    assert [delivery.delivery_id for delivery in seen] == names(store)


def test_a_walk_finds_what_is_years_apart(store: UsageStore) -> None:
    """In one span of days after the other; a cursor of whatever time is only a place."""
    shown = [listed.delivery.delivery_id for listed in list_deliveries(store, "wh_old").deliveries]
    assert shown == [f"msg_old_{number}" for number in (0, 1, 2, 3, 4)]
    first = list_deliveries(store, "wh_old", limit=2)
    second = list_deliveries(store, "wh_old", limit=2, cursor=first.next)
    assert [listed.delivery.delivery_id for listed in second.deliveries] == ["msg_old_2", "msg_old_3"]
    assert len(list_deliveries(store, "wh_old", cursor=f"{10**14 - 1}-x").deliveries) == 5
    assert list_deliveries(store, "wh_old", cursor="0-x").deliveries == ()


def test_one_by_its_id_and_none_of_another_webhook(store: UsageStore) -> None:
    assert find_delivery(store, "wh_1", "msg_2").delivery == SAME_TIME[2]
    for webhook, delivery in (("wh_1", "msg_foreign"), ("wh_1", "' OR 1"), ("wh_9", "msg_2")):
        with pytest.raises(Failed) as caught:
            find_delivery(store, webhook, delivery)
        assert caught.value.code is ErrorCode.NOT_FOUND


def test_wrong_questions_are_named_all_at_once(store: UsageStore) -> None:
    with pytest.raises(BadQuery) as caught:
        list_deliveries(store, "wh_1", status="lost", cursor="x", limit=0)
    assert [field for field, _ in caught.value.mistakes] == ["limit", "status", "cursor"]
    assert DeliveryStatus.PENDING in caught.value.message
    for cursor in ("", "1", "1-", "-msg", "٣-msg", f"1-{'x' * 200}"):
        with pytest.raises(BadQuery):
            list_deliveries(store, "wh_1", cursor=cursor)
