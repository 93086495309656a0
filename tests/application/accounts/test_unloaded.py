"""What was decided and is not loaded, laid over what is: the account is the same, wherever the loader stands."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from application.accounts.plan import FRESH_SECONDS, AccountPlans
from application.accounts.snapshot import account_snapshot
from application.accounts.unloaded import MOST_BYTES, UnloadedOutputs, overlaid_topics
from application.prices.price_list import AccountPlan
from application.usage.store import SinkUsage
from schemas.codec import Codec
from sinks.embedded import EmbeddedSink
from sinks.sink import Limits
from streams import clock
from streams.loading.positions import Loaded, SinkPositions
from streams.log.decision_tail import DecisionTail
from streams.log.memory import MemoryBroker
from streams.log.memory_connections import MemoryConnections
from streams.log.seals import SEAL_HEADER
from streams.log.topics import TopicNames
from tests.application.accounts.counting_store import CountingStore
from tests.application.contract import wait_until
from tests.metering.meter import account, request
from tests.schemas.records import LINE
from tests.sinks.conftest import empty
from tests.sinks.outputs import Batch, Log, held_log, load
from tests.stores import with_schema

pytestmark = pytest.mark.slow

BEGAN = 1_767_225_600_000
CODEC, NAMES = Codec(), TopicNames("unloaded")
TOPICS = {
    "BilledBatch": NAMES.billed, "RefundBatch": NAMES.refunds, "GrantBatch": NAMES.grants, "HoldBatch": NAMES.holds,
    "AccountBatch": NAMES.accounts,
}  # fmt: skip


class Tailed:
    """A worker's outputs of one partition as a tail follows them."""

    def __init__(self) -> None:
        self.connections = MemoryConnections(NAMES, CODEC, 1, MemoryBroker(clock.now_ms))
        self.loop = asyncio.new_event_loop()
        self.tail = self.loop.run_until_complete(self._made())
        self.outputs = UnloadedOutputs(self.tail, CODEC, NAMES, 1)

    async def _made(self) -> DecisionTail:
        tail = DecisionTail(self.connections.tail_source(overlaid_topics(NAMES)), self.connections.seals())
        tail.start()
        return tail

    def write(self, batches: Iterable[Batch]) -> None:
        """Appends the batches that are of partition 0, and returns once all are kept."""
        size = 0
        for name, batch in batches:
            if name in TOPICS:
                value = CODEC.encode(name, batch)
                seal = self.connections.sealer.seal(TOPICS[name], 0, value)
                self.connections.broker.append(TOPICS[name], 0, value, headers={SEAL_HEADER: seal})
                size += len(value)
        wait_until(lambda: self.tail.bytes >= size, "the tail does not read on")

    def close(self) -> None:
        self.tail.close()
        self.loop.close()


@pytest.fixture
def tailed() -> Iterator[Tailed]:
    made = Tailed()
    yield made
    made.close()


@pytest.fixture(scope="module")
def sink(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedSink]:
    made = EmbeddedSink(with_schema(tmp_path_factory.mktemp("unloaded") / "clickhouse"))
    yield made
    made.close()


