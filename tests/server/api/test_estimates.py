"""Estimates over HTTP: from the worker's state where it is on this machine, and never by a replay."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from application.commands.grants import GrantOrder, grant_credits
from application.in_memory import in_memory_pipeline
from application.prices.publishing import publish_book
from server.api import estimates
from streams import clock
from streams.log.memory_connections import MemoryConnections
from streams.state.rocks_folder import RocksFolder, RocksLimits
from streams.state.store import Identity
from tests.server.api.reading_world import BOOK
from tests.server.asgi_client import Answer
from tests.server.keys import MEMBER_OF_ACME, OPERATOR, PRODUCER
from tests.server.world import ServerWorld, opened_world

pytestmark = pytest.mark.slow

LOOKUP = {"endpoint": "/v1/lookup", "channel": "api", "ip": "203.0.113.7"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def world(folder: Path) -> Iterator[ServerWorld]:
    """A server beside its worker, whose states are in RocksDB as a real worker's are."""
    states: dict[int, Any] = {}
    rocks = RocksFolder(folder / "state", RocksLimits(1 << 20, 1 << 20))

    def opened(partition: int) -> Any:
        identity = Identity(pipeline.names.requests, partition, pipeline.log_id)
        return states.setdefault(partition, rocks.open(identity))

    pipeline = in_memory_pipeline(folder, open_state=opened)
    publish_book(pipeline, BOOK, clock.now_ms())
    grant_credits(pipeline, GrantOrder("acme", "credit", 50, clock.now_ms()), 10)
    with opened_world(pipeline) as server:
        yield server
    for state in states.values():
        state.close()


def ask(world: ServerWorld, events: Any, key: str = MEMBER_OF_ACME, query: str = "") -> Answer:
    return world.post(f"/v1/estimates{query}", events, key=key)


def test_events_are_counted_from_the_present_state_and_nothing_is_stored(world: ServerWorld) -> None:
    pipeline = world.pipeline
    ends = [pipeline.input_log.bounds(partition) for partition in range(pipeline.partitions)]
    counted = ask(world, [LOOKUP, LOOKUP, {**LOOKUP, "ip": "203.0.113.8"}, {**LOOKUP, "ip": "203.0.113.9"}]).json
    (lookup,) = [charge for charge in counted["charges"] if charge["charge"] == "lookup"]
    assert (lookup["credits"], lookup["saved"], lookup["decisions"]) == (
        60, {"in_job": 20, "in_history": 0}, {"charged": 3, "duplicate": 1},
    )  # fmt: skip
    balance = counted["balances"]["credit"]
    assert (balance["before"], balance["after"], balance["suffices"], counted["suffices"]) == (50, -10, False, False)
    assert (counted["account_id"], counted["without_event_id"]) == ("acme", 4)
    assert ends == [pipeline.input_log.bounds(partition) for partition in range(pipeline.partitions)]


def test_what_was_bought_before_is_free(world: ServerWorld) -> None:
    event = {**LOOKUP, "event_id": "e-1", "account_id": "acme", "occurred_at": clock.now_ms()}
    assert world.post("/v1/events?wait=decision", event).status == 200
    (lookup,) = ask(world, LOOKUP).json["charges"]
    assert (lookup["credits"], lookup["saved"]) == (0, {"in_job": 0, "in_history": 20})


def test_every_mistake_is_named(world: ServerWorld) -> None:
    wrong = [LOOKUP, {**LOOKUP, "ip": "nowhere", "quantities": {"a": 1.5}}, {**LOOKUP, "account_id": "zeta"}, 5]
    answer = ask(world, wrong)
    assert (answer.status, [mistake["pointer"] for mistake in answer.json["errors"]]) == (
        422, ["/1/quantities/a", "/2/account_id", "/3"],
    )  # fmt: skip
    assert ask(world, {**LOOKUP, "ip": "nowhere"}).json["errors"][0]["pointer"] == "/ip"
    assert ask(world, b"[").status == 400
    assert ask(world, [LOOKUP] * 5_001).status == 413


def test_who_may_ask_for_whom(world: ServerWorld) -> None:
    assert ask(world, LOOKUP, PRODUCER).status == 403
    assert ask(world, LOOKUP, OPERATOR).status == 400
    assert ask(world, LOOKUP, OPERATOR, "?account_id=acme").json["account_id"] == "acme"
    assert ask(world, LOOKUP, MEMBER_OF_ACME, "?account_id=zeta").status == 404


def test_without_a_state_at_hand_it_says_why(world: ServerWorld, folder: Path) -> None:
    shutil.move(folder / "state", folder / "elsewhere")
    answer = ask(world, LOOKUP)
    assert (answer.status, "no worker on this server's machine has it" in answer.json["detail"]) == (503, True)
    assert str(folder) not in answer.body.decode()


def test_a_state_that_another_worker_has_overtaken_is_not_used(world: ServerWorld) -> None:
    connections = world.pipeline.connections
    assert isinstance(connections, MemoryConnections)
    rated = connections.offsets[world.pipeline.names.rating_group]
    for place in rated:
        rated[place] += 1
    answer = ask(world, LOOKUP)
    assert (answer.status, "a worker elsewhere is at" in answer.json["detail"]) == (503, True)


def test_one_at_a_time_a_key_with_fields_that_say_so(world: ServerWorld) -> None:
    with world.parts.limits.alone("estimates", "k-member"):
        answer = ask(world, LOOKUP)
        assert (answer.status, answer.headers["retry-after"]) == (429, "1")
        assert answer.headers["ratelimit-policy"] == '"estimates";q=1;qu="concurrent-requests"'
        assert answer.headers["ratelimit"] == '"estimates";r=0;t=1'
        assert ask(world, LOOKUP, OPERATOR, "?account_id=acme").status == 200
    assert ask(world, LOOKUP).status == 200


def test_it_ends_after_its_time(world: ServerWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimates, "SECONDS", -1.0)
    answer = ask(world, LOOKUP)
    assert (answer.status, "0 of 1 events were counted" in answer.json["detail"]) == (503, True)
