"""Usage over HTTP: who may read whose, the three formats, and what is wrong with a question."""

from __future__ import annotations

import csv
import io
import json
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from typing import Any

import pytest

from application.access.access import opened_access
from application.access.authors import local_author
from application.access.members import put_member
from application.usage.export import Export, RowsMissing
from server.api.usage_text import csv_line
from tests.application.contract import wait_until
from tests.application.usage.conftest import UsageLog
from tests.server.api.reading_world import opened_reading_world
from tests.server.keys import ANN_OF_ACME, MEMBER_OF_ACME, OPERATOR, OWNER_OF_ACME, PRODUCER, PRODUCER_OF_ACME
from tests.server.world import ServerWorld

pytestmark = pytest.mark.slow

USAGE = "/v1/accounts/{}/usage"
SUMS = "/v1/accounts/{}/usage/query"


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ServerWorld, UsageLog]]:
    with opened_reading_world(tmp_path_factory.mktemp("usage")) as opened:
        yield opened


@pytest.fixture
def world(opened: tuple[ServerWorld, UsageLog]) -> ServerWorld:
    return opened[0]


@pytest.fixture
def log(opened: tuple[ServerWorld, UsageLog]) -> UsageLog:
    return opened[1]


@pytest.mark.parametrize(
    ("key", "own", "other", "everyone"),
    [
        (None, 401, 401, 401), ("wrong", 401, 401, 401), (MEMBER_OF_ACME, 200, 404, 403), (ANN_OF_ACME, 200, 404, 403),
        (OWNER_OF_ACME, 200, 404, 403), (PRODUCER_OF_ACME, 403, 404, 403), (PRODUCER, 403, 403, 403),
        (OPERATOR, 200, 200, 200),
    ],
)  # fmt: skip
def test_who_may_read_what(world: ServerWorld, key: str | None, own: int, other: int, everyone: int) -> None:
    for method, path, body in (("GET", USAGE, b""), ("POST", SUMS, b"{}")):
        assert world.ask(method, path.format("acme"), body, key=key).status == own
        assert world.ask(method, path.format("zenith"), body, key=key).status == other
    for method, path, body in (("GET", "/v1/usage", b""), ("POST", "/v1/usage/query", b"{}")):
        assert world.ask(method, path, body, key=key).status == everyone


def coded(name: str) -> str:
    return "~" + urlsafe_b64encode(name.encode()).decode().rstrip("=")


@pytest.mark.parametrize("accept", ["application/json", "application/x-ndjson", "text/csv"])
def test_nothing_of_another_account_is_in_any_answer(world: ServerWorld, log: UsageLog, accept: str) -> None:
    foreign = {line["event_id"] for line in log.rows("events", None) if line["account_id"] != "acme"}
    paths = [
        "self",
        "acme",
        coded("acme"),
        "acme%2Fkeys",
        "zenith",
        coded("zenith"),
        coded("self"),
        "o'brien",
        "%2e%2e",
    ]
    filters = ["", "?refunds=true", "?event_id=" + "&event_id=".join(sorted(foreign)[:50]), "?text=e", "?actor=bob"]
    for path in paths:
        for more in filters:
            answer = world.ask("GET", USAGE.format(path) + more, key=MEMBER_OF_ACME, headers={"accept": accept})
            assert answer.status == (200 if path in {"self", "acme", coded("acme")} else 404)
            text = answer.body.decode()
            assert not [event_id for event_id in foreign if f'"{event_id}"' in text]


def test_a_member_with_an_actor_sees_only_their_own(world: ServerWorld, log: UsageLog) -> None:
    own = [line for line in log.rows("events", "acme") if line["actor"] == "ann"]
    rows = world.ask("GET", USAGE.format("self") + "?limit=1000&refunds=true", key=ANN_OF_ACME).json["rows"]
    assert {row["actor"] for row in rows} == {"ann"}
    assert sum(row["kind"] == "line" for row in rows) == len(own)
    assert world.ask("GET", USAGE.format("self") + "?actor=bob", key=ANN_OF_ACME).status == 403
    assert world.ask("GET", USAGE.format("self") + "?actor=ann&actor=bob", key=ANN_OF_ACME).status == 403
    asked = {"filters": {"actor": ["bob"]}}
    assert world.post(SUMS.format("self"), asked, key=ANN_OF_ACME).status == 403
    sums = world.post(SUMS.format("self"), {"group_by": ["actor"], "measures": ["lines"]}, key=ANN_OF_ACME).json
    assert [(cell["group"], cell["lines"]) for cell in sums["cells"]] == [({"actor": "ann"}, len(own))]
    for accept in ("text/csv", "application/x-ndjson"):
        text = world.ask("GET", USAGE.format("self"), key=ANN_OF_ACME, headers={"accept": accept}).body.decode()
        assert "bob" not in text


