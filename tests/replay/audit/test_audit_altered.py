"""Whatever is altered on purpose, the audit finds: in any output topic, any table's rows, any part of the state."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from metering.store import ACCOUNT, BOOK_KEY, CLAIM, COMMAND_ID, EVENT, HOLD
from replay.audit.findings import Difference, Finding
from replay.audit.partition import Against
from sinks.embedded import EmbeddedSink
from sinks.rows import SHAPES, RecordBatches, to_columns
from streams.state.read_only import StateView
from streams.state.rocks import RocksState
from streams.state.rocks_folder import RocksFolder
from streams.state.store import Identity
from tests.replay.audit.audited import Audited, SinkRows, filled, replace
from tests.streams.simulation import NAMES, PARTITIONS, Cluster

pytestmark = pytest.mark.slow

SEED, PARTITION = 17, 1
"""Traffic with several records in every output topic, and a partition with rows in every table of the state."""
Columns = dict[str, list[Any]]
Changes = dict[bytes, Any]
Alteration = Callable[[RocksState], Changes]


def made() -> Cluster:
    cluster = Cluster(SEED, messages=150)
    cluster.run_undisturbed()
    return cluster


@pytest.fixture
def cluster() -> Cluster:
    return made()


def busiest(cluster: Cluster, topic: str) -> tuple[int, list[bytes]]:
    """The partition that holds most of the topic, and its records."""
    by_partition = {p: [m.value for m in cluster.broker.records(topic, p)] for p in range(PARTITIONS)}
    return max(by_partition.items(), key=lambda item: len(item[1]))


# -- output topics ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("topic", NAMES.outputs)
def test_a_flipped_bit_anywhere_in_a_record(cluster: Cluster, topic: str) -> None:
    partition, values = busiest(cluster, topic)
    whole = values[1]
    step = max(1, len(whole) // 20)
    for at in (*range(0, len(whole), step), len(whole) - 1):
        damaged = bytearray(whole)
        damaged[at] ^= 1 << at % 8
        replace(cluster, topic, partition, 1, [bytes(damaged)])
        assert Audited(cluster).run().differences, f"byte {at} of {len(whole)}"
    replace(cluster, topic, partition, 1, [whole])
    assert not Audited(cluster).run().differences


def without(values: list[bytes]) -> list[bytes]:
    return []


def twice_as_new(values: list[bytes]) -> list[bytes]:
    """The record before it once more, in its place."""
    return [values[0]]


def swapped(values: list[bytes]) -> list[bytes]:
    return [values[2], values[1]]


@pytest.mark.parametrize("topic", NAMES.outputs)
@pytest.mark.parametrize("alter", [without, twice_as_new, swapped])
def test_a_record_missing_replaced_or_out_of_order(
    cluster: Cluster, topic: str, alter: Callable[[list[bytes]], list[bytes]]
) -> None:
    partition, values = busiest(cluster, topic)
    replace(cluster, topic, partition, 1, alter(values))
    differences = Audited(cluster).run().differences
    assert Finding.MISSING in {difference.finding for difference in differences}
    assert all(difference.place.startswith(f"{topic}[{partition}]") for difference in differences)


# -- rows in ClickHouse -----------------------------------------------------------------------------------------------

Stored = tuple[Cluster, EmbeddedSink]
PLACE = ("source_partition", "source_offset", "position")


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stored]:
    """One cluster whose rows are in chDB. Each test replaces the rows of one table, and puts them back."""
    cluster = made()
    sink = filled(cluster, tmp_path_factory.mktemp("altered") / "clickhouse")
    yield cluster, sink
    sink.close()


@pytest.fixture(params=SHAPES)
def table(stored: Stored, request: pytest.FixtureRequest) -> Iterator[tuple[str, Columns]]:
    """A table, and its columns as the loader inserts them."""
    cluster, sink = stored
    name, columns = to_columns(request.param, RecordBatches(request.param, batches_of(cluster, request.param)))
    yield name, columns
    put(sink, name, columns)


def batches_of(cluster: Cluster, name: str) -> list[dict[str, Any]]:
    values = [m.value for topic in NAMES.outputs for p in range(PARTITIONS) for m in cluster.broker.records(topic, p)]
    return [batch for batch_name, batch in map(cluster.codec.decode, values) if batch_name == name]


def put(sink: EmbeddedSink, table: str, *blocks: Columns) -> None:
    """These rows and no others."""
    sink.execute(f"TRUNCATE TABLE {table}")
    for columns in blocks:
        sink.insert(table, columns)


def found_in(stored: Stored) -> list[Difference]:
    cluster, sink = stored
    return Audited(cluster).run(lambda _: Against(rows=SinkRows(sink))).differences


def rows_of(columns: Columns, *numbers: int) -> Columns:
    return {name: [values[number] for number in numbers] for name, values in columns.items()}


def with_another(values: list[Any], row: int) -> list[Any]:
    """The column with another value, of its type, in that row."""
    sample = next((value for value in values if value is not None), "")
    value = values[row]
    if isinstance(sample, date):
        other: Any = value + timedelta(days=1)
    elif isinstance(sample, int):
        other = max(number for number in values if number is not None) + 1  # no other row's place
    elif isinstance(sample, bytes):
        other = value + b"!"
    elif isinstance(sample, str):
        other = f"{value or ''}!"
    else:  # an array; of names where it is not one of numbers
        kept = list(value)
        other = [*kept, 1 if any(isinstance(item, int) for array in values for item in array) else "more"]
    return [*values[:row], other, *values[row + 1 :]]


def test_every_column_altered(stored: Stored, table: tuple[str, Columns]) -> None:
    """Each in a row of its own. A row under another name is one missing and one too much."""
    name, columns = table
    names, at_once = list(columns), len(columns["version"])
    for start in range(0, len(names), at_once):
        altered = dict(columns)
        sources: dict[str, str] = {}
        for number, column in enumerate(names[start : start + at_once]):
            row = at_once - 1 - number
            altered[column] = with_another(columns[column], row)
            sources[column] = f"{columns['source_partition'][row]}@{columns['source_offset'][row]}"
        put(stored[1], name, altered)
        differences = found_in(stored)
        for column, source in sources.items():
            here = [
                difference
                for difference in differences
                if difference.source == source and difference.place.startswith(f"{name} ")
            ]
            if column in PLACE:
                assert Finding.MISSING in {difference.finding for difference in here}, column
            else:
                details = [difference.detail for difference in here if difference.finding is Finding.DIFFERENT]
                assert any(f"{column} is " in detail for detail in details), (column, details)


def test_a_row_missing(stored: Stored, table: tuple[str, Columns]) -> None:
    name, columns = table
    put(stored[1], name, rows_of(columns, *range(1, len(columns["version"]))))
    (difference,) = found_in(stored)
    assert (difference.finding, difference.place.split()[0]) == (Finding.MISSING, name)


def test_a_row_too_much(stored: Stored, table: tuple[str, Columns]) -> None:
    name, columns = table
    stray = rows_of(columns, 0)
    put(stored[1], name, columns, stray | {"position": [stray["position"][0] + 1_000]})
    (difference,) = found_in(stored)
    assert (difference.finding, difference.place.split()[0]) == (Finding.UNEXPECTED, name)


def test_rows_twice_are_fine_and_twice_differently_are_not(stored: Stored, table: tuple[str, Columns]) -> None:
    """As a loader that was killed inserts them."""
    name, columns = table
    put(stored[1], name, columns, columns)
    assert not found_in(stored)
    again = rows_of(columns, 0, 1)
    field = next(name for name in ("credits", "size", "balance", "expires_at", "at") if name in columns)
    put(stored[1], name, columns, again | {field: [again[field][0], again[field][1] + 1]})
    (difference,) = found_in(stored)
    assert (difference.finding, difference.place.split()[0]) == (Finding.DIFFERENT, name)


# -- the worker's state -----------------------------------------------------------------------------------------------


def row_of(state: RocksState, table: bytes, holds: Callable[[Any], bool] = lambda _row: True) -> tuple[bytes, Any]:
    """The newest row of a table: what clean-up may take any moment is not what is altered."""
    rows = [row for row in state.scan(table) if holds(row[1])]
    assert rows, f"no such row in the table {table!r}"
    newest = max(rows, key=lambda row: row[1][0] if table in (ACCOUNT, EVENT, HOLD) else 0)
    return newest if table in (ACCOUNT, EVENT, HOLD) else rows[-1]


def in_account(change: Callable[[list[Any]], object], holds: Callable[[Any], bool] = lambda _row: True) -> Alteration:
    def alter(state: RocksState) -> Changes:
        key, row = row_of(state, ACCOUNT, holds)
        change(row)
        return {key: row}

    return alter


def in_event(change: Callable[[list[Any]], object]) -> Alteration:
    def alter(state: RocksState) -> Changes:
        key, row = row_of(state, EVENT, lambda row: bool(row[1]))
        change(row)
        return {key: row}

    return alter


def gone(table: bytes) -> Alteration:
    return lambda state: {row_of(state, table)[0]: None}


def too_much(table: bytes) -> Alteration:
    def alter(state: RocksState) -> Changes:
        key, row = row_of(state, table)
        return {key + b"-more": row}

    return alter


def open_grant(row: list[Any]) -> list[Any]:
    return next(grant for _, grants in row[7].values() for grant in grants if grant[3])


def has_grant(row: list[Any]) -> bool:
    return any(grant[3] for _, grants in row[7].values() for grant in grants)


def has_hold(row: list[Any]) -> bool:
    return bool(row[8])


def other_owner(state: RocksState) -> Changes:
    key, owners = row_of(state, CLAIM)
    return {key: [[owners[-1][0], "event-of-nobody", *owners[-1][2:]]]}


def other_book(state: RocksState) -> Changes:
    book = state.get(BOOK_KEY)
    assert book is not None
    return {BOOK_KEY: book | {"yaml": book["yaml"].replace("credits: 1}", "credits: 9}")}}


STATES: dict[str, tuple[Alteration, Finding, str]] = {
    "stream time": (in_account(lambda row: row.__setitem__(0, row[0] + 1)), Finding.DIFFERENT, "account"),
    "floor": (in_account(lambda row: row.__setitem__(1, row[1] - 1)), Finding.DIFFERENT, "account"),
    "plan": (in_account(lambda row: row.__setitem__(3, ["other", 0, None])), Finding.DIFFERENT, "account"),
    "on_empty": (in_account(lambda row: row.__setitem__(4, "other")), Finding.DIFFERENT, "account"),
    "marks": (in_account(lambda row: row.__setitem__(5, {"credit": 3})), Finding.DIFFERENT, "account"),
    "arrivals": (in_account(lambda row: row.__setitem__(6, row[6] + 1)), Finding.DIFFERENT, "account"),
    "debt": (in_account(lambda row: row[7].setdefault("credit", [0, []]).__setitem__(0, 7)), Finding.DIFFERENT,
             "account"),
    "grant": (in_account(lambda row: open_grant(row).__setitem__(3, 1_001), has_grant), Finding.DIFFERENT, "account"),
    "expiry": (in_account(lambda row: open_grant(row).__setitem__(0, 2**50), has_grant), Finding.DIFFERENT, "account"),
    "no account": (gone(ACCOUNT), Finding.MISSING, "account"),
    "event's time": (in_event(lambda row: row.__setitem__(0, row[0] + 1)), Finding.DIFFERENT, "event"),
    "charged credits": (in_event(lambda row: row[1][0].__setitem__(3, 999)), Finding.DIFFERENT, "event"),
    "returned credits": (in_event(lambda row: row[1][0].__setitem__(4, 998)), Finding.DIFFERENT, "event"),
    "event's place": (in_event(lambda row: row.__setitem__(2, row[2] + 1)), Finding.DIFFERENT, "event"),
    "event's digest": (in_event(lambda row: row.__setitem__(4, b"elsewhat")), Finding.DIFFERENT, "event"),
    "hold": (in_account(lambda row: row[8][0].__setitem__(2, {"x": 9}), has_hold), Finding.DIFFERENT, "account"),
    "no hold": (in_account(lambda row: row[8].clear(), has_hold), Finding.DIFFERENT, "account"),
    "no hold id": (gone(HOLD), Finding.MISSING, "hold"),
    "a hold id more": (too_much(HOLD), Finding.UNEXPECTED, "hold"),
    "no event": (gone(EVENT), Finding.MISSING, "event"),
    "an event more": (too_much(EVENT), Finding.UNEXPECTED, "event"),
    "claim's owner": (other_owner, Finding.DIFFERENT, "claim"),
    "no claim": (gone(CLAIM), Finding.MISSING, "claim"),
    "a claim more": (too_much(CLAIM), Finding.UNEXPECTED, "claim"),
    "no command id": (gone(COMMAND_ID), Finding.MISSING, "command id"),
    "a command id more": (too_much(COMMAND_ID), Finding.UNEXPECTED, "command id"),
    "price book": (other_book, Finding.DIFFERENT, "price book"),
    "no price book": (gone(BOOK_KEY), Finding.MISSING, "price book"),
}  # fmt: skip


@pytest.fixture(scope="module")
def whole() -> Cluster:
    return made()


def on_disk(cluster: Cluster, folder: Path, alter: Alteration, applied: int | None = None) -> StateView:
    """A worker's RocksDB of the partition that has most rows, altered, as an audit opens it."""
    kept = cluster.machines[0].disk[PARTITION].reopen()
    cluster.machines[0].disk[PARTITION] = kept
    state = RocksFolder(folder).open(Identity(NAMES.requests, PARTITION, "log-1"))
    state.commit(dict(kept.scan(b"")), kept.applied if applied is None else applied)
    state.write(alter(state))
    path = state.path
    state.close()
    return StateView(path)


