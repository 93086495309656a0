"""Batches read into columns are what `decode` returns, for every kind of batch, writer and framing; so are refusals."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.catalog import BATCHES, Schema, current, expanded, fingerprint_of, released, short_name
from schemas.codec import Codec
from schemas.column_plans import Gathered, column_plan
from schemas.columns import BatchColumns
from schemas.errors import NOT_A_BATCH, Undecodable
from schemas.source import kind_of
from schemas.wire import single_object_header
from sinks.inserts import inserts_of, inserts_of_columns
from sinks.rows import RecordBatches
from tests.schemas.records import EXAMPLES, fastavro_body
from tests.sizes import examples

Json = dict[str, Any]


def items_of(schema: Schema) -> Any:
    """The record of one item of a batch's schema, for changing it."""
    return next(f["type"]["items"] for f in schema["fields"] if f["name"] in BATCHES.values())


def lacks(schema: Schema) -> None:
    fields = items_of(schema)["fields"]
    items_of(schema)["fields"] = [field for field in fields if "default" not in field]


SEEN = {
    "type": "record",
    "name": "Seen",
    "fields": [{"name": "at", "type": "int"}, {"name": "by", "type": "string"}],
}


def has_more(schema: Schema) -> None:
    """Fields of a later version, between those of this one."""
    more: list[Json] = [
        {"name": "tags", "type": {"type": "map", "values": "string"}, "default": {}},
        {"name": "weighed", "type": ["null", "boolean"], "default": None},
        {"name": "note", "type": ["null", "string"], "default": None},
        {"name": "seen", "type": {"type": "array", "items": SEEN}, "default": []},
    ]
    for number, field in enumerate(more):
        items_of(schema)["fields"].insert(3 * number, field)


def has_further_symbols(schema: Schema) -> None:
    for field in items_of(schema)["fields"]:
        for branch in field["type"] if isinstance(field["type"], list) else [field["type"]]:
            if isinstance(branch, dict) and branch["type"] == "enum":
                branch["symbols"] = ["brand_new", *reversed(branch["symbols"])]


def is_narrower(schema: Schema) -> None:
    for field in items_of(schema)["fields"]:
        if field["type"] == "long":
            field["type"] = "int"


def has_null_last(schema: Schema) -> None:
    """No plan reads these: the codec's records are the way."""
    for field in items_of(schema)["fields"]:
        if isinstance(field["type"], list) and field.pop("default", None) is None:
            field["type"].reverse()


CHANGES: list[Callable[[Schema], object]] = [
    lacks, has_more, has_further_symbols, is_narrower, has_null_last,
    lambda schema: items_of(schema)["fields"].reverse(),
]  # fmt: skip


def changed(name: str, change: Callable[[Schema], object]) -> Schema:
    schema = copy.deepcopy(current(name))
    change(schema)
    return schema


WRITERS: list[Schema] = [schema for schema in released() if short_name(expanded(schema)) in BATCHES]
WRITERS += [changed(name, change) for name in BATCHES for change in CHANGES]
CODEC = Codec(also_read=WRITERS)
IDS = [f"{short_name(expanded(schema))}-{number}" for number, schema in enumerate(WRITERS)]


def message_of(schema: Schema, record: Json) -> bytes:
    return single_object_header(fingerprint_of(schema)) + fastavro_body(schema, record)


def gathered(messages: list[bytes]) -> Gathered:
    together = Gathered()
    for message in messages:
        CODEC.gather(message, together, lambda _: True)
    return together


def plain(value: Any) -> Any:
    """A value as the store has it: texts as bytes, arrays as lists."""
    if isinstance(value, str):
        return value.encode()
    if value is None or isinstance(value, (int, bytes)) or not hasattr(value, "__iter__"):
        return value
    return [plain(one) for one in value]


def inserted(inserts: list[Any]) -> list[tuple[str, dict[str, list[Any]]]]:
    return [(table, {name: plain(values) for name, values in columns.items()}) for table, columns in inserts]


TEXTS = ("", "a", "Zoë", "🦊" * 40, "x" * 200, "nul\0")
LONGS = (0, 1, -1, 63, 64, -65, 2**31, 2**43, 2**63 - 1, -(2**63))


def value(schema: Any, rng: random.Random) -> Any:
    """Any value of a schema. (Hypothesis's own strategies take too long for 30 fields.)"""
    match kind_of(schema):
        case "null":
            return None
        case "boolean":
            return rng.random() < 0.5
        case "int":
            return rng.choice((0, 5, -5, 2**31 - 1, -(2**31)))
        case "long":
            return rng.choice(LONGS)
        case "string":
            return rng.choice(TEXTS)
        case "bytes":
            return rng.randbytes(rng.randrange(4))
        case "enum":
            return rng.choice(schema["symbols"])
        case "union":
            return value(rng.choice(schema), rng)
        case "array":
            return [value(schema["items"], rng) for _ in range(rng.randrange(4))]
        case "map":
            return {rng.choice(TEXTS): value(schema["values"], rng) for _ in range(rng.randrange(3))}
        case _:
            return {field["name"]: value(field["type"], rng) for field in schema["fields"]}


