"""Walked plans and generated functions are one codec: the same records, bytes and refusals, compiled or not."""

from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import reading, walkers, writing
from schemas.catalog import NAMES, current, expanded
from schemas.errors import IncompatibleSchemas, Undecodable, Unencodable
from schemas.reading import MAX_DEPTH, MAX_EVENTS
from schemas.wire import write_long
from tests.schemas.records import EXAMPLES, fastavro_body, records
from tests.schemas.test_equal_to_fastavro import EVERY_TYPE
from tests.sizes import examples

BOUNDED = {"events": MAX_EVENTS}


class Way(NamedTuple):
    """One of the two ways to decode and encode."""

    reader: Any
    digesting: Any
    slicing: Any
    writer: Any


GENERATED = Way(
    reading.compile_reader, reading.compile_digesting_reader, reading.compile_slicing_reader, writing.compile_writer
)
WALKED = Way(
    walkers.walking_reader, walkers.walking_digesting_reader, walkers.walking_slicing_reader, walkers.walking_writer
)


def outcome(call: Any, *arguments: Any) -> Any:
    """What a call returns, or the words of its refusal."""
    try:
        return call(*arguments)
    except (Undecodable, Unencodable, IncompatibleSchemas) as error:
        return type(error), str(error)


def differences(values: list[Any]) -> bool:
    return any(value != values[0] or str(value) != str(values[0]) for value in values)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=examples(40))
@given(data=st.data())
def test_both_make_the_same_bytes_and_records(name: str, data: st.DataObject) -> None:
    schema = current(name)
    record = data.draw(records(schema))
    bodies = [way.writer(schema)(record) for way in (GENERATED, WALKED)]
    assert bodies[0] == bodies[1] == fastavro_body(schema, record)
    assert not differences([way.reader(schema)(b"head" + bodies[0], 4) for way in (GENERATED, WALKED)])


EVENT = {field["name"]: field["type"] for field in expanded(current("RequestBatch"))["fields"]}["events"]["items"]


@settings(max_examples=examples(60))
@given(data=st.data())
def test_both_fill_in_what_an_event_lacks(data: st.DataObject) -> None:
    whole = data.draw(records(EVENT))
    defaults = {field["name"]: field["default"] for field in EVENT["fields"] if "default" in field}
    lacking = data.draw(st.sets(st.sampled_from(sorted(defaults))))
    event = {name: whole[name] for name in data.draw(st.permutations(list(whole))) if name not in lacking}
    filled = {**whole, **{name: defaults[name] for name in lacking}}
    for way in (GENERATED, WALKED):
        write = way.writer(EVENT)
        assert write(event) == write(event) == fastavro_body(EVENT, filled)


@settings(max_examples=examples(100))
@given(data=st.data())
def test_both_read_every_type_that_a_foreign_writer_may_use(data: st.DataObject) -> None:
    body = fastavro_body(EVERY_TYPE, data.draw(records(EVERY_TYPE)))
    cut = body[: data.draw(st.integers(0, len(body)))]
    for message in (body, cut, body + b"\x00"):
        assert not differences([outcome(way.reader(EVERY_TYPE), message, 0) for way in (GENERATED, WALKED)])


