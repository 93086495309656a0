"""Every schema reads and is read by every released version, and the check that says so sees incompatible changes."""

import copy
import itertools
from collections.abc import Callable
from typing import Any

import pytest

from schemas.catalog import NAMES, Schema, current, expanded, fingerprint_of, released, short_name
from schemas.codec import Codec
from schemas.errors import IncompatibleSchemas, Undecodable
from schemas.resolution import adapter
from schemas.wire import single_object_header
from tests.schemas.records import EVENT, EXAMPLES, fastavro_body

HISTORY = [(short_name(expanded(schema)), schema) for schema in released()]


def check_both_directions(one: Schema, other: Schema) -> None:
    """Full compatibility: each reads what the other wrote."""
    adapter(one, other)
    adapter(other, one)


@pytest.mark.parametrize("name", NAMES)
def test_every_schema_is_compatible_with_every_released_one(name: str) -> None:
    versions = [current(name), *(schema for known, schema in HISTORY if known == name)]
    assert len(versions) > 1
    for one, other in itertools.combinations(versions, 2):
        check_both_directions(one, other)


@pytest.mark.parametrize("name", NAMES)
def test_the_current_schema_is_among_the_released_ones(name: str) -> None:
    """A changed schema needs its own file in history/, so that later versions still know it."""
    assert fingerprint_of(current(name)) in {fingerprint_of(schema) for known, schema in HISTORY if known == name}


def field(schema: Schema, name: str) -> Any:
    """A field of a RequestEvent, for changing it."""
    events = schema["fields"][0]["type"]["items"]["fields"]
    return next(item for item in events if item["name"] == name)


def add(schema: Schema, **new: Any) -> None:
    schema["fields"][0]["type"]["items"]["fields"].append(new)


def remove(schema: Schema, name: str) -> None:
    schema["fields"][0]["type"]["items"]["fields"].remove(field(schema, name))


def drop_default_and_add(schema: Schema) -> None:
    """A change is judged against the versions before it: here they have no default symbol for the new one."""
    del field(schema, "outcome")["type"]["default"]
    field(schema, "outcome")["type"]["symbols"].remove("processed")
    field(schema, "outcome")["type"]["symbols"].append("queued")


GOOD: list[tuple[str, Callable[[Schema], object]]] = [
    ("adds a field with a default", lambda s: add(s, name="region", type="string", default="eu")),
    ("removes a field with a default", lambda s: remove(s, "plan")),
    ("adds a symbol", lambda s: field(s, "outcome")["type"]["symbols"].append("queued")),
    ("changes the order of fields", lambda s: s["fields"][0]["type"]["items"]["fields"].reverse()),
    ("changes the order of symbols", lambda s: field(s, "outcome")["type"]["symbols"].reverse()),
    ("changes words", lambda s: s.update(doc="other words")),
]
BAD: list[tuple[str, Callable[[Schema], object], str]] = [
    ("adds a field without default", lambda s: add(s, name="region", type="string"), "region"),
    ("removes a field without default", lambda s: remove(s, "endpoint"), "endpoint"),
    ("renames a field", lambda s: field(s, "occurred_at").update(name="happened_at"), "at"),
    ("narrows a long", lambda s: field(s, "occurred_at").update(type="int"), "long cannot be read as int"),
    ("widens a long", lambda s: field(s, "occurred_at").update(type="double"), "double cannot be read as long"),
    ("makes a field nullable", lambda s: field(s, "endpoint").update(type=["null", "string"]), "null cannot be read"),
    ("makes a field required", lambda s: field(s, "ip").update(type="string", default=""), "null cannot be"),
    ("adds a branch", lambda s: field(s, "ip").update(type=["null", "string", "long"]), "long cannot be read"),
    ("changes a map's values", lambda s: field(s, "quantities")["type"].update(values="string"), "cannot be read"),
    ("makes a text a map", lambda s: field(s, "channel").update(type={"type": "map", "values": "string"}), "map"),
    ("renames the record", lambda s: s.update(name="Requests"), "another type"),
    ("renames an item", lambda s: s["fields"][0]["type"]["items"].update(name="Event"), "another type"),
    ("renames an enum", lambda s: field(s, "outcome")["type"].update(name="Result"), "another type"),
    ("drops the default symbol", drop_default_and_add, "queued is not known"),
]


@pytest.mark.parametrize("change", [change for _, change in GOOD], ids=[name for name, _ in GOOD])
def test_compatible_changes_pass(change: Callable[[Schema], object]) -> None:
    changed = copy.deepcopy(current("RequestBatch"))
    change(changed)
    check_both_directions(changed, current("RequestBatch"))


