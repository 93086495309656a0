"""The compiled reader and writer make and read the same bytes as fastavro, an implementation of its own."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.catalog import ANSWERS, BATCHES, NAMES, current, expanded
from schemas.codec import Codec
from schemas.errors import IncompatibleSchemas, Undecodable
from schemas.reading import MAX_DEPTH, compile_reader
from schemas.writing import MEMO_ENTRIES, Memo, compile_writer, encode_text
from tests.schemas.records import EXAMPLES, fastavro_body, fastavro_record, records
from tests.sizes import examples

EVERY_TYPE = {
    "type": "record",
    "name": "EveryType",
    "fields": [
        {"name": "flag", "type": "boolean"},
        {"name": "single", "type": "float"},
        {"name": "double", "type": {"type": "double"}},
        {"name": "nothing", "type": "null"},
        {"name": "digest", "type": {"type": "fixed", "name": "Digest", "size": 5}},
        {"name": "again", "type": ["null", "Digest"]},
        {"name": "deep", "type": {"type": "map", "values": {"type": "array", "items": ["null", "long", "string"]}}},
        {"name": "when", "type": {"type": "long", "logicalType": "local-of-somebody-else"}},
    ],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=examples(60))
@given(data=st.data())
def test_round_trip_of_any_record(name: str, data: st.DataObject) -> None:
    schema, codec = current(name), Codec()
    record = data.draw(records(schema))
    message = codec.encode(name, record)
    assert message[10:] == fastavro_body(schema, record)
    assert codec.decode(message) == (name, record)
    assert list(codec.decode(message)[1]) == [field["name"] for field in schema["fields"]]


@settings(max_examples=examples(60))
@given(data=st.data())
def test_the_reader_knows_every_type_that_a_foreign_writer_may_use(data: st.DataObject) -> None:
    record = data.draw(records(EVERY_TYPE))
    body = fastavro_body(EVERY_TYPE, record)
    assert compile_reader(EVERY_TYPE)(body, 0) == fastavro_record(EVERY_TYPE, body)


@pytest.mark.slow
@settings(max_examples=examples(300))
@given(data=st.data())
def test_damage_is_found_or_makes_what_fastavro_makes_of_it(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(NAMES))
    schema = current(name)
    body = bytearray(fastavro_body(schema, EXAMPLES[name]))
    for _ in range(data.draw(st.integers(1, 3))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    try:
        read = compile_reader(schema)(bytes(body), 0)
    except Undecodable:
        return
    assert read == fastavro_record(schema, bytes(body))


@pytest.mark.parametrize("size_known", [False, True])
def test_arrays_and_maps_in_several_blocks(size_known: bool) -> None:
    schema = {
        "type": "record",
        "name": "R",
        "fields": [
            {"name": "numbers", "type": {"type": "array", "items": "long"}},
            {"name": "by_name", "type": {"type": "map", "values": "long"}},
        ],
    }
    two = b"\x03\x04" if size_known else b"\x04"  # a negative count is followed by the block's bytes
    one = b"\x01\x06" if size_known else b"\x02"
    body = two + b"\x02\x04" + b"\x02\x06" + b"\x00" + one + b"\x02a\x02" + b"\x02\x02b\x04" + b"\x00"
    assert compile_reader(schema)(body, 0) == {"numbers": [1, 2, 3], "by_name": {"a": 1, "b": 2}}
    assert fastavro_record(schema, body) == {"numbers": [1, 2, 3], "by_name": {"a": 1, "b": 2}}


def _nested(depth: int) -> dict[str, Any]:
    inner: Any = "long"
    for _ in range(depth):
        inner = {"type": "array", "items": inner}
    return {"type": "record", "name": "R", "fields": [{"name": "x", "type": inner}]}


def test_as_deep_as_allowed_compiles_and_deeper_is_refused() -> None:
    assert compile_reader(_nested(MAX_DEPTH - 1))(b"\x00", 0) == {"x": []}
    with pytest.raises(IncompatibleSchemas, match="deep"):
        compile_reader(_nested(MAX_DEPTH))


@pytest.mark.parametrize(
    "items",
    [
        "null",
        {"type": "record", "name": "Nothing", "fields": [{"name": "n", "type": "null"}]},
        {"type": "fixed", "name": "F", "size": 0},
    ],
)
def test_arrays_of_items_without_bytes_are_refused(items: Any) -> None:
    schema = {"type": "record", "name": "R", "fields": [{"name": "x", "type": {"type": "array", "items": items}}]}
    with pytest.raises(IncompatibleSchemas, match="no bytes"):
        compile_reader(schema)


def test_recursive_schemas_are_refused() -> None:
    schema = {"type": "record", "name": "R", "fields": [{"name": "next", "type": ["null", "R"]}]}
    with pytest.raises(IncompatibleSchemas, match="recursive"):
        compile_reader(schema)


@pytest.mark.parametrize("kind", ["double", "float", ["string", "null"], ["null", "long", "string"]])
def test_types_that_the_writer_does_not_know_are_refused(kind: Any) -> None:
    with pytest.raises(IncompatibleSchemas, match="written here"):
        compile_writer({"type": "record", "name": "R", "fields": [{"name": "x", "type": kind}]})


def test_remembered_texts_are_bounded() -> None:
    memo = Memo(encode_text)
    for number in range(3 * MEMO_ENTRIES):
        assert memo[f"text {number}"] == encode_text(f"text {number}")
        assert len(memo) <= MEMO_ENTRIES
    assert memo["x" * 500] == encode_text("x" * 500)
    assert "x" * 500 not in memo


def test_every_array_stands_behind_the_position() -> None:
    for name, items in BATCHES.items():
        names = [field["name"] for field in expanded(current(name))["fields"]]
        assert names[4:] == [items, *(ANSWERS if name == "BilledBatch" else ())]
