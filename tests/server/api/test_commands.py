"""What operators do: grants, refunds, settings, dead letters. Each is answered with the log's decision."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from server.api.paths import segment_of
from streams import clock
from tests.application.contract import wait_until
from tests.server.api.reading_world import opened_reading_world
from tests.server.keys import ANN_OF_ACME, MEMBER_OF_ACME, OPERATOR, OWNER_OF_ACME, PRODUCER, PRODUCER_OF_ACME
from tests.server.world import ServerWorld

pytestmark = pytest.mark.slow

GRANT = {"account_id": "acme", "credit_type": "credit", "credits": 500, "reason": "welcome"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerWorld]:
    with opened_reading_world(tmp_path_factory.mktemp("commands")) as (world, _):
        yield world


def put(world: ServerWorld, target: str, document: dict[str, Any], **options: Any) -> Any:
    import json

    body = json.dumps(document).encode()
    return world.ask("PUT", target, body, headers={"content-type": "application/json"}, **{"key": OPERATOR, **options})


@pytest.mark.parametrize("key", [None, MEMBER_OF_ACME, OWNER_OF_ACME, ANN_OF_ACME, PRODUCER, PRODUCER_OF_ACME], ids=str)
def test_only_operators_may(world: ServerWorld, key: str | None) -> None:
    status = 401 if key is None else 403
    targets = [
        ("POST", "/v1/grants"), ("POST", "/v1/refunds"), ("GET", "/v1/dead-letters"),
        ("POST", "/v1/dead-letters/0@1/replay"), ("PUT", "/v1/accounts/acme/settings"),
    ]  # fmt: skip
    for method, target in targets:
        assert world.ask(method, target, b"{}", key=key).status == status


def test_a_grant_is_decided_and_a_repeat_gets_the_first_answer(world: ServerWorld) -> None:
    made = world.post("/v1/grants", GRANT, key=OPERATOR, headers={"idempotency-key": "g-1"}).json
    assert (made["status"], made["id"], made["outputs"][0]["balance_after"]) == ("applied", "g-1", 500)
    again = world.post("/v1/grants", GRANT | {"grant_id": "g-1"}, key=OPERATOR).json
    assert (again["status"], again["outputs"], int(again["first"][0]["credits"])) == ("repeated", [], 500)
    other = world.post("/v1/grants", GRANT | {"credits": 501}, key=OPERATOR, headers={"idempotency-key": "g-1"})
    assert (other.status, "credits 501 instead of 500" in other.json["detail"]) == (409, True)


@pytest.mark.parametrize(
    ("document", "pointers"),
    [
        (GRANT, ["/grant_id"]), ({"grant_id": "x"}, ["/account_id", "/credit_type", "/credits"]),
        (GRANT | {"grant_id": "x", "credits": 1.5}, ["/credits"]),
        (GRANT | {"grant_id": "x", "credits": 0}, ["/credits"]), (GRANT | {"grant_id": "x", "colour": 1}, ["/colour"]),
        (GRANT | {"grant_id": "x", "expires_at": "soon"}, ["/expires_at"]),
        (GRANT | {"grant_id": 5}, ["/grant_id", "/grant_id"]),
        (GRANT | {"grant_id": "refund:x"}, ["/grant_id"]),
    ],
)  # fmt: skip
def test_a_wrong_grant_is_not_sent(world: ServerWorld, document: dict[str, Any], pointers: list[str]) -> None:
    before = [world.pipeline.input_log.bounds(partition) for partition in range(world.pipeline.partitions)]
    answer = world.post("/v1/grants", document, key=OPERATOR)
    assert (answer.status, [error["pointer"] for error in answer.json["errors"]]) == (422, pointers)
    assert before == [world.pipeline.input_log.bounds(partition) for partition in range(world.pipeline.partitions)]


def test_a_grant_that_the_log_sets_aside_is_told(world: ServerWorld) -> None:
    late = GRANT | {"grant_id": "future", "granted_at": clock.now_ms() + 10_000_000}
    answer = world.post("/v1/grants", late, key=OPERATOR)
    assert (answer.status, "in_future" in answer.json["errors"][0]["detail"]) == (422, True)


def test_a_refund_is_rehearsed_made_repeated_and_rejected(world: ServerWorld) -> None:
    sent = {"event_id": "ref-1", "account_id": "payer", "endpoint": "/v1/x", "channel": "api", "ip": "10.1.1.1"}
    event = sent | {"occurred_at": clock.now_ms(), "outcome": "processed"}
    assert world.post("/v1/events", event).status == 200
    order = {"event_id": "ref-1", "account_id": "payer", "reason": "no result"}
    rehearsal = order | {"dry_run": True}
    wait_until(lambda: world.post("/v1/refunds", rehearsal, key=OPERATOR).status == 200, "its line is not loaded")
    dry = world.post("/v1/refunds", rehearsal, key=OPERATOR).json
    assert (dry["dry_run"], dry["refunds"][0]["status"], dry["refunds"][0]["outputs"][0]["credits"]) == (
        True, "refunded", 20,
    )  # fmt: skip
    assert world.post("/v1/refunds", order, key=OPERATOR).json["errors"][0]["pointer"] == "/refund_id"
    made = world.post("/v1/refunds", order | {"refund_id": "re-1"}, key=OPERATOR).json
    assert (made["refunds"][0]["status"], made["refunds"][0]["outputs"][0]["credits"]) == ("refunded", 20)
    again = world.post("/v1/refunds", order | {"refund_id": "re-1"}, key=OPERATOR).json
    assert again["refunds"][0]["status"] == "repeated"
    other = world.post("/v1/refunds", order | {"refund_id": "re-1", "credits": 1}, key=OPERATOR)
    assert other.status == 409
    rejected = world.post("/v1/refunds", order | {"refund_id": "re-2"}, key=OPERATOR).json
    assert rejected["refunds"][0]["status"] == "rejected"
    both = world.post("/v1/refunds", order | {"refund_id": "re-3", "request_id": "r"}, key=OPERATOR)
    assert (both.status, both.json["errors"][0]["pointer"]) == (422, "/event_id")


def test_settings_are_replaced_as_a_whole(world: ServerWorld) -> None:
    target = "/v1/accounts/settled/settings"
    settings = {"on_empty": "reject", "alert_below": {"credit": 100}, "update_id": "u-1"}
    made = put(world, target, settings | {"plan": {"name": "pro", "started_at": "2026-01-01T00:00:00Z"}}).json
    assert (made["status"], made["outputs"][0]["on_empty"]) == ("applied", "reject")
    assert put(world, target, settings).status == 409
    again = put(world, target, settings | {"plan": {"name": "pro", "started_at": 1_767_225_600_000}}).json
    assert again["status"] == "repeated"
    for wrong, pointer in (
        ({"update_id": "u-2"}, "/on_empty"), ({"on_empty": "allow"}, "/update_id"),
        ({"update_id": "u-2", "on_empty": "perhaps"}, "/on_empty"),
        ({"update_id": "u-2", "on_empty": "allow", "plan": {"nam": "x"}}, "/plan/nam"),
        ({"update_id": "u-2", "on_empty": "allow", "alert_below": {"credit": "x"}}, "/alert_below"),
    ):  # fmt: skip
        answer = put(world, target, wrong)
        assert answer.status == 422
        assert pointer in {error["pointer"] for error in answer.json["errors"]}


def test_a_dead_letter_is_listed_and_sent_again(world: ServerWorld) -> None:
    event = {
        "event_id": "early", "account_id": "lettered", "occurred_at": clock.now_ms() + 10_000_000, "endpoint": "/v1/x",
        "channel": "api", "outcome": "processed", "ip": "10.1.1.1",
    }  # fmt: skip
    assert world.post("/v1/events", event).status == 200
    mine = "/v1/dead-letters?account=lettered"
    wait_until(lambda: bool(world.ask("GET", mine, key=OPERATOR).json["dead_letters"]), "no dead letter is listed")
    (letter,) = world.ask("GET", mine, key=OPERATOR).json["dead_letters"]
    assert (letter["reason"], letter["id"]) == ("in_future", "early")
    replay = world.ask("POST", f"/v1/dead-letters/{segment_of(letter['place'])}/replay", key=OPERATOR).json
    assert (replay["outcome"], replay["of"]) == ("dead_letter", letter["place"])
    assert world.ask("POST", "/v1/dead-letters/0@99999/replay", key=OPERATOR).status == 404
    assert world.ask("POST", "/v1/dead-letters/nowhere/replay", key=OPERATOR).status == 422
    first = world.ask("GET", "/v1/dead-letters?limit=1", key=OPERATOR).json
    rest = world.ask("GET", f"/v1/dead-letters?limit=1&before={first['next']}", key=OPERATOR).json
    assert first["dead_letters"] != rest["dead_letters"]
    for wrong in ("limit=0", "limit=x", "colour=red"):
        assert world.ask("GET", f"/v1/dead-letters?{wrong}", key=OPERATOR).status == 400
    assert world.ask("GET", "/v1/dead-letters?before='x'", key=OPERATOR).status == 400
    assert world.ask("GET", "/v1/dead-letters?account=%27%20OR%20%271%27=%271", key=OPERATOR).json["dead_letters"] == []