def test_people_are_shown_by_their_names(world: ServerWorld) -> None:
    with opened_access(world.pipeline, None) as access:
        put_member(access, local_author("ops", "host"), "acme", "ann", "Ann Lee")
        world.parts.access = access
        try:
            rows = world.ask("GET", USAGE.format("self") + "?limit=1000", key=MEMBER_OF_ACME).json["rows"]
        finally:
            world.parts.access = None
    assert {(row["actor"], row["user"]) for row in rows} == {
        ("ann", "Ann Lee"), ("bob", "bob"), ("o'neil", "o'neil"), (None, None),
    }  # fmt: skip


def test_a_cursor_of_one_account_opens_no_other(world: ServerWorld) -> None:
    mine = world.ask("GET", USAGE.format("acme") + "?limit=2", key=OPERATOR).json["next"]
    assert world.ask("GET", USAGE.format("self") + f"?limit=2&cursor={mine}", key=MEMBER_OF_ACME).status == 200
    for path, key in (("zenith", OPERATOR), ("self", ANN_OF_ACME)):
        answer = world.ask("GET", USAGE.format(path) + f"?limit=2&cursor={mine}", key=key)
        assert (answer.status, answer.json["errors"][0]["pointer"]) == (400, "cursor")
    assert world.ask("GET", f"/v1/usage?cursor={mine}", key=OPERATOR).status == 400


def test_pages_ndjson_and_csv_say_the_same(world: ServerWorld) -> None:
    rows: list[dict[str, Any]] = []
    cursor = ""
    while cursor is not None:
        page = world.ask("GET", USAGE.format("acme") + f"?refunds=true&limit=25{cursor}", key=OPERATOR).json
        rows += page["rows"]
        cursor = f"&cursor={page['next']}" if page["next"] else None
    target = USAGE.format("acme") + "?refunds=true"
    streamed = world.ask("GET", target, key=OPERATOR, headers={"accept": "application/x-ndjson"})
    lines = [json.loads(line) for line in streamed.body.splitlines()]
    assert lines == [*rows, {"end": True, "rows": len(rows)}]
    table = world.ask("GET", target, key=OPERATOR, headers={"accept": "text/csv"})
    cells = list(csv.DictReader(io.StringIO(table.body.decode(), newline="")))
    assert [(cell["date"], cell["event_id"], cell["credits"]) for cell in cells] == [
        (row["date"], row["event_id"], str(row["credits"])) for row in rows
    ]
    assert list(cells[0]) == list(rows[0])
    for answer in (streamed, table):
        assert answer.headers["creditmeter-rows"] == str(len(rows))
        assert answer.headers["creditmeter-as-of"] == page["as_of"]
    assert world.ask("GET", target + f"&since={page['as_of']}", key=OPERATOR).json["rows"] == []


def test_a_text_that_would_be_a_formula_gets_an_apostrophe_and_a_number_never() -> None:
    cells = ["=1+1", "+1", "-1", "@a", "\ta", "\ra", "a=1", 'say "x"', -5, None, {"a": 1}]
    assert csv_line(cells).decode() == (
        '"\'=1+1","\'+1","\'-1","\'@a","\'\ta","\'\ra","a=1","say ""x""",-5,,"{""a"":1}"\r\n'
    )


def test_an_answer_that_misses_rows_is_cut(world: ServerWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Export, "blocks", lambda _self: iter(_failing()))
    with pytest.raises(RowsMissing):
        world.ask("GET", USAGE.format("acme"), key=OPERATOR, headers={"accept": "application/x-ndjson"})


def _failing() -> Iterator[list[Any]]:
    yield []
    raise RowsMissing("1 rows came, 2 were counted")


@pytest.mark.parametrize(
    ("query", "pointers"),
    [
        ("from=yesterday&to=x", ["from", "to"]), ("from=2026-02-01T00:00:00Z&to=2026-01-01T00:00:00Z", ["to"]),
        ("limit=0", ["limit"]), ("limit=1001", ["limit"]), ("limit=-1&refunds=yes", ["refunds", "limit"]),
        ("cursor=x", ["cursor"]), ("since=x", ["since"]), ("since=99999999.1.1", ["since"]), ("colour=red", ["colour"]),
        ("from=1", ["from"]), ("text=a&text=b", ["text"]), ("actor=" + "x" * 1_025, ["actor"]),
        ("&".join(["actor=x"] * 101), ["actor"]),
    ],
)  # fmt: skip
def test_wrong_parameters_are_named(world: ServerWorld, query: str, pointers: list[str]) -> None:
    answer = world.ask("GET", USAGE.format("acme") + "?" + query, key=OPERATOR)
    assert (answer.status, [error["pointer"] for error in answer.json["errors"]]) == (400, pointers)