def batch_of(schema: Any, rng: random.Random) -> Json:
    """A batch of any items, at a position of a few, so that they come out of order, and with times that days have."""
    batch: Json = value(schema, rng)
    for item in batch[BATCHES[short_name(schema)]]:
        for field in ("occurred_at", "requested_at", "changed_at", "recorded_at", "at"):
            if isinstance(item.get(field), int):
                item[field] = abs(item[field]) % (2**31 if item[field] < 2**31 else 20_000_000_000_000)
        item["account_id"] = rng.choice(("", "acme"))
    return batch | {"source_partition": 3, "source_offset": rng.randrange(4), "part": rng.randrange(2)}


@pytest.mark.parametrize("schema", WRITERS, ids=IDS)
@settings(max_examples=examples(25))
@given(rng=st.randoms(use_true_random=True))
def test_columns_are_the_records(schema: Schema, rng: random.Random) -> None:
    name, whole = short_name(expanded(schema)), expanded(schema)
    messages = [message_of(schema, batch_of(whole, rng)) for _ in range(rng.randrange(1, 4))]
    together = gathered(messages)
    decoded = [CODEC.decode(message)[1] for message in messages]
    if name in together.others:
        assert together.others == {name: decoded}
    else:
        assert inserted(inserts_of_columns(name, together.columns[name])) == inserted(inserts_of(name, decoded))
        assert together.columns[name].heads == RecordBatches(name, decoded).heads


@pytest.mark.parametrize("name", BATCHES)
def test_batches_of_several_writers_share_their_columns(name: str) -> None:
    writers = [schema for schema in WRITERS if short_name(expanded(schema)) == name and column_plan(schema)]
    more: Json = {"tags": {"a": "b"}, "weighed": True, "note": "n", "seen": [{"at": 5, "by": "x"}] * 2}
    example = copy.deepcopy(EXAMPLES[name])
    for item in example[BATCHES[name]]:
        item.update(more)
        for field in items_of(current(name))["fields"]:
            if field["type"] == "long":
                item[field["name"]] = 7  # an int holds it
    messages = [message_of(schema, example) for schema in writers for _ in range(2)]
    together = gathered(messages)
    assert not together.others
    decoded = [CODEC.decode(message)[1] for message in messages]
    assert len(writers) >= 5
    assert inserted(inserts_of_columns(name, together.columns[name])) == inserted(inserts_of(name, decoded))


def test_every_released_version_has_a_plan() -> None:
    assert all(column_plan(schema) for schema in released() if short_name(expanded(schema)) in BATCHES)
    assert column_plan(changed("BilledBatch", has_null_last)) is None
    assert column_plan(current("Grant")) is None


def refusal(read: Callable[[bytes], object], message: bytes) -> str | None:
    try:
        read(message)
    except Undecodable as error:
        return error.detail
    return None


@pytest.mark.parametrize("name", BATCHES)
def test_what_is_cut_longer_or_not_utf_8_is_refused_as_by_decode(name: str) -> None:
    message = CODEC.encode(name, EXAMPLES[name])
    odd = [message[:length] for length in range(len(message))] + [message + b"\0"]
    odd += [
        message[:at] + bytes([byte]) + message[at + 1 :] for at in range(10, len(message)) for byte in (1, 0x80, 255)
    ]
    for one in odd:
        assert refusal(lambda value: gathered([value]), one) == refusal(CODEC.decode, one), one


@pytest.mark.parametrize("name", BATCHES)
@given(body=st.binary(max_size=120))
def test_any_body_is_read_or_refused_as_by_decode(name: str, body: bytes) -> None:
    message = CODEC.encode(name, EXAMPLES[name])[:10] + body
    assert refusal(lambda value: gathered([value]), message) == refusal(CODEC.decode, message)


def test_a_map_s_key_that_is_there_twice_counts_once() -> None:
    line = EXAMPLES["BilledBatch"]["events"][0] | {"quantities": {"a": 1, "b": 2, "c": 3}}
    message = CODEC.encode("BilledBatch", {**EXAMPLES["BilledBatch"], "events": [line, line]})
    doubled = message.replace(b"\x02a\x02\x02b\x04\x02c\x06", b"\x02a\x02\x02b\x04\x02a\x06")
    assert doubled != message
    columns = gathered([doubled]).columns["BilledBatch"].values
    assert columns["quantities"] == [2, 2]
    assert columns["quantities.key"] == [b"a", b"b"] * 2
    assert columns["quantities.value"] == [3, 2] * 2


def test_only_what_is_wanted_of_output_batches_is_read() -> None:
    together = Gathered()
    wanted = CODEC.encode("GrantBatch", EXAMPLES["GrantBatch"])
    CODEC.gather(wanted, together, lambda head: head.source_offset < 0)
    assert together.columns == {}
    CODEC.gather(wanted, together, lambda head: head == (3, 70_000, 0, 1))
    assert together.columns["GrantBatch"].counts == [1]
    with pytest.raises(Undecodable, match=NOT_A_BATCH):
        CODEC.gather(CODEC.encode("Grant", EXAMPLES["Grant"]), together, lambda _: True)


def test_nothing_is_left_of_what_nobody_asks_for() -> None:
    columns = BatchColumns("BilledBatch")
    plan = column_plan(current("BilledBatch"))
    assert plan is not None
    plan.reader(columns).read(CODEC.encode("BilledBatch", EXAMPLES["BilledBatch"]), 10)
    wanted = {field["name"] for field in items_of(current("BilledBatch"))["fields"]}
    assert {path.partition(".")[0] for path in columns.values} == wanted
