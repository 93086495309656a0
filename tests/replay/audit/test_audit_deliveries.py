"""Rows of what was sent to webhooks, beside the topic that they come from."""

from typing import Any

import pytest

from replay.audit.deliveries import compare_deliveries
from replay.audit.findings import Difference, Finding
from replay.audit.partition import AuditLogs
from schemas.codec import Codec
from streams.loading.positions import READ
from streams.log.memory import MemoryBroker, MemoryInputLog
from streams.log.seals import SEAL_HEADER, Sealer
from streams.log.topics import TopicNames
from tests.schemas.records import EXAMPLES

NAMES, CODEC, SEALS = TopicNames(), Codec(), Sealer(b"key")
TOPIC = NAMES.deliveries


def put(broker: MemoryBroker, delivery_id: str, status: str, *, sealed: bool = True) -> None:
    value = CODEC.encode("Delivery", EXAMPLES["Delivery"] | {"delivery_id": delivery_id, "status": status})
    headers = {SEAL_HEADER: SEALS.seal(TOPIC, 0, value)} if sealed else None
    broker.append(TOPIC, 0, value, headers=headers, key=delivery_id.encode())


class Rows:
    """The store's rows: how far it is, and each delivery's status and offset."""

    def __init__(self, reached: int, **rows: tuple[str, int]) -> None:
        self.reached, self._rows = reached, rows

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        if sql == READ:
            return [(TOPIC, 0, self.reached, "", -1), (NAMES.billed, 0, 7, "", 7)]
        return [(delivery_id, *row) for delivery_id, row in self._rows.items()]


@pytest.fixture
def broker() -> MemoryBroker:
    """Two deliveries: the first is delivered by its second record."""
    made = MemoryBroker()
    put(made, "one", "pending")
    put(made, "two", "pending")
    put(made, "one", "delivered")
    put(made, "forged", "delivered", sealed=False)
    return made


def differences(broker: MemoryBroker, rows: Rows, log: bool = True) -> list[Difference]:
    noted: list[Difference] = []
    unread: Any = None
    deliveries = MemoryInputLog(broker, TOPIC) if log else None
    compare_deliveries(rows, AuditLogs(NAMES, 1, CODEC, unread, unread, {}, SEALS, deliveries), noted.append)
    return noted


def test_rows_of_the_newest_records_are_right_and_so_are_rows_of_what_was_removed(broker: MemoryBroker) -> None:
    right = {"one": ("delivered", 2), "two": ("pending", 1)}
    assert differences(broker, Rows(3, **right)) == []
    assert differences(broker, Rows(3, **right, gone=("failed", 0))) == []
    broker.compact(TOPIC, 0)
    assert differences(broker, Rows(3, **right)) == []
    assert differences(broker, Rows(3), log=False) == []


def test_what_is_missing_old_or_different_is_named(broker: MemoryBroker) -> None:
    (missing,) = differences(broker, Rows(3, one=("delivered", 2)))
    assert (missing.finding, missing.place) == (Finding.MISSING, f"delivery_rows two ({TOPIC}[0]@1)")
    (old,) = differences(broker, Rows(3, one=("pending", 0), two=("pending", 1)))
    assert old.finding is Finding.DIFFERENT
    assert "the record says delivered; the row says pending, of the record at 0" in str(old)
    (other,) = differences(broker, Rows(3, one=("failed", 2), two=("pending", 1)))
    assert other.finding is Finding.DIFFERENT


def test_what_is_not_loaded_yet_is_not_missed(broker: MemoryBroker) -> None:
    assert differences(broker, Rows(0, one=("pending", 0))) == []
    assert differences(broker, Rows(1, one=("delivered", 2), two=("pending", 1))) == []
