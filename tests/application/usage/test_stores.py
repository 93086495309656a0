"""The same questions over each way to a store: this process, the loader's endpoint, a server's native protocol."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from application.configuration.settings import Settings
from application.errors import ErrorCode, Failed
from application.usage.aggregation import AggregationQuery, aggregate
from application.usage.as_of import Positions
from application.usage.buckets import Granularity
from application.usage.cursors import CursorKeys
from application.usage.history import HistoryQuery, UsageReader
from application.usage.measures import Measure
from application.usage.query import Filters
from application.usage.scope import UsageScope
from application.usage.store import LoaderUsage, SinkUsage, TooMuch, UsageStore
from sinks.embedded import EmbeddedSink
from sinks.folder import store_id
from sinks.http import QueryServer, StoreIdentity
from sinks.migrate import migrate
from sinks.sink import Limits
from sinks.turns import CUSTOMERS_AT_ONCE
from streams.log.topics import TopicNames
from tests.application.usage.conftest import PARTITIONS, PATIENT, UsageLog, emptied
from tests.application.usage.model import expected_rows
from tests.metering.meter import DAY, NOON
from tests.sinks.native_client import CurrentServerSink
from tests.sinks.outputs import load

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory, log: UsageLog) -> Iterator[dict[str, UsageStore]]:
    """The stores, each with the same rows."""
    folder = tmp_path_factory.mktemp("stores")
    embedded = EmbeddedSink(folder / "clickhouse")
    server = CurrentServerSink(embedded.folder, "current")
    for sink in (embedded, server):
        migrate(sink)
        emptied(sink)
        load(sink, log.batches)
    identity = StoreIdentity(store_id(embedded.folder) or "", "credits", str(embedded.folder))
    with QueryServer(embedded, identity=identity, customer_limits=PATIENT) as loader:
        port = int(loader.url.rsplit(":", 1)[1])
        settings = Settings(data_dir=folder, query_port=port)
        yield {
            "embedded": SinkUsage(embedded, PATIENT), "server": SinkUsage(server, PATIENT),
            "loader": LoaderUsage(settings),
            "foreign": LoaderUsage(Settings(data_dir=folder, query_port=port, topic_prefix="other")),
        }  # fmt: skip
    server.close()
    embedded.close()


@pytest.fixture(params=["embedded", "loader", "server"])
def store(request: pytest.FixtureRequest, places: dict[str, UsageStore]) -> UsageStore:
    return places[request.param]


def test_history_and_sums_are_the_same_everywhere(store: UsageStore, log: UsageLog) -> None:
    reader = UsageReader(store, Positions(store, TopicNames(), PARTITIONS), CursorKeys([b"key"]))
    for scope in (UsageScope("acme"), UsageScope("acme", "ann"), UsageScope(None)):
        query = HistoryQuery(scope, Filters(from_ms=NOON), refunds=True, limit=1_000)
        page = reader.page(query)
        rows = [(row.key, row.fields["credits"], row.fields["feature"], row.fields["actor"]) for row in page.rows]
        assert rows == expected_rows(log, scope, query.filters, refunds=True)
        assert page.next is None
    lines = log.rows("events", "acme")
    question = AggregationQuery(
        UsageScope("acme"), Filters(NOON - 30 * DAY, NOON + 400 * DAY), Granularity.MONTH, "Europe/Berlin",
        ("attributes.team",), tuple(Measure),
    )  # fmt: skip
    cells = aggregate(reader, question).cells
    assert sum(cell.values[Measure.CREDITS] for cell in cells) == sum(line["credits"] for line in lines)
    assert sum(cell.values[Measure.LINES] for cell in cells) == len(lines)
    assert {cell.group["attributes.team"] for cell in cells} == {None, "A", "B"}


@pytest.mark.parametrize("text", ["'; DROP TABLE billed_rows; --", "\\", "\t\n\0", "🦊", "{x:String}"])
def test_a_parameter_is_a_value(store: UsageStore, text: str) -> None:
    assert store.rows("SELECT {text:String} AS text", {"text": text}) == [{"text": text}]


def test_a_broken_statement_is_no_fault_of_the_store(store: UsageStore) -> None:
    with pytest.raises(Failed) as raised:
        store.rows("SELECT nonsense", {})
    assert raised.value.code is ErrorCode.FAILED


def test_another_pipeline_s_loader_is_not_believed(places: dict[str, UsageStore]) -> None:
    with pytest.raises(Failed) as raised:
        places["foreign"].rows("SELECT 1", {})
    assert raised.value.code is ErrorCode.UNAVAILABLE


def test_nobody_who_listens_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Failed) as raised:
        LoaderUsage(Settings(data_dir=tmp_path, query_port=1)).rows("SELECT 1", {})
    assert raised.value.code is ErrorCode.UNAVAILABLE


def test_what_takes_too_much_is_said_so(places: dict[str, UsageStore]) -> None:
    embedded = places["embedded"]
    assert isinstance(embedded, SinkUsage)
    narrow = SinkUsage(embedded._sink, Limits(rows=3))
    with pytest.raises(TooMuch):
        narrow.rows("SELECT number FROM numbers(4)", {})


def test_no_more_statements_run_at_once_than_have_turns(places: dict[str, UsageStore]) -> None:
    embedded = places["embedded"]
    assert isinstance(embedded, SinkUsage)
    taken = [embedded._turns.take() for _ in range(CUSTOMERS_AT_ONCE)]
    assert all(taken)
    embedded._turns.wait = 0.05
    try:
        with pytest.raises(Failed) as raised:
            embedded.rows("SELECT 1", {})
        assert raised.value.code is ErrorCode.UNAVAILABLE
    finally:
        for _ in taken:
            embedded._turns.release()
    assert embedded.rows("SELECT 1 AS one", {}) == [{"one": 1}]
