"""Events of every kind of body, and every mistake with its place."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.validation import check_event
from server.api.problems import Problem
from server.bodies.event_bodies import MOST_EVENTS, Defaults, EventBody
from server.bodies.json_documents import MOST_VALUES, BadNumber, mistakes_in, read_quickly, read_strictly

EVENT = {"event_id": "e", "account_id": "acme", "occurred_at": 1_790_000_000_000, "endpoint": "/v1", "channel": "api"}
CLOUD = {
    "specversion": "1.0", "id": "7", "source": "/search", "type": "request", "subject": "acme",
    "time": "2026-09-21T14:13:20Z", "data": {"endpoint": "/v1", "channel": "api"},
}  # fmt: skip
JSON, LINES = "application/json", "application/x-ndjson"
STRUCTURED, BATCH = "application/cloudevents+json", "application/cloudevents-batch+json"


def read(document: Any, kind: str = JSON, defaults: Defaults | None = None, **headers: str) -> EventBody:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return EventBody({"content-type": kind, **headers}, body, defaults or Defaults())


def records(body: EventBody) -> list[dict[str, Any]]:
    events = [body.event(index) for index in range(len(body))]
    assert not any(event.mistakes for event in events)
    return [event.record for event in events]


def pointers(body: EventBody, index: int = 0) -> list[str]:
    return [mistake.pointer for mistake in body.event(index).mistakes]


def problem(document: Any, kind: str = JSON, **headers: str) -> Problem:
    with pytest.raises(Problem) as raised:
        read(document, kind, **headers)
    return raised.value


def test_one_event_a_list_and_lines() -> None:
    (one,) = records(read(EVENT))
    assert check_event(dict(one)) is None
    assert (one["event_id"], one["outcome"], one["quantities"]) == ("e", "processed", {})
    two = [EVENT, {**EVENT, "event_id": "f"}]
    assert [record["event_id"] for record in records(read(two))] == ["e", "f"]
    lines = b"\n".join(json.dumps(event).encode() for event in two)
    for text in (lines, lines + b"\n", b"\xef\xbb\xbf" + lines.replace(b"\n", b"\r\n\r\n")):
        assert [record["event_id"] for record in records(read(text, LINES))] == ["e", "f"]
    assert records(read([])) == []


def test_what_an_event_need_not_say() -> None:
    short = {name: value for name, value in EVENT.items() if name != "account_id"}
    (record,) = records(read({**short, "occurred_at": "2026-09-21T14:13:20Z"}, defaults=Defaults("acme")))
    assert (record["account_id"], record["occurred_at"]) == ("acme", EVENT["occurred_at"])
    assert pointers(read(short)) == ["/account_id"]


def test_cloud_events_in_their_three_modes() -> None:
    (one,) = records(read(CLOUD, STRUCTURED))
    assert (one["event_id"], one["account_id"], one["occurred_at"]) == ("/search#7", "acme", EVENT["occurred_at"])
    assert records(read([CLOUD, CLOUD], BATCH)) == [one, one]
    binary = {f"ce-{name}": str(value) for name, value in CLOUD.items() if name != "data"}
    assert records(read(CLOUD["data"], JSON, **binary)) == [one]
    assert records(read(CLOUD["data"], JSON, **{**binary, "ce-source": "%2Fsearch"})) == [one]
    (plain,) = records(read(CLOUD, STRUCTURED, Defaults(source_in_id=False)))
    assert plain["event_id"] == "7"
    (long,) = records(read({**CLOUD, "source": "s" * 200}, STRUCTURED))
    assert (long["event_id"][:3], len(long["event_id"])) == ("ce:", 67)


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({"specversion": "0.3"}, ["/specversion"]),
        ({"id": ""}, ["/id"]),
        ({"source": 5, "type": None}, ["/source", "/type"]),
        ({"data": [1]}, ["/data", "/data/endpoint", "/data/channel"]),
        ({"data_base64": "e30="}, ["/data_base64"]),
        ({"datacontenttype": "text/csv"}, ["/datacontenttype"]),
        ({"subject": ""}, ["/subject"]),
        ({"time": "yesterday"}, ["/time"]),
        ({"data": {**EVENT, "ip": "x"}}, ["/data/event_id", "/data/account_id", "/data/occurred_at", "/data/ip"]),
    ],
)
def test_mistakes_of_a_cloud_event_have_their_places(change: dict[str, Any], wanted: list[str]) -> None:
    assert pointers(read({**CLOUD, **change}, STRUCTURED)) == wanted
    assert pointers(read([CLOUD, {**CLOUD, **change}], BATCH), 1) == [f"/1{pointer}" for pointer in wanted]


def test_mistakes_of_a_binary_cloud_event_are_in_headers_or_the_body() -> None:
    binary = {f"ce-{name}": str(value) for name, value in CLOUD.items() if name not in {"data", "id"}}
    assert pointers(read({**EVENT, "ip": 1.5}, JSON, **binary)) == [
        "/ip", "/ce-id", "/event_id", "/account_id", "/occurred_at",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (b'"quantities": {"a": 1.0, "b": 2, "c": -1}', ["/quantities/a", "/quantities/c"]),
        (b'"quantities": {"a": NaN}', ["/quantities/a"]),
        (b'"quantities": {"a": 1e2}', ["/quantities/a"]),
        (b'"quantities": {"a": 9007199254740993}', ["/quantities/a"]),
        (b'"quantities": {"a": ' + b"9" * 5_000 + b"}", ["/quantities/a"]),
        (b'"quantities": {"a": true, "b": "1", "c": null}', ["/quantities/a", "/quantities/b", "/quantities/c"]),
        (b'"attributes": {"a": {"b": [1]}}', ["/attributes/a"]),
        (b'"attributes": {"a": "x", "a": "y"}', ["/attributes/a"]),
        (b'"attributes": {"a:b": "\\u003a", "a:b": ""}', ["/attributes/a:b"]),
        (b'"attributes": {"a/~b": 1}', ["/attributes/a~1~0b"]),
        (b'"attributes": {"a": "\\ud800"}', ["/attributes/a"]),
        (b'"attributes": {"\\udfff": "a"}', ["/attributes/\\udfff"]),
        (b'"ip": "nowhere", "domain": "x", "colour": 1', ["/ip", "/domain", "/colour"]),
        (b'"ip": "203.0.113.7", "ip": "203.0.113.8"', ["/ip"]),
        (b'"outcome": "fine", "keeps_hold": 0', ["/outcome", "/keeps_hold"]),
    ],
)
def test_every_mistake_has_its_place(text: bytes, wanted: list[str]) -> None:
    good = json.dumps(EVENT).encode()
    body = read(b"[" + good + b"," + good[:-1] + b", " + text + b"}]")
    assert not body.event(0).mistakes
    assert pointers(body, 1) == [f"/1{pointer}" for pointer in wanted]
    lines = read(good + b"\n" + good[:-1] + b", " + text + b"}\n", LINES)
    assert pointers(lines, 1) == [f"/1{pointer}" for pointer in wanted]


@pytest.mark.parametrize("document", [5, "text", None, True, [1], 1.5])
def test_what_is_no_object_is_no_event(document: Any) -> None:
    assert pointers(read([document])) in (["/0"], ["/0/0"])


@pytest.mark.parametrize(
    "text", [b"", b"{", b'{"a":', b"[1,]", b"{}x", b"nul", b'"\x00"', b"01", b"\xff", b'{"a" 1}', b"[" * 100_000]
)
def test_a_cut_or_damaged_body_is_refused_whole(text: bytes) -> None:
    assert problem(text).type.status == 400
    assert problem(text or b"{", STRUCTURED).type.status == 400
    if text:
        assert problem(json.dumps(EVENT).encode() + b"\n" + text, LINES).errors[0].pointer == "/1"


def test_the_body_s_type_has_to_be_known() -> None:
    for kind in ("text/plain", "", "application/xml", "application/json; charset=latin-1"):
        assert problem(EVENT, kind).type.status == 415
    assert len(read(EVENT, 'Application/JSON; charset="UTF-8"')) == 1
    assert problem(CLOUD, BATCH).type.status == 400


def test_too_many_events_and_too_many_values_are_refused() -> None:
    assert len(read([EVENT] * MOST_EVENTS)) == MOST_EVENTS
    assert problem([EVENT] * (MOST_EVENTS + 1)).type.status == 413
    assert problem(b"[" + b"{}," * MOST_VALUES + b"{}]").type.status == 413


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


@given(values, st.booleans())
def test_the_quick_way_is_certain_only_of_what_the_strict_way_takes(document: Any, ascii_only: bool) -> None:
    text = json.dumps(document, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    quick = read_quickly(text)
    if quick is None:
        return
    strict = read_strictly(text)
    wrong = [
        mistake for mistake in mistakes_in(strict, "") if "once" in mistake.detail or "surrogate" in mistake.detail
    ]
    assert not (quick.is_certain and wrong)
    if quick.is_certain and not mistakes_in(strict, ""):
        assert quick.document == strict


@given(st.lists(st.sampled_from(["a", ":", "b:", "\u003a"]), max_size=5), st.text(":\\u03aA", max_size=6))
def test_a_doubled_member_is_never_missed(names: list[str], text: str) -> None:
    members = ",".join(f"{json.dumps(name)}: {json.dumps(text)}" for name in names)
    for written in (members, members.replace(":", "\\u003a", 1) if names and ":" in names[0] else members):
        quick = read_quickly(f"[{{{written}}}]".encode())
        if quick is not None and len(set(names)) < len(names):
            assert not quick.is_certain


def test_a_number_of_any_length_is_read_and_refused() -> None:
    number = read_strictly(b"9" * 10_000)
    assert isinstance(number, BadNumber)