@pytest.mark.parametrize(("alter", "finding", "table"), STATES.values(), ids=STATES)
def test_a_state_altered(whole: Cluster, tmp_path: Path, alter: Alteration, finding: Finding, table: str) -> None:
    with closing(on_disk(whole, tmp_path, alter)) as view:
        (difference,) = Audited(whole).run(lambda p: Against(state=view if p == PARTITION else None)).differences
        assert difference.finding is finding
        assert difference.place.startswith(f"state of {NAMES.requests}[{PARTITION}] {table}")


def test_when_clean_up_came_by_is_no_difference(whole: Cluster, tmp_path: Path) -> None:
    alter = in_account(lambda row: row.__setitem__(2, row[2] + 1))
    with closing(on_disk(whole, tmp_path, alter)) as view:
        assert not Audited(whole).run(lambda p: Against(state=view if p == PARTITION else None)).differences


def test_a_state_that_claims_to_have_more_than_it_has(tmp_path: Path) -> None:
    """An offset written without its changes: what an audit finds where a worker under-bills from then on."""
    half = Cluster(SEED, messages=150)
    end = half.broker.bounds(NAMES.requests, PARTITION)[1] - 1
    half.machines[0].step(list(range(PARTITIONS)), end - 2)
    with closing(on_disk(half, tmp_path, lambda _state: {}, applied=end)) as view:
        differences = Audited(made()).run(lambda p: Against(state=view if p == PARTITION else None)).differences
        assert differences
        assert all(difference.place.startswith(f"state of {NAMES.requests}[{PARTITION}]") for difference in differences)
