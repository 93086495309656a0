"""An event explained from its rows; prices and rate limits of an account and of everybody."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date

import pytest

from sinks.sink import Sink
from tests.application.usage.conftest import UsageLog
from tests.server.api.reading_world import opened_reading_world
from tests.server.keys import ANN_OF_ACME, MEMBER_OF_ACME, OPERATOR, OWNER_OF_ACME, PRODUCER, PRODUCER_OF_ACME
from tests.server.world import ServerWorld

pytestmark = pytest.mark.slow

EVENT = "/v1/accounts/{}/events/{}"


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ServerWorld, UsageLog]]:
    with opened_reading_world(tmp_path_factory.mktemp("reads")) as opened:
        yield opened


@pytest.fixture
def world(opened: tuple[ServerWorld, UsageLog]) -> ServerWorld:
    return opened[0]


@pytest.fixture
def log(opened: tuple[ServerWorld, UsageLog]) -> UsageLog:
    return opened[1]


def line_of(log: UsageLog, account: str, **wanted: object) -> dict[str, object]:
    return next(
        line for line in log.rows("events", account) if all(line[name] == value for name, value in wanted.items())
    )


@pytest.mark.parametrize(
    ("key", "own", "other", "prices"),
    [
        (None, 401, 401, 401), (MEMBER_OF_ACME, 200, 404, 200), (OWNER_OF_ACME, 200, 404, 200),
        (PRODUCER_OF_ACME, 403, 404, 403), (PRODUCER, 403, 403, 403), (OPERATOR, 200, 200, 200),
    ],
)  # fmt: skip
def test_who_may_read_what(
    world: ServerWorld, log: UsageLog, key: str | None, own: int, other: int, prices: int
) -> None:
    mine, theirs = line_of(log, "acme")["event_id"], line_of(log, "zenith")["event_id"]
    assert world.ask("GET", EVENT.format("acme", mine), key=key).status == own
    assert world.ask("GET", EVENT.format("zenith", theirs), key=key).status == other
    for path in ("prices", "rate-limits"):
        assert world.ask("GET", f"/v1/accounts/acme/{path}", key=key).status == prices
        assert world.ask("GET", f"/v1/accounts/zenith/{path}", key=key).status == other


def test_another_s_event_is_not_there(world: ServerWorld, log: UsageLog) -> None:
    theirs = line_of(log, "zenith")["event_id"]
    assert world.ask("GET", EVENT.format("self", theirs), key=MEMBER_OF_ACME).status == 404
    of_bob, of_ann = line_of(log, "acme", actor="bob")["event_id"], line_of(log, "acme", actor="ann")["event_id"]
    assert world.ask("GET", EVENT.format("self", of_bob), key=ANN_OF_ACME).status == 404
    assert world.ask("GET", EVENT.format("self", of_ann), key=ANN_OF_ACME).status == 200
    for odd in ("'%20OR%20'1'='1", "%2e%2e", "~", "a%2Fb", "%00"):
        assert world.ask("GET", EVENT.format("self", odd), key=MEMBER_OF_ACME).status == 404


def test_a_charge_is_explained_in_sentences(world: ServerWorld, log: UsageLog) -> None:
    line = line_of(log, "acme", decision="charged", charge="lookup")
    told = world.ask("GET", EVENT.format("acme", line["event_id"]), key=OPERATOR).json
    text = "\n".join(told["sentences"])
    assert told["credits"]["credit"] >= 20
    assert told["lines"][line["line"]]["credits"] == 20
    assert "lookup (Identification: IP lookup): charged 20 credits." in text
    assert "Price version v1 applies: it was in force, since 2020-01-01T00:00:00Z, when the event occurred." in text
    assert f"this event has paid for ip {line['ip']}, so that others are free until" in text
    assert f"{line['balance_after']:,} credits after it" in text


def test_a_repeat_a_refund_and_a_failure_are_explained(world: ServerWorld, log: UsageLog) -> None:
    free = line_of(log, "acme", decision="duplicate")
    text = "\n".join(world.ask("GET", EVENT.format("acme", free["event_id"]), key=OPERATOR).json["sentences"])
    assert f"Event {free['owner_event_id']} has paid for it: others are free until" in text
    refund = next(refund for refund in log.rows("refunds", "acme") if refund["status"] == "refunded")
    told = world.ask("GET", EVENT.format("acme", refund["event_id"]), key=OPERATOR).json
    assert any(f"Refund {refund['refund_id']} at" in sentence for sentence in told["sentences"])
    assert sum(told["refunded"].values()) >= refund["credits"]
    failed = line_of(log, "acme", decision="not_billable")
    text = "\n".join(world.ask("GET", EVENT.format("acme", failed["event_id"]), key=OPERATOR).json["sentences"])
    assert f"Its outcome was {failed['outcome']}; only processed requests are charged." in text


def test_an_event_that_was_set_aside_is_told(world: ServerWorld) -> None:
    sink = world.parts.reads.usage.store._sink  # type: ignore[union-attr]
    set_aside(sink, "acme", "aside")
    told = world.ask("GET", EVENT.format("self", "aside"), key=MEMBER_OF_ACME).json
    assert [letter["reason"] for letter in told["dead_letters"]] == ["too_late"]
    assert "set aside at 2026-01-01T00:00:00Z as too_late: it came late" in told["sentences"][0]
    assert world.ask("GET", EVENT.format("self", "aside"), key=ANN_OF_ACME).status == 404
    assert world.ask("GET", EVENT.format("zenith", "aside"), key=OPERATOR).status == 404


def set_aside(sink: Sink, account_id: str, event_id: str) -> None:
    sink.insert(
        "dead_letter_rows",
        {
            "day": [date(2026, 1, 1)], "recorded_at": [1_767_225_600_000], "reason": ["too_late"],
            "field": [None], "detail": ["it came late"], "command": ["request"], "account_id": [account_id],
            "id": [event_id], "index": [0], "producer": [None], "size": [1], "original": ["x"], "source_partition": [0],
            "source_offset": [1], "position": [0], "version": [1],
        },
    )  # fmt: skip


def test_prices_in_force_and_announced(world: ServerWorld) -> None:
    prices = world.ask("GET", "/v1/accounts/self/prices", key=MEMBER_OF_ACME).json
    assert (prices["version"]["version"], prices["plan"], prices["locked_since"]) == ("v1", None, None)
    assert [charge["charge"] for charge in prices["charges"]] == ["lookup", "page", "mail", "ping"]
    assert prices["free_endpoints"] == ["/v1/ping"]
    (announced,) = prices["announced"]
    assert (announced["version"], announced["effective_from"], announced["applies"]) == (
        "dearer", "2999-01-01T00:00:00Z", True,
    )  # fmt: skip
    changed = {(change["kind"], change["charge"], change["field"]) for change in announced["changes"]}
    assert changed == {
        ("changed", "lookup", "credits"), ("removed", "page", None), ("removed", "mail", None),
        ("removed", "ping", None),
    }  # fmt: skip


def test_a_plan_keeps_its_prices_and_has_its_own(world: ServerWorld) -> None:
    settings = b'{"update_id": "u", "on_empty": "allow", "plan": {"name": "pro", "started_at": "2026-01-01T00:00:00Z"}}'
    assert world.ask("PUT", "/v1/accounts/zenith/settings", settings, key=OPERATOR).status == 200
    prices = world.ask("GET", "/v1/accounts/zenith/prices", key=OPERATOR).json
    assert (prices["plan"], prices["locked_since"]) == ("pro", "2026-01-01T00:00:00Z")
    page = next(charge for charge in prices["charges"] if charge["charge"] == "page")
    assert (page["credits"], "plans" in page) == (1, False)
    assert [announced["applies"] for announced in prices["announced"]] == [False]
    (limit,) = world.ask("GET", "/v1/accounts/zenith/rate-limits", key=OPERATOR).json["rate_limits"]
    assert (limit["name"], limit["requests"], limit["window"], limit["used"]) == ("search", 600, "1m", None)


def test_prices_are_public_only_where_they_are_meant_to_be(world: ServerWorld) -> None:
    assert world.ask("GET", "/v1/prices").status == 404
    reads = world.parts.reads
    assert reads is not None
    world.parts.reads = replace(reads, public_prices=True)
    try:
        prices = world.ask("GET", "/v1/prices").json
        page = next(charge for charge in prices["charges"] if charge["charge"] == "page")
        assert (page["credits"], page["plans"]) == (2, {"pro": 1})
    finally:
        world.parts.reads = reads