@pytest.mark.parametrize("parameter", ["actor", "feature", "event_id", "subject", "text", "request_id", "endpoint"])
def test_sql_in_any_parameter_is_a_value(world: ServerWorld, parameter: str) -> None:
    from urllib.parse import quote

    for text in ("' OR '1'='1", "'; DROP TABLE billed_rows; --", "{p0:String}", "\\", "*/ --"):
        answer = world.ask("GET", USAGE.format("acme") + f"?{parameter}={quote(text)}", key=OPERATOR)
        assert (answer.status, answer.json["rows"]) == (200, [])
    assert world.ask("GET", USAGE.format(quote("' OR '1'='1")), key=OPERATOR).json["rows"] == []


def test_sums_by_month_as_json_and_csv(world: ServerWorld, log: UsageLog) -> None:
    asked = {
        "from": "2026-01-01T00:00:00Z", "to": "2027-01-01T00:00:00Z", "granularity": "P1M",
        "time_zone": "Europe/Berlin",
        "group_by": ["credit_type"], "measures": ["credits", "events", "success_rate"],
    }  # fmt: skip
    answer = world.post(SUMS.format("self"), asked, key=MEMBER_OF_ACME).json
    lines = log.rows("events", "acme")
    assert sum(cell["credits"] for cell in answer["cells"]) == sum(line["credits"] for line in lines)
    assert answer["cells"][0]["start"] == "2026-01-01T00:00:00Z"
    assert {cell["start"] for cell in answer["cells"]} > {"2026-01-31T23:00:00Z", "2026-03-31T22:00:00Z"}
    rate = max(answer["cells"], key=lambda cell: cell["events"])["success_rate"]
    assert 0 < rate["numerator"] <= rate["denominator"]
    table = world.post(SUMS.format("self"), asked, key=MEMBER_OF_ACME, headers={"accept": "text/csv"}).body.decode()
    cells = list(csv.DictReader(io.StringIO(table)))
    assert [cell["credits"] for cell in cells] == [str(cell["credits"]) for cell in answer["cells"]]
    assert list(cells[0]) == ["start", "end", "credit_type", "credits", "events", "success_rate", "success_rate_events"]


@pytest.mark.parametrize(
    ("body", "status", "pointers"),
    [
        (b"[]", 422, [""]), (b"{", 400, None), (b'{"from": 1.5}', 422, ["/from"]), (b'{"to": NaN}', 422, ["/to"]),
        (b'{"granularity": "P2D", "measures": ["money"]}', 422, ["/granularity", "/measures"]),
        (b'{"granularity": "P1D"}', 400, ["/from", "/to"]), (b'{"group_by": ["credits"]}', 400, ["/group_by"]),
        (b'{"filters": {"actor": 5, "colour": "red"}, "x": 1}', 422, ["/filters/actor", "/x", "/filters/colour"]),
        (b'{"filters": {"actor": ["' + b"x" * 1_025 + b'"]}}', 400, ["/filters/actor"]),
        (b'{"time_zone": "Mars/Base"}', 400, ["/time_zone"]), (b'{"filters": 1}', 422, ["/filters"]),
        (b'{"from": 1767225600000, "to": 1798761600000, "granularity": "PT1M"}', 400, ["/granularity"]),
        (b'{"a": 1, "a": 2}', 422, ["/a"]),
    ],
)  # fmt: skip
def test_wrong_questions_are_named(world: ServerWorld, body: bytes, status: int, pointers: list[str] | None) -> None:
    answer = world.post(SUMS.format("acme"), body, key=OPERATOR)
    assert answer.status == status
    if pointers is not None:
        assert [error["pointer"] for error in answer.json["errors"]] == pointers


def test_readiness_asks_for_the_store_where_reads_are_meant(world: ServerWorld) -> None:
    wait_until(lambda: world.ask("GET", "/health/ready?for=reads").status == 200, "reads are not ready")


def test_without_a_store_reads_are_503(world: ServerWorld) -> None:
    reads, world.parts.reads = world.parts.reads, None
    try:
        assert world.ask("GET", USAGE.format("acme"), key=OPERATOR).status == 503
    finally:
        world.parts.reads = reads
