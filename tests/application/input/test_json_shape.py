"""JSON that is not one object a line is named, and nothing of it is read."""

import json

import pytest

from application.input.json_shape import NotNdjsonError, checked_shape
from application.input.lines import Line

OBJECTS = [{"event_id": "e1", "quantities": {"r": 1}}, {"event_id": "e2", "attributes": {}}]


def lines_of(text: str) -> list[Line]:
    return [Line(number, content) for number, content in enumerate(text.encode().split(b"\n"), 1)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (json.dumps(OBJECTS), "JSON array"),
        (json.dumps(OBJECTS, indent=2), "JSON array"),
        ("[\n" + ",\n".join(map(json.dumps, OBJECTS)) + "\n]", "JSON array"),
        ("\n \n  [ \n{}\n]", "JSON array"),
        ("[]", "JSON array"),
        ("[{", "JSON array"),
        (",\n".join(map(json.dumps, OBJECTS)) + "\n]", "commas between"),
        (",\r\n".join(map(json.dumps, OBJECTS)), "commas between"),
        (json.dumps(OBJECTS[0], indent=2), "several lines"),
        (json.dumps({"events": OBJECTS}, indent=2), "several lines"),
        ('{"events": [\n' + ",\n".join(map(json.dumps, OBJECTS)) + "\n]}", "several lines"),
        ('{"events":\n[\n{}\n]}', "several lines"),
        ("// exported\n[\n{}\n]", "JSON array"),
        ("events = [\n{}\n]", "JSON array"),
        ("// exported\n" + ",\n".join(map(json.dumps, OBJECTS)), "commas between"),
        ('{"event_id": "e1",\n"account_id": "a"}', "several lines"),
        ('{"event_id": "e1",\n\n   "account_id": "a"}', "several lines"),
    ],
)
def test_what_is_not_one_object_a_line(text: str, said: str) -> None:
    with pytest.raises(NotNdjsonError, match=said):
        next(checked_shape(iter(lines_of(text))))


@pytest.mark.parametrize(
    "text",
    [
        "\n".join(map(json.dumps, OBJECTS)), "", "\n\n", '{"event_id": "e1", "acc\n{}', 'count_id":"a"}\n{}',
        "nope\n[2001:db8::1]:80", '{"a": 1},,\n{}', '{"a": "x,\n{"a": 1}', "{}\n[", "2001:db8::1]:80 - -\n",
        "[2001:db8::1]:80 - -\n",
    ],
)  # fmt: skip
def test_what_is_ndjson_or_something_else_comes_out_whole(text: str) -> None:
    lines = lines_of(text)
    assert list(checked_shape(iter(lines))) == lines


def test_no_more_lines_are_waited_for_than_the_first() -> None:
    def endless() -> object:
        yield Line(1, b"{}")
        raise AssertionError("the second line was asked for")

    assert next(checked_shape(endless())) == Line(1, b"{}")  # type: ignore[arg-type]
