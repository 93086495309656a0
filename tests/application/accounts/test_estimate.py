"""The counting of an estimate, without Kafka: what it holds in memory, and where an earlier event stands."""

import json
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from application.accounts.estimate import Estimate, Estimator
from application.input.ndjson import read_command
from metering.store import Store
from replay.account import AccountReplay, ReplaySource, beginning
from schemas.codec import Codec
from schemas.price_book import book_id, read_book
from streams.log.memory import MemoryBroker, MemoryInputLog
from streams.log.topics import TopicNames
from streams.state.rocks_folder import RocksFolder, RocksLimits
from streams.state.store import Identity
from tests.command import BOOK, MORE_CHARGES

AT = 1_767_312_000_000
DAY = 86_400_000
NOW = AT + 300 * DAY
NAMES = TopicNames("est")


@pytest.fixture
def upper(tmp_path: Path) -> Iterator[Store]:
    store = RocksFolder(tmp_path, RocksLimits(1 << 20, 1 << 20)).open(Identity("scratch", 0))
    yield store
    store.close()


def company(event_id: str, at: int, domain: str) -> dict[str, Any]:
    more = {"event_id": event_id, "account_id": "acme", "occurred_at": at, "domain": domain, "outcome": "processed"}
    return more | {"endpoint": "/v1/company", "channel": "api", "quantities": {}, "attributes": {}}


def with_history(upper: Store, events: list[dict[str, Any]]) -> Estimator:
    codec, broker, text = Codec(), MemoryBroker(), BOOK + MORE_CHARGES
    book = {"book_id": book_id(text), "yaml": text, "published_at": AT}
    broker.append(NAMES.requests, 0, codec.encode("PriceBook", book), AT)
    for event in events:
        broker.append(NAMES.requests, 0, codec.encode("RequestBatch", {"events": [event]}), event["occurred_at"])
    log = MemoryInputLog(broker, NAMES.requests)
    replay = AccountReplay(ReplaySource(NAMES, 1, codec, read_book, log), "acme", beginning())
    replay.run(log.bounds(0)[1])
    return Estimator(replay, upper, NOW)


def counted(estimator: Estimator, *events: dict[str, Any]) -> Estimate:
    for number, event in enumerate(events, 1):
        estimator.add(read_command(number, json.dumps(event).encode()))
    return estimator.finish()


@pytest.fixture
def grown(upper: Store, monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], int]:
    """Adds the events of a range; gives the bytes that Python then holds."""
    monkeypatch.setattr("application.accounts.estimate._COMMANDS_BETWEEN_WRITES", 200)
    estimator = with_history(upper, [])

    def grow(first: int, stop: int) -> int:
        counted(estimator, *(company(f"e{n}", AT + n, f"c{n}.example") for n in range(first, stop)))
        return tracemalloc.get_traced_memory()[0]

    return grow


@pytest.mark.slow
def test_memory_does_not_grow_with_the_job(grown: Callable[[int, int], int]) -> None:
    """Every event here is a new id and a new claim: what is remembered grows with each, on disk."""
    grown(0, 400)  # what is made once is there
    tracemalloc.start()
    before = grown(400, 800)
    after = grown(800, 2_400)
    tracemalloc.stop()
    assert after - before < 50_000, "1,600 events in memory would be more than 500,000 bytes"


def test_a_claim_outlives_the_id_of_its_owner(upper: Store) -> None:
    """The owner's id is forgotten, and new in the job: the claim is still the old event's."""
    estimator = with_history(upper, [company("first", AT, "a.example"), company("later", AT + 60 * DAY, "b.example")])
    estimate = counted(
        estimator,
        company("second", AT + 61 * DAY, "a.example"),
        company("first", AT + 62 * DAY, "c.example"),
        company("third", AT + 62 * DAY, "c.example"),
        company("first", AT + 62 * DAY, "c.example"),
        company("later", AT + 60 * DAY, "b.example"),
    )
    tally = estimate.charges["company", "credit"]
    assert (tally.saved.in_history, tally.saved.in_job, tally.credits) == (10, 10, 10)
    assert (estimate.repeats.in_history, estimate.repeats.in_job) == (1, 1)


def test_a_part_refund_of_an_old_event_leaves_it_in_history(upper: Store) -> None:
    refund = {"type": "refund", "refund_id": "r", "event_id": "old", "credits": 4, "requested_at": AT + 1}
    estimator = with_history(upper, [company("old", AT, "a.example")])
    estimate = counted(estimator, refund, company("new", AT + 2, "a.example"))
    assert (estimate.charges["company", "credit"].saved.in_history, estimate.balances["credit"].refunded) == (10, 4)
    assert estimate.suffices, "nothing is charged, though the account is in debt"


def test_a_command_without_a_time_is_of_now(upper: Store) -> None:
    estimator = with_history(upper, [])
    grant = {"type": "grant", "grant_id": "g", "credit_type": "credit", "credits": 10}
    estimate = counted(estimator, grant, {"event_id": "e", "endpoint": "/v1/pageview", "channel": "js"})
    assert (estimate.balances["credit"].after, estimate.horizon) == (9, NOW - 35 * DAY)
    assert estimate.suffices