@pytest.mark.slow
@settings(max_examples=examples(400))
@given(data=st.data())
def test_both_say_the_same_of_damage(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(NAMES))
    schema = current(name)
    body = bytearray(fastavro_body(schema, EXAMPLES[name]))
    for _ in range(data.draw(st.integers(1, 3))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    assert not differences([outcome(way.reader(schema), bytes(body), 0) for way in (GENERATED, WALKED)])


WRONG: list[Any] = [
    None, True, False, 0, -1, 2**31, -(2**31) - 1, 2**63, -(2**63) - 1, 1.0, float("nan"), "", "x" * 9_000, "\ud800",
    "unknown", b"bytes", bytearray(b"x"), memoryview(b"x"), [], [1], ["a", None], {}, {"a": 1}, {1: 1}, {"a": None},
    ("a",), object,
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_both_refuse_the_same_with_the_same_words(name: str) -> None:
    schema, example = current(name), EXAMPLES[name]
    writers = [way.writer(schema) for way in (GENERATED, WALKED)]
    for field in (*example, "unknown"):
        for wrong in WRONG:
            record = {**example, field: wrong}
            assert not differences([outcome(write, record) for write in writers]), (field, wrong)
        without = {key: value for key, value in example.items() if key != field}
        assert not differences([outcome(write, without) for write in writers]), field


@pytest.mark.parametrize("wrong", WRONG)
def test_both_refuse_the_same_within_an_event(wrong: Any) -> None:
    (event,) = EXAMPLES["RequestBatch"]["events"][:1]
    writers = [way.writer(current("RequestBatch")) for way in (GENERATED, WALKED)]
    for field in event:
        assert not differences([outcome(write, {"events": [{**event, field: wrong}]}) for write in writers]), field


@pytest.mark.parametrize("count", [0, 1, 3, 7])
def test_both_give_the_same_digests_and_slices(count: int) -> None:
    schema, (event,) = current("RequestBatch"), EXAMPLES["RequestBatch"]["events"][:1]
    body = fastavro_body(schema, {"events": [{**event, "event_id": f"e{number}"} for number in range(count)]})
    assert not differences([way.digesting(schema, BOUNDED)(body, 0) for way in (GENERATED, WALKED)])
    assert not differences([list(way.slicing(schema, BOUNDED)(body, 0, 3)) for way in (GENERATED, WALKED)])
    for way in (GENERATED, WALKED):
        assert outcome(way.digesting(schema, BOUNDED), body[:-1], 0)[0] is Undecodable
        assert outcome(list, way.slicing(schema, BOUNDED)(body[:-1], 0, 3))[0] is Undecodable


@pytest.mark.parametrize("way", [GENERATED, WALKED], ids=["generated", "walked"])
def test_too_many_items_are_refused_before_they_are_read(way: Way) -> None:
    schema = current("RequestBatch")
    many = write_long(MAX_EVENTS + 1)
    for call in (way.reader(schema, BOUNDED), way.digesting(schema, BOUNDED)):
        assert "more than" in str(outcome(call, many, 0)[1]) or outcome(call, many, 0)[0] is Undecodable
    texts = {outcome(way.reader(schema, BOUNDED), body, 0)[1] for body in (many, b"")}
    assert len(texts) == 2


@pytest.mark.parametrize("number", [0, 127, 128, 2**14, 2**49, 2**56, 2**62, 2**63 - 1, -1, -(2**63)])
def test_both_read_numbers_of_any_length(number: int) -> None:
    schema = {"type": "record", "name": "R", "fields": [{"name": "x", "type": "long"}]}
    for body in (write_long(number), write_long(number)[:-1], b"\x80" * 9 + b"\x02", b"\x80" * 20, b"\x80\x00"):
        assert not differences([outcome(way.reader(schema), body, 0) for way in (GENERATED, WALKED)])


def test_both_refuse_the_same_schemas() -> None:
    def record(kind: Any) -> dict[str, Any]:
        return {"type": "record", "name": "R", "fields": [{"name": "x", "type": kind}]}

    deep: Any = "long"
    for _ in range(MAX_DEPTH):
        deep = {"type": "array", "items": deep}
    empty = {"type": "fixed", "name": "F", "size": 0}
    kinds: list[Any] = [deep, ["null", "R"], {"type": "array", "items": "null"}, {"type": "array", "items": empty}]
    for kind in kinds:
        refusals = [outcome(way.reader, record(kind)) for way in (GENERATED, WALKED)]
        assert refusals[0][0] is IncompatibleSchemas
        assert not differences(refusals)
    for kind in ["double", "float", ["string", "null"], ["null", "long", "string"], empty, "null"]:
        refusals = [outcome(way.writer, record(kind)) for way in (GENERATED, WALKED)]
        assert refusals[0][0] is IncompatibleSchemas
        assert not differences(refusals)
