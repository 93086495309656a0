"""Price books in the log, and the webhooks that are told of what they begin."""

import json
from typing import Any

import pytest
import yaml

from application.errors import ErrorCode, Failed
from application.prices.price_list import AccountPlan
from application.webhooks.announcements import Announcements, NotYet
from schemas.codec import Codec
from schemas.price_book import book_id
from streams.deliveries.records import Delivery
from streams.log.memory import MemoryBroker, MemoryInputLog
from tests.application.webhooks.examples import EVERYTHING, NOW, a_webhook
from tests.metering import meter
from tests.metering.meter import DAY, NOON, YEAR_BEGIN, Json
from tests.schemas.records import EVENT

TOPIC, CODEC = "t.requests", Codec()
LATER = NOON + 10 * DAY
LOOKUP = meter.charge("lookup", 20, plans={"big": 15}, feature="Search", action="Lookup")


class Log:
    """An input log, and the announcements over it."""

    def __init__(self) -> None:
        self.broker = MemoryBroker()
        self.plans: dict[str, AccountPlan] = {}
        self.asked: list[str] = []
        self.is_away = False
        self.announcements = Announcements(MemoryInputLog(self.broker, TOPIC), TOPIC, CODEC, "log-1", self.plan_of)

    def plan_of(self, account_id: str) -> AccountPlan | None:
        if self.is_away:
            raise Failed("ClickHouse cannot answer now", ErrorCode.UNAVAILABLE)
        self.asked.append(account_id)
        return self.plans.get(account_id)

    def append(self, name: str, record: dict[str, Any], at: int = NOON) -> bool:
        self.broker.append(TOPIC, 0, CODEC.encode(name, record), at)
        return self.announcements.note(self.broker.records(TOPIC, 0)[-1])

    def publish(self, *versions: Json, at: int = NOON, recorded_at: int | None = None) -> bool:
        text = yaml.safe_dump(meter.book_of(*versions))
        return self.append("PriceBook", {"book_id": book_id(text), "yaml": text, "published_at": at}, recorded_at or at)

    def announced(self, *webhooks: Any) -> list[Delivery]:
        made: list[Delivery] = []
        while (message := self.announcements.waiting) is not None:
            made += self.announcements.of(message, webhooks, NOW)
            self.announcements.done()
        return made


ONE = meter.version("one", YEAR_BEGIN, LOOKUP)
TWO = meter.version("two", LATER, LOOKUP | {"credits": 25})


def test_events_are_passed_over_and_books_are_kept() -> None:
    log = Log()
    assert [log.append("RequestBatch", {"events": [EVENT]}), log.publish(ONE)] == [False, True]
    log.broker.append(TOPIC, 0, b"junk")
    assert not log.announcements.note(log.broker.records(TOPIC, 0)[-1])
    log.announcements.forget()
    assert log.announcements.waiting is None


def test_each_webhook_whose_prices_change_is_told_what_changes_and_from_when() -> None:
    log = Log()
    log.plans = {"big": AccountPlan("big", YEAR_BEGIN, None)}
    log.publish(ONE)
    log.publish(ONE, TWO)
    webhooks = [
        a_webhook("wh_small", "small"), a_webhook("wh_big", "big"), a_webhook("wh_all", None),
        a_webhook("wh_other", "other", events=[event for event in EVERYTHING if event != "prices.announced"]),
    ]  # fmt: skip
    small, operators = log.announced(*webhooks)
    assert (small.webhook_id, small.account_id, operators.webhook_id, operators.account_id) == (
        "wh_small", "small", "wh_all", None,
    )  # fmt: skip
    told = json.loads(small.payload)
    assert (told["type"], told["sequence"]) == (
        "prices.announced", {"partition": 0, "offset": 1, "part": 0, "index": 1},
    )  # fmt: skip
    data = told["data"]
    assert (data["account_id"], data["version"], data["effective_from"]) == ("small", "two", "2026-01-20T12:00:00Z")
    assert data["changes"] == [
        {"kind": "changed", "charge": "lookup", "field": "credits", "old": "20", "new": "25"}
    ]  # fmt: skip
    assert json.loads(operators.payload)["data"]["changes"] == data["changes"]
    assert log.asked == ["small", "big"]


def test_no_account_is_asked_about_where_nobody_listens_or_nothing_begins_later() -> None:
    log = Log()
    log.publish(ONE)
    assert log.announced(a_webhook(account_id="small")) == []
    log.publish(ONE, TWO)
    assert log.announced() == []
    assert log.asked == []


def test_the_same_book_again_announces_nothing_new_and_one_that_does_not_count_nothing_at_all() -> None:
    log = Log()
    log.publish(ONE, TWO)
    log.publish(ONE, TWO, at=NOON + 1)
    log.publish(ONE, meter.version("two", LATER, LOOKUP | {"credits": 99}), at=NOON + DAY, recorded_at=NOON + 2)
    log.append("PriceBook", {"book_id": "ab" * 32, "yaml": "versions: []", "published_at": NOON})
    assert len(log.announced(a_webhook(account_id="small"))) == 1


def test_a_book_waits_for_clickhouse() -> None:
    log = Log()
    log.publish(ONE, TWO)
    log.is_away = True
    with pytest.raises(NotYet, match="ClickHouse"):
        log.announced(a_webhook(account_id="small"))
    log.is_away = False
    assert len(log.announced(a_webhook(account_id="small"))) == 1


def test_a_message_of_many_changes_says_how_many_there_are() -> None:
    log = Log()
    charges = [meter.charge(f"c{number}") for number in range(1_001)]
    log.publish(meter.version("two", LATER, *charges))
    (made,) = log.announced(a_webhook(account_id="small"))
    data = json.loads(made.payload)["data"]
    assert (len(data["changes"]), data["changes_in_all"]) == (1_000, 1_001)