@pytest.mark.parametrize(("change", "said"), [item[1:] for item in BAD], ids=[item[0] for item in BAD])
def test_incompatible_changes_fail(change: Callable[[Schema], object], said: str) -> None:
    changed, before = copy.deepcopy(current("RequestBatch")), copy.deepcopy(current("RequestBatch"))
    change(changed)
    if "queued" in said:
        del field(before, "outcome")["type"]["default"]
    with pytest.raises(IncompatibleSchemas, match=said):
        check_both_directions(changed, before)


@pytest.mark.parametrize("change", [change for _, change in GOOD], ids=[name for name, _ in GOOD])
def test_a_known_older_or_newer_writer_is_read_as_the_current_version(change: Callable[[Schema], object]) -> None:
    writer = copy.deepcopy(current("RequestBatch"))
    change(writer)
    written = {**EVENT, "region": "eu"}
    body = fastavro_body(writer, {"events": [written, written]})
    message = single_object_header(fingerprint_of(writer)) + body
    name, batch = Codec(also_read=[writer]).decode(message)
    assert (name, batch) == ("RequestBatch", {"events": [EVENT, EVENT]})
    assert list(batch["events"][0]) == list(EVENT)


def test_an_unknown_symbol_becomes_the_default_and_a_new_field_is_passed_over() -> None:
    writer = copy.deepcopy(current("RequestBatch"))
    field(writer, "outcome")["type"]["symbols"].append("queued")
    add(writer, name="trail", type={"type": "array", "items": ["null", "double"]}, default=[])
    body = fastavro_body(writer, {"events": [{**EVENT, "outcome": "queued", "trail": [None, 1.5]}]})
    codec = Codec(also_read=[writer])
    _, batch = codec.decode(single_object_header(fingerprint_of(writer)) + body)
    assert batch == {"events": [{**EVENT, "outcome": "unknown"}]}


def test_defaults_are_not_shared_between_records() -> None:
    writer = copy.deepcopy(current("RequestBatch"))
    remove(writer, "attributes")
    body = fastavro_body(writer, {"events": [EVENT, EVENT]})
    codec = Codec(also_read=[writer])
    _, batch = codec.decode(single_object_header(fingerprint_of(writer)) + body)
    first, second = batch["events"]
    first["attributes"]["x"] = "y"
    assert second["attributes"] == {}
    assert current("RequestBatch") != batch


def test_promotions_convert() -> None:
    def schema(**types: Any) -> Schema:
        fields = [{"name": name, "type": kind} for name, kind in types.items()]
        return {"type": "record", "name": "R", "fields": fields}

    optional = ["null", {"type": "array", "items": "int"}]
    writer = schema(a="int", b="int", c="string", d="bytes", e=optional, f={"type": "map", "values": "long"})
    optional = ["null", {"type": "array", "items": "double"}]
    reader = schema(
        a="long", b="double", c="bytes", d=["null", "string"], e=optional, f={"type": "map", "values": "float"}
    )
    change = adapter(writer, reader)
    assert change is not None
    assert change({"a": 1, "b": 2, "c": "x", "d": b"y", "e": [3], "f": {"g": 4}}) == {
        "a": 1,
        "b": 2.0,
        "c": b"x",
        "d": "y",
        "e": [3.0],
        "f": {"g": 4.0},
    }
    assert change({"a": 1, "b": 2, "c": "x", "d": b"y", "e": None, "f": {}})["e"] is None
    with pytest.raises(UnicodeDecodeError):
        change({"a": 1, "b": 2, "c": "x", "d": b"\xff", "e": None, "f": {}})


def test_bytes_of_a_foreign_writer_that_are_no_text_are_damage() -> None:
    writer = copy.deepcopy(current("RequestBatch"))
    field(writer, "endpoint")["type"] = "bytes"
    body = fastavro_body(writer, {"events": [{**EVENT, "endpoint": b"\xff"}]})
    with pytest.raises(Undecodable, match="truncated or damaged body"):
        Codec(also_read=[writer]).decode(single_object_header(fingerprint_of(writer)) + body)


@pytest.mark.parametrize("schema", [5, "long", {"type": "record"}, [], {"type": "map", "values": "long"}, {}])
def test_what_is_no_schema_of_a_record_is_refused(schema: Any) -> None:
    with pytest.raises(IncompatibleSchemas):
        adapter(schema, current("Grant"))


@pytest.mark.parametrize("name", NAMES)
def test_released_schemas_need_no_adapting_while_they_are_the_current_ones(name: str) -> None:
    assert adapter(current(name), current(name)) is None
    assert Codec().decode(Codec().encode(name, EXAMPLES[name]))[1] == EXAMPLES[name]
