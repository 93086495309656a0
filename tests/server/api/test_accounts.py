"""Where an account stands, over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

import pytest

from application.accounts.standing import period_of
from application.prices.price_list import AccountPlan
from streams import clock
from tests.server.api.reading_world import opened_reading_world
from tests.server.keys import ANN_OF_ACME, MEMBER_OF_ACME, OPERATOR, OWNER_OF_ACME, PRODUCER, PRODUCER_OF_ACME
from tests.server.world import ServerWorld

pytestmark = pytest.mark.slow

GROUP = {"group": "g", "processes": 1, "behind": 0, "began": True}
STATUS = {
    "code": "compiled",
    "bootstrap": "here:9092", "topic_prefix": "credits", "topics": {"credits.requests": 2}, "input": [],
    "rating": GROUP, "loading": GROUP, "delivering": GROUP, "books": None, "endpoints": [], "checkpoints": [],
    "loaded": None, "problems": [],
}  # fmt: skip


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerWorld]:
    with opened_reading_world(tmp_path_factory.mktemp("accounts"), load_usage=False) as (world, _):
        grant = {"account_id": "acme", "credit_type": "credit", "credits": 500, "grant_id": "g-1"}
        assert world.post("/v1/grants", grant | {"expires_at": "2199-01-01T00:00:00Z"}, key=OPERATOR).status == 200
        gone = grant | {"grant_id": "g-0", "granted_at": "2020-01-01T00:00:00Z", "expires_at": "2020-02-01T00:00:00Z"}
        assert world.post("/v1/grants", gone, key=OPERATOR).status == 200
        hold = {"event_id": "e-1", "account_id": "acme", "endpoint": "/v1/x", "channel": "api", "outcome": "processed"}
        for number, actor in enumerate(("ann", "bob")):
            event = hold | {"event_id": f"e-{number}", "ip": f"10.0.0.{number}", "actor": actor}
            answer = world.post("/v1/events?wait=decision", event | {"occurred_at": clock.now_ms()})
            assert answer.json["results"][0]["decision"]["status"] == "decided"
        refund = {"event_id": "e-0", "account_id": "acme", "refund_id": "r-1", "credits": 5}
        assert world.post("/v1/refunds", refund, key=OPERATOR).status == 200
        yield world


@pytest.mark.parametrize(
    ("key", "own", "other", "everyone", "info"),
    [
        (None, 401, 401, 401, 401), (MEMBER_OF_ACME, 200, 404, 403, 200), (ANN_OF_ACME, 200, 404, 403, 200),
        (OWNER_OF_ACME, 200, 404, 403, 200), (PRODUCER_OF_ACME, 403, 404, 403, 403), (PRODUCER, 403, 403, 403, 403),
        (OPERATOR, 200, 200, 200, 404),
    ],
)  # fmt: skip
def test_who_may_read_what(world: ServerWorld, key: str | None, own: int, other: int, everyone: int, info: int) -> None:
    targets = ["/v1/accounts/acme", "/v1/accounts/zenith", "/v1/accounts", "/account/info"]
    assert [world.ask("GET", target, key=key).status for target in targets] == [own, other, everyone, info]


def test_an_account_stands_where_the_log_says(world: ServerWorld) -> None:
    account = world.ask("GET", "/v1/accounts/self", key=MEMBER_OF_ACME).json
    assert account["credits"] == {
        "credit": {"balance": 465, "held": 0, "available": 465, "granted": 500, "used": 40, "refunded": 5}
    }
    assert [(grant["grant_id"], grant["expires_at"]) for grant in account["grants"]] == [
        ("g-1", "2199-01-01T00:00:00Z")
    ]
    assert (account["plan"], account["on_empty"], account["alert_below"]) == (None, "allow", {})
    assert account["period"]["start"].endswith("-01T00:00:00Z")


def test_a_member_with_an_actor_sees_their_own_use(world: ServerWorld) -> None:
    credit = world.ask("GET", "/v1/accounts/self", key=ANN_OF_ACME).json["credits"]["credit"]
    assert (credit["used"], credit["refunded"], credit["available"]) == (20, 5, 465)


def test_status_is_for_operators(world: ServerWorld) -> None:
    assert world.ask("GET", "/v1/status", key=MEMBER_OF_ACME).status == 403
    assert world.ask("GET", "/v1/status", key=OPERATOR).status == 503
    reads = world.parts.reads
    assert reads is not None
    world.parts.reads = replace(reads, status=lambda: STATUS)
    try:
        assert world.ask("GET", "/v1/status", key=OPERATOR).json == STATUS
    finally:
        world.parts.reads = reads


def test_account_info_is_exactly_that(world: ServerWorld) -> None:
    assert world.ask("GET", "/account/info", key=MEMBER_OF_ACME).body == b'{"credits":465,"webhooks":[]}'
    reads = world.parts.reads
    assert reads is not None
    world.parts.reads = replace(reads, primary_credit_type="email")
    try:
        assert world.ask("GET", "/account/info", key=MEMBER_OF_ACME).json == {"credits": 0, "webhooks": []}
    finally:
        world.parts.reads = reads


def test_an_account_without_commands_stands_at_nothing(world: ServerWorld) -> None:
    account = world.ask("GET", "/v1/accounts/nobody", key=OPERATOR).json
    assert (account["credits"], account["grants"]) == ({}, [])


def test_accounts_are_listed_by_name(world: ServerWorld) -> None:
    for name in ("beta", "ALPHA"):
        grant = {"account_id": name, "credit_type": "credit", "credits": 1, "grant_id": "g"}
        assert world.post("/v1/grants", grant, key=OPERATOR).status == 200
    listed = world.ask("GET", "/v1/accounts", key=OPERATOR).json["accounts"]
    assert [(account["account_id"], account["balances"]) for account in listed] == [
        ("ALPHA", {"credit": 1}), ("acme", {"credit": 465}), ("beta", {"credit": 1}),
    ]  # fmt: skip
    page = world.ask("GET", "/v1/accounts?limit=2&after=ALPHA", key=OPERATOR).json
    assert ([account["account_id"] for account in page["accounts"]], page["next"]) == (["acme", "beta"], "beta")
    assert world.ask("GET", "/v1/accounts?search=alp", key=OPERATOR).json["accounts"][0]["account_id"] == "ALPHA"
    assert world.ask("GET", "/v1/accounts?search=%27%20OR%201", key=OPERATOR).json["accounts"] == []
    assert world.ask("GET", "/v1/accounts?limit=0", key=OPERATOR).status == 400


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


@pytest.mark.parametrize(
    ("at", "began", "start", "end"),
    [
        ("2026-03-15T12:00Z", None, "2026-03-01T00:00Z", "2026-04-01T00:00Z"),
        ("2026-03-15T12:00Z", "2026-01-31T10:00Z", "2026-02-28T10:00Z", "2026-03-31T10:00Z"),
        ("2026-03-31T10:00Z", "2026-01-31T10:00Z", "2026-03-31T10:00Z", "2026-04-30T10:00Z"),
        ("2026-12-31T23:00Z", "2025-06-15T00:00Z", "2026-12-15T00:00Z", "2027-01-15T00:00Z"),
        ("2026-12-14T23:00Z", "2027-01-01T00:00Z", "2026-12-01T00:00Z", "2027-01-01T00:00Z"),
    ],
)
def test_the_period_is_the_plan_s_month(at: str, began: str | None, start: str, end: str) -> None:
    plan = None if began is None else AccountPlan("pro", ms(began), None)
    assert period_of(ms(at), plan) == (ms(start), ms(end))