@pytest.mark.parametrize("seed", range(2))
def test_an_account_is_the_same_wherever_the_loader_stands(sink: EmbeddedSink, tailed: Tailed, seed: int) -> None:
    log, now = held_log(seed, clock.now_ms()), clock.now_ms()
    for who in ("acme", "zenith"):  # after it no grant ends: what such a one leaves is known by what is loaded alone
        log.message(("request", request(f"last-{who}", now, account_id=who, ip="10.9.9.9")), recorded_at=now)
    batches = [(name, {**batch, "source_partition": 0}) for name, batch in log.batches]
    empty(sink)
    sink.execute("TRUNCATE TABLE loaded_positions")
    rng, store = random.Random(seed), SinkUsage(sink, Limits(seconds=60))
    ends = {name: rng.choice([-1, rng.randrange(80), 80]) for name in TOPICS}
    tailed.write(batches)
    load(sink, [(name, batch) for name, batch in batches if batch["source_offset"] <= ends.get(name, 80)])
    # Positions may be older than the rows, and are absent before the first.
    known = {name: rng.randrange(-1, end + 1) for name, end in ends.items() if end >= 0}
    SinkPositions(sink).write({(TOPICS[name], 0): Loaded(at, "", at) for name, at in known.items() if at >= 0})
    shown = {who: account_snapshot(store, who, 0, tailed.outputs) for who in ("acme", "zenith")}
    without = {who: account_snapshot(store, who, 0) for who in ("acme", "zenith")}
    load(sink, batches)
    for who, laid_over in shown.items():
        whole = account_snapshot(store, who, 0)
        assert laid_over.as_plain() | {"as_of": {}} == whole.as_plain() | {"as_of": {}}
        assert laid_over.source_offset == whole.source_offset
        assert laid_over.settings == whole.settings
    if any(end < 0 for end in ends.values()):
        assert any(without[who].as_plain() != shown[who].as_plain() for who in shown), "nothing was laid over anything"


def test_only_what_is_behind_the_position_and_of_the_account_is_read(tailed: Tailed, tmp_path: Path) -> None:
    def lines(offset: int, *accounts: str) -> Batch:
        head = {"source_partition": 0, "source_offset": offset, "part": 0, "parts": 1}
        return "BilledBatch", head | {"events": [LINE | {"account_id": who, "event_id": "e"} for who in accounts]}

    tailed.write([lines(1, "acme"), lines(2, "zenith"), lines(3, "acme", "zenith", "acme-2")])
    assert set(tailed.outputs.of("nobody")) == set()
    (old, new) = tailed.outputs.of("acme")["BilledBatch"]
    assert (old["source_offset"], new["source_offset"], len(new["events"])) == (1, 3, 1)
    assert [one["source_offset"] for one in tailed.outputs.of("acme", {NAMES.billed: 1})["BilledBatch"]] == [3]
    assert tailed.outputs.of("acme", {NAMES.billed: 3}) == {}


def test_a_plan_that_was_just_decided_counts_at_once(sink: EmbeddedSink, tailed: Tailed) -> None:
    def settings(update_id: str, plan: str) -> list[Batch]:
        fields = {"name": plan, "started_at": BEGAN, "ends_at": None}
        log.message(("account", account(update_id, BEGAN, account_id="planned", plan=fields)), recorded_at=BEGAN)
        return [(name, {**batch, "source_partition": 0}) for name, batch in log.batches[-1:]]

    log, store, now = Log(), CountingStore(sink), [100.0]
    plans = AccountPlans(store, lambda: now[0])
    load(sink, settings("u1", "pro"))
    assert plans.of("planned", tailed.outputs) == AccountPlan("pro", BEGAN, None)
    decided = settings("u2", "team")
    tailed.write(decided)
    assert plans.of("planned", tailed.outputs) == AccountPlan("team", BEGAN, None)
    assert plans.of("planned") == AccountPlan("pro", BEGAN, None)
    assert len(store.statements) == 1
    load(sink, decided)
    now[0] += FRESH_SECONDS
    assert plans.of("planned") == plans.of("planned", tailed.outputs) == AccountPlan("team", BEGAN, None)
    assert len(store.statements) == 2


def test_of_very_many_lines_the_newest_are_read(tailed: Tailed, monkeypatch: pytest.MonkeyPatch) -> None:
    assert MOST_BYTES > 1 << 20
    head = {"source_partition": 0, "part": 0, "parts": 1, "events": [LINE | {"account_id": "acme"}]}
    batches: list[Batch] = [("BilledBatch", head | {"source_offset": offset}) for offset in range(10)]
    size = len(CODEC.encode(*batches[0]))
    monkeypatch.setattr("application.accounts.unloaded.MOST_BYTES", 3 * size)
    tailed.write(batches)
    assert [batch["source_offset"] for batch in tailed.outputs.of("acme")["BilledBatch"]] == [7, 8, 9]
