"""Output messages: reading their position, and splitting them."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.batches import HEAD_RESERVE, PART_LIMIT, Position, read_head, read_position
from schemas.catalog import BATCHES, COMMANDS, released, short_name
from schemas.codec import Codec
from schemas.errors import Undecodable
from schemas.wire import write_long
from tests.schemas.records import ALERT, ANSWERS, APPLIED, EXAMPLES, LINE, REPEATED, SET_ASIDE
from tests.sizes import examples

CODEC = Codec()


def alerts(*sizes: int) -> list[dict[str, Any]]:
    return [{**ALERT, "account_id": "x" * size} for size in sizes]


def decoded(name: str, messages: list[bytes]) -> list[dict[str, Any]]:
    return [record for record_name, record in map(CODEC.decode, messages) if record_name == name]


@pytest.mark.parametrize("name", BATCHES)
def test_what_fits_is_one_part(name: str) -> None:
    items = EXAMPLES[name][BATCHES[name]]
    (message,) = CODEC.encode_parts(name, 3, 70_000, items, answers=ANSWERS if name == "BilledBatch" else None)
    assert message == CODEC.encode(name, EXAMPLES[name])
    assert read_head(message) == Position(source_partition=3, source_offset=70_000, part=0, parts=1)
    assert CODEC.read_position(message) == read_position(message) == (70_000, 0)


def test_no_items_make_no_message() -> None:
    assert CODEC.encode_parts("AlertBatch", 0, 5, []) == []


@settings(max_examples=examples(150))
@given(sizes=st.lists(st.integers(0, 400), min_size=1, max_size=40), limit=st.integers(0, 2_000))
def test_parts_hold_every_item_in_order_within_the_limit(sizes: list[int], limit: int) -> None:
    items = alerts(*sizes)
    messages = CODEC.encode_parts("AlertBatch", 2, 99, items, limit)
    parts = decoded("AlertBatch", messages)
    assert [item for part in parts for item in part["alerts"]] == items
    assert [read_position(message) for message in messages] == [(99, part) for part in range(len(messages))]
    assert {part["parts"] for part in parts} == {len(messages)}
    assert all(len(message) <= limit or len(part["alerts"]) == 1 for message, part in zip(messages, parts, strict=True))
    assert CODEC.encode_parts("AlertBatch", 2, 99, items, limit) == messages
    # Greedy: the first item of a part would not have fitted into the part before.
    for before, after in zip(messages, parts[1:], strict=False):
        assert len(before) + len(CODEC.encode("AlertBatch", {**after, "alerts": after["alerts"][:1]})) > (
            limit - HEAD_RESERVE
        )


def test_an_item_above_the_limit_goes_alone() -> None:
    items = alerts(10, PART_LIMIT + 1, 10, 10)
    parts = decoded("AlertBatch", CODEC.encode_parts("AlertBatch", 0, 1, items))
    assert [part["alerts"] for part in parts] == [items[:1], items[1:2], items[2:]]


def test_a_batch_of_exactly_the_limit_is_one_part_and_of_a_byte_more_two() -> None:
    items = alerts(100, 100)
    whole = len(CODEC.encode_parts("AlertBatch", 0, 1, items)[0])
    assert len(CODEC.encode_parts("AlertBatch", 0, 1, items, whole)) == 1
    assert len(CODEC.encode_parts("AlertBatch", 0, 1, items, whole - 1)) == 2


def test_the_largest_head_stays_within_its_reserve() -> None:
    items = alerts(*[50] * 200)
    for message in CODEC.encode_parts("AlertBatch", 2**31 - 1, 2**63 - 1, items, 1_000):
        assert len(message) <= 1_000


def test_absent_fields_of_items_get_their_defaults_in_parts_too() -> None:
    short = {name: value for name, value in LINE.items() if value is not None}
    messages = CODEC.encode_parts("BilledBatch", 0, 1, [short] * 20, 1_000)
    assert len(messages) > 1
    assert decoded("BilledBatch", messages)[0]["events"][0] == LINE


def test_answers_without_lines_make_a_message() -> None:
    (message,) = CODEC.encode_parts("BilledBatch", 0, 5, [], answers={"applied": [APPLIED]})
    assert decoded("BilledBatch", [message])[0] | {"applied": []} == empty_answer(0, 1)
    assert decoded("BilledBatch", [message])[0]["applied"] == [APPLIED]
    # A batch of no events is answered too.
    assert decoded("BilledBatch", CODEC.encode_parts("BilledBatch", 0, 5, [], answers={})) == [empty_answer(0, 1)]


def empty_answer(part: int, parts: int) -> dict[str, Any]:
    head = {"source_partition": 0, "source_offset": 5, "part": part, "parts": parts}
    return {**head, "events": [], "repeated": [], "set_aside": [], "applied": []}


@settings(max_examples=examples(60))
@given(
    lines=st.integers(0, 12), repeated=st.lists(st.integers(0, 300), max_size=12), letters=st.integers(0, 12),
    applied=st.integers(0, 1), limit=st.integers(0, 3_000),
)  # fmt: skip
def test_answers_are_split_behind_the_lines(
    lines: int, repeated: list[int], letters: int, applied: int, limit: int
) -> None:
    items = [{**LINE, "line": number} for number in range(lines)]
    answers = {
        "repeated": [{**REPEATED, "id": "x" * size} for size in repeated],
        "set_aside": [{**SET_ASIDE, "index": number} for number in range(letters)],
        "applied": [APPLIED] * applied,
    }
    messages = CODEC.encode_parts("BilledBatch", 0, 5, items, limit, answers=answers)
    parts = decoded("BilledBatch", messages)
    assert [item for part in parts for item in part["events"]] == items
    for name, wanted in answers.items():
        assert [item for part in parts for item in part[name]] == wanted
    arrays = ("events", *answers)
    order = [arrays.index(name) for part in parts for name in arrays for _ in part[name]]
    assert order == sorted(order)
    assert [(part["part"], part["parts"]) for part in parts] == [(at, len(parts)) for at in range(len(parts))]
    for message, part in zip(messages, parts, strict=True):
        assert len(message) <= limit or sum(len(part[name]) for name in arrays) <= 1


@settings(max_examples=examples(60))
@given(sizes=st.lists(st.integers(0, 300), max_size=12), letters=st.integers(0, 12), limit=st.integers(0, 3_000))
def test_parts_joined_from_encoded_items_are_the_same(sizes: list[int], letters: int, limit: int) -> None:
    items = [{**LINE, "endpoint": "x" * size} for size in sizes]
    answers = {"repeated": [REPEATED] * (letters % 3), "set_aside": [SET_ASIDE] * letters}
    arrays = {"events": items, **answers}
    encoded = {name: CODEC.encode_items("BilledBatch", name, some) for name, some in arrays.items()}
    joined = list(CODEC.join_parts("BilledBatch", 0, 5, encoded, limit))
    assert joined == CODEC.encode_parts("BilledBatch", 0, 5, items, limit, answers=answers)
    bodies = [CODEC.encode("BilledBatch", CODEC.decode(message)[1]) for message in joined]
    assert joined == bodies, "as the writer of whole records writes them"


def test_lines_keep_their_parts_whatever_the_answers_are() -> None:
    """A worker of the version before, which knew no answers, may have sent the first parts of a message."""
    alone = decoded("BilledBatch", CODEC.encode_parts("BilledBatch", 0, 5, [LINE] * 40, 2_000))
    both = decoded("BilledBatch", CODEC.encode_parts("BilledBatch", 0, 5, [LINE] * 40, 2_000, answers=ANSWERS))
    assert [part["events"] for part in alone] == [part["events"] for part in both if part["events"]]


def test_the_largest_head_of_an_answer_stays_within_its_reserve() -> None:
    answers = {name: some * 70_000 for name, some in ANSWERS.items()}
    for message in CODEC.encode_parts("BilledBatch", 2**31 - 1, 2**63 - 1, [LINE] * 100, answers=answers):
        assert len(message) <= PART_LIMIT


@pytest.mark.parametrize("schema", released(), ids=lambda schema: schema["name"])
def test_every_version_of_a_batch_begins_with_its_position(schema: dict[str, Any]) -> None:
    if short_name(schema) in BATCHES:
        head = [(field["name"], field["type"]) for field in schema["fields"][:4]]
        assert head == [("source_partition", "int"), ("source_offset", "long"), ("part", "int"), ("parts", "int")]


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_has_no_position(name: str) -> None:
    with pytest.raises(Undecodable, match=r"^not an output batch$"):
        read_position(CODEC.encode(name, EXAMPLES[name]))


@pytest.mark.parametrize(
    ("message", "detail"),
    [
        (b"", "empty message"),
        (b"text", "not an Avro message of creditmeter"),
        (b"\xc3\x01" + bytes(20), "not an output batch"),
        (CODEC.encode("AlertBatch", EXAMPLES["AlertBatch"])[:12], "truncated or damaged body"),
        (CODEC.encode("AlertBatch", EXAMPLES["AlertBatch"])[:10] + b"\xff" * 30, "truncated or damaged body"),
    ],
)
def test_what_has_no_position_is_refused(message: bytes, detail: str) -> None:
    with pytest.raises(Undecodable) as caught:
        read_position(message)
    assert caught.value.detail == detail


def test_items_are_not_decoded_for_the_position() -> None:
    header = CODEC.encode("AlertBatch", EXAMPLES["AlertBatch"])[:10]
    head = b"".join(map(write_long, (1, 5, 2, 3)))
    assert read_position(header + head + b"\xff\xff not alerts") == (5, 2)
