"""What the API does with events, receipts and holds, whatever the pipeline under it: in memory and on real Kafka.

Each test has accounts of its own, so that a pipeline may be shared by all of them.
"""

from __future__ import annotations

import gzip
import json
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Any

import pytest
import zstandard

from application.commands.account_settings import SettingsChange, change_settings
from application.commands.grants import GrantOrder, grant_credits
from application.errors import Failed
from application.ingest.receipts import Receipt
from metering.windows import format_instant
from streams import clock
from streams.log.event_sender import value_digest
from tests.application.contract import wait_until
from tests.server.asgi_client import Answer
from tests.server.keys import MEMBER_OF_ACME, OPERATOR, OWNER_OF_ACME, PRODUCER, PRODUCER_OF_ACME
from tests.server.world import ServerWorld

BOOK = """\
price_lock: none
versions:
  - version: "2026-01"
    effective_from: 2026-01-01T00:00:00Z
    charges:
      - charge: ip-lookup
        when: {endpoint: /v1/ip-lookup}
        credits: 20
        unique: {by: [ip], within: 24h}
      - charge: records
        when: {endpoint: /v1/search}
        per: results
        credits: 2
"""
SECONDS = 30.0


@dataclass
class ApiWorld:
    """A server whose pipeline has `BOOK` in force. `settle` returns when all that was sent is decided and loaded.

    `stopped_worker` is a block in which nothing is decided, `stopped_loader` one in which nothing is loaded.
    """

    server: ServerWorld
    settle: Callable[[], None]
    stopped_worker: Callable[[], Any]
    stopped_loader: Callable[[], Any]


def wait_until_known(book: Callable[[], object]) -> None:
    """Return when the price book is followed, which begins with the world."""

    def is_known() -> bool:
        try:
            book()
        except Failed:
            return False
        return True

    wait_until(is_known, "the price book is not known")


def account() -> str:
    return f"acct-{uuid.uuid4().hex[:8]}"


def event(account_id: str, event_id: str = "e-1", **fields: Any) -> dict[str, Any]:
    return {
        "event_id": event_id, "account_id": account_id, "occurred_at": clock.now_ms(), "endpoint": "/v1/ip-lookup",
        "channel": "api", "ip": "203.0.113.7", **fields,
    }  # fmt: skip


def patiently(ask: Callable[[], Answer]) -> Answer:
    """An answer of the store, asked for again where a busy machine took longer for it than a customer's read may."""
    deadline = time.monotonic() + SECONDS
    while "takes too much" in (answer := ask()).json.get("detail", ""):
        assert time.monotonic() < deadline, answer.body
    return answer


def decisions(answer: Answer) -> list[dict[str, Any]]:
    assert answer.status == 200, answer.body
    return [result["decision"] for result in answer.json["results"]]


def hold_of(account_id: str, credits_: int, **fields: Any) -> dict[str, Any]:
    return {"account_id": account_id, "credits": {"credit": credits_}, "expires_in": 600, **fields}


class ApiContract:
    """Inherit, and give the fixture `world`."""

    def test_it_is_ready_for_events_and_for_reads(self, world: ApiWorld) -> None:
        assert world.server.ask("GET", "/health/ready").status == 200
        # Reads wait for the first answer of ClickHouse, for which a thread asks that starts with the server.
        wait_until(lambda: world.server.ask("GET", "/health/ready?for=reads").status == 200, "reads are not ready")
        assert world.server.ask("GET", "/health/ready?for=reads").status == 200

    def test_an_event_is_stored_where_its_receipt_says(self, world: ApiWorld) -> None:
        who = account()
        answer = world.server.post("/v1/events", event(who))
        (result,) = answer.json["results"]
        assert (answer.status, result["event_id"], result["status"]) == (200, "e-1", "stored")
        receipt = Receipt.parse(result["receipt"])
        pipeline = world.server.pipeline
        (message,) = pipeline.input_log.read(receipt.partition, receipt.offset, receipt.offset + 1)
        assert receipt.is_of(pipeline.log_id)
        assert receipt.digest == value_digest(message.value)
        record = pipeline.codec.decode_commands(message.value).records[receipt.index]
        assert (record["account_id"], record["event_id"], message.producer) == (who, "e-1", "k-producer")

    def test_every_kind_of_decision_is_told(self, world: ApiWorld) -> None:
        who, poor = account(), account()
        change_settings(world.server.pipeline, poor, SettingsChange(on_empty="reject"), None, SECONDS)
        first = event(who)
        decided, again, free = decisions(
            world.server.post("/v1/events?wait=decision", [first, first, event(who, "e-2")])
        )
        (line,) = decided["lines"]
        assert (decided["status"], line["decision"], line["credits"], line["balance_after"]) == (
            "decided", "charged", 20, -20,
        )  # fmt: skip
        assert (again["status"], again["same_content"], again["first"]["lines"]) == ("repeated", True, [line])
        assert (free["lines"][0]["decision"], free["lines"][0]["owner_event_id"]) == ("duplicate", "e-1")
        odd = [
            event(who, "late", occurred_at=clock.now_ms() - 90 * 86_400_000),
            event(who, "unpriced", endpoint="/v1/nothing"),
            event(poor, "poor"),
            event(who, "failed", outcome="failed"),
            {**first, "channel": "app"},
        ]
        late, unpriced, insufficient, failed, other = decisions(
            world.server.post("/v1/events", odd, headers={"prefer": "wait=30"})
        )
        assert (late["status"], late["reason"]) == ("set_aside", "too_late")
        told = [decision["lines"][0]["decision"] for decision in (unpriced, insufficient, failed)]
        assert told == ["unpriced", "insufficient_credits", "not_billable"]
        assert (other["status"], other["same_content"]) == ("repeated", False)

    def test_five_thousand_events_at_once(self, world: ApiWorld) -> None:
        who = account()
        events = [event(who, f"e-{number}", ip=f"203.0.{number >> 8}.{number & 255}") for number in range(5_000)]
        answer = world.server.post("/v1/events", events, headers={"prefer": "wait=30"})
        assert answer.status == 200
        assert [result["event_id"] for result in answer.json["results"]] == [one["event_id"] for one in events]
        places = {tuple(result["receipt"].split(".")[1:4]) for result in answer.json["results"]}
        assert len(places) == 5_000
        assert {result["decision"]["status"] for result in answer.json["results"]} <= {"decided", "pending"}
        too_many = world.server.post("/v1/events", [*events, event(who, "one more")])
        assert too_many.status == 413

    def test_bodies_of_every_kind_are_taken(self, world: ApiWorld) -> None:
        who = account()
        text = json.dumps(event(who)).encode()
        for coding, packed in (("gzip", gzip.compress(text)), ("zstd", zstandard.ZstdCompressor().compress(text))):
            answer = world.server.post("/v1/events", packed, headers={"content-encoding": coding})
            assert answer.status == 200
        lines = b"\n".join(json.dumps(event(who, f"l-{number}")).encode() for number in range(3))
        answer = world.server.post("/v1/events", lines, kind="application/x-ndjson")
        assert [result["event_id"] for result in answer.json["results"]] == ["l-0", "l-1", "l-2"]
        cloud = {
            "specversion": "1.0", "id": "7", "source": "/search", "type": "request", "subject": who,
            "time": format_instant(clock.now_ms()), "data": {"endpoint": "/v1/ip-lookup", "channel": "api"},
        }  # fmt: skip
        answer = world.server.post("/v1/events", cloud, kind="application/cloudevents+json")
        assert [result["event_id"] for result in answer.json["results"]] == ["/search#7"]

    def test_wrong_events_are_named_and_the_others_stored(self, world: ApiWorld) -> None:
        who = account()
        events = [event(who, "good"), event(who, "bad", ip="nowhere", quantities={"a": -1}), {"event_id": 5}]
        answer = world.server.post("/v1/events", events)
        assert (answer.status, answer.headers["content-type"]) == (422, "application/problem+json")
        good, bad, worst = answer.json["results"]
        assert (good["status"], bad["status"], worst["status"], worst["event_id"]) == (
            "stored",
            "invalid",
            "invalid",
            None,
        )
        assert [mistake["pointer"] for mistake in bad["errors"]] == ["/1/ip", "/1/quantities/a"]
        strict = world.server.post("/v1/events", events, headers={"prefer": "handling=strict"})
        assert [result["status"] for result in strict.json["results"]] == ["not_stored", "invalid", "invalid"]
        assert all("receipt" not in result for result in strict.json["results"])

    def test_one_id_with_two_contents_is_wrong(self, world: ApiWorld) -> None:
        who = account()
        one = event(who)
        answer = world.server.post("/v1/events", [one, {**one, "channel": "js"}, event(account())])
        assert [result["status"] for result in answer.json["results"]] == ["stored", "invalid", "stored"]
        assert answer.json["errors"] == [{"pointer": "/1/event_id", "detail": "stands at /0 with another content"}]

    def test_a_key_of_one_account_writes_for_no_other(self, world: ApiWorld) -> None:
        ends = [world.server.pipeline.input_log.bounds(p)[1] for p in range(world.server.pipeline.partitions)]
        for key in (MEMBER_OF_ACME, OWNER_OF_ACME):
            for document in (event("acme"), event("other")):
                assert world.server.post("/v1/events", document, key=key).status == 403
            assert world.server.post("/v1/holds", hold_of("acme", 1), key=key).status == 403
        mixed = world.server.post("/v1/events", [event("acme"), event("other")], key=PRODUCER_OF_ACME)
        assert (mixed.status, mixed.json["errors"][0]["pointer"]) == (403, "/1/account_id")
        assert world.server.post("/v1/holds", hold_of("other", 1), key=PRODUCER_OF_ACME).status == 403
        assert ends == [world.server.pipeline.input_log.bounds(p)[1] for p in range(len(ends))]
        own = event("acme", str(uuid.uuid4()))
        del own["account_id"]
        assert world.server.post("/v1/events", own, key=PRODUCER_OF_ACME).status == 200

    def test_a_receipt_goes_from_stored_to_decided_to_loaded(self, world: ApiWorld) -> None:
        who = account()
        with world.stopped_worker():
            answer = world.server.post("/v1/events?wait=decision", [event(who), event(who, "e-2"), event(who)])
            assert [decision["status"] for decision in decisions(answer)] == ["pending"] * 3
            receipts = [result["receipt"] for result in answer.json["results"]]
            shown = world.server.ask("GET", f"/v1/receipts/{receipts[0]}", key=PRODUCER).json
            assert (shown["stored"], shown["digest"], shown["decision"]) == (True, "agrees", {"status": "pending"})
        world.settle()
        first, second, third = (world.server.ask("GET", f"/v1/receipts/{one}", key=OPERATOR).json for one in receipts)
        assert (first["account_id"], first["event_id"], first["loaded"]) == (who, "e-1", True)
        assert [shown["decision"]["status"] for shown in (first, second, third)] == ["decided", "decided", "repeated"]
        assert [first["decision"]["lines"][0]["credits"], second["decision"]["lines"][0]["credits"]] == [20, 0]

    def test_a_receipt_tells_nothing_of_other_accounts(self, world: ApiWorld) -> None:
        theirs = world.server.post("/v1/events", event(account())).json["results"][0]["receipt"]
        ours = world.server.post("/v1/events", event("acme", str(uuid.uuid4()))).json["results"][0]["receipt"]
        log_id, partition, offset, index, digest = theirs.split(".")
        asked = {
            theirs: 404, ours: 200, f"{log_id}.{partition}.{offset}.{int(index) + 1}.{digest}": 404,
            f"{log_id}.{partition}.999999999.0.{digest}": 404, f"{log_id}.99999.0.0.{digest}": 404,
            f"{log_id}.{partition}.0.0.{digest}": 404, "nonsense": 404,
        }  # fmt: skip
        shown = {one: world.server.ask("GET", f"/v1/receipts/{one}", key=PRODUCER_OF_ACME).status for one in asked}
        assert shown == asked
        remade = world.server.ask("GET", f"/v1/receipts/another-log.0.0.0.{digest}", key=PRODUCER)
        assert (remade.status, remade.json["type"]) == (404, "/problems/log-remade")
        wrong = ours[:-4] + ("0000" if ours[-4:] != "0000" else "1111")
        assert world.server.ask("GET", f"/v1/receipts/{wrong}", key=PRODUCER).json["digest"] == "differs"
        assert world.server.ask("GET", f"/v1/receipts/{ours}", key=MEMBER_OF_ACME).status == 403

    def test_a_hold_is_held_drawn_on_and_released(self, world: ApiWorld) -> None:
        who = self._rich(world, 100)
        made = world.server.post("/v1/holds", hold_of(who, 60, hold_id="h-1"))
        assert (made.status, made.headers["location"]) == (201, "/v1/holds/h-1")
        assert (made.json["status"], made.json["available_after"]) == ("held", {"credit": 40})
        again = world.server.post("/v1/holds", hold_of(who, 60, hold_id="h-1"))
        assert (again.status, again.json["status"]) == (200, "held")
        other = world.server.post("/v1/holds", hold_of(who, 61, hold_id="h-1"))
        assert (other.status, other.json["hold"]["credits"]) == (409, {"credit": 60})
        dear = world.server.post("/v1/holds", hold_of(who, 41))
        assert dear.status == 402
        assert (dear.json["required"], dear.json["available"]) == ({"credit": 41}, {"credit": 40})
        drawn = world.server.post("/v1/events?wait=decision", event(who, hold_id="h-1", keeps_hold=True))
        assert decisions(drawn)[0]["lines"][0]["hold_id"] == "h-1"
        target = f"/v1/holds/h-1?account_id={who}"
        # The hold's change is in a topic of its own, which may be read a moment after the event's decision.
        until = monotonic() + SECONDS
        while (drawn_on := world.server.ask("GET", target, key=PRODUCER).json["charged"]) != {"credit": 20}:
            assert monotonic() < until, drawn_on
        released = world.server.ask("DELETE", target, key=PRODUCER)
        assert (released.status, released.json["status"]) == (200, "settled")
        once_more = world.server.ask("DELETE", target, key=PRODUCER)
        assert (once_more.status, once_more.json["status"]) == (200, "settled")
        world.settle()
        assert world.server.ask("GET", target, key=PRODUCER).json["status"] == "settled"

    def test_a_hold_is_nobody_else_s(self, world: ApiWorld) -> None:
        who = self._rich(world, 100)
        assert world.server.post("/v1/holds", hold_of(who, 1, hold_id="theirs")).status == 201
        for method in ("GET", "DELETE"):
            for target, status in {
                f"/v1/holds/theirs?account_id={who}": 404, "/v1/holds/theirs": 404, "/v1/holds/a%2Fb": 404,
            }.items():  # fmt: skip
                assert world.server.ask(method, target, key=PRODUCER_OF_ACME).status == status
        assert world.server.ask("GET", "/v1/holds/theirs", key=PRODUCER).status == 400
        assert world.server.ask("GET", f"/v1/holds/theirs?account_id={who}", key=PRODUCER).json["status"] == "held"

    def test_a_hold_that_is_decided_too_late_is_released_unless_it_is_to_be_kept(self, world: ApiWorld) -> None:
        who = self._rich(world, 100)
        with world.stopped_worker():
            late = world.server.post("/v1/holds?wait=decision", hold_of(who, 60, hold_id="late"))
            kept = world.server.post("/v1/holds?wait=decision", hold_of(who, 30, hold_id="kept", keep=True))
            for answer, is_released in ((late, True), (kept, False)):
                assert (answer.status, answer.json["status"]) == (202, "pending")
                assert answer.json["is_released_when_decided"] is is_released
        world.settle()
        states = [
            world.server.ask("GET", f"/v1/holds/{name}?account_id={who}", key=PRODUCER).json["status"]
            for name in ("late", "kept")
        ]
        assert states == ["released", "held"]

    def test_a_hold_by_the_event_to_come(self, world: ApiWorld) -> None:
        who = self._rich(world, 100)
        reads = world.server.parts.reads
        assert reads is not None
        wait_until_known(reads.book)
        coming = {"endpoint": "/v1/search", "channel": "api", "quantities": {"results": 45}}
        made = world.server.post("/v1/holds", {"account_id": who, "event": coming})
        assert (made.status, made.json["credits"]) == (201, {"credit": 90})
        coming["quantities"]["results"] = 6
        assert world.server.post("/v1/holds", {"account_id": who, "event": coming}).json["required"] == {"credit": 12}
        coming["endpoint"] = "/v1/free"
        assert world.server.post("/v1/holds", {"account_id": who, "event": coming}).json["status"] == "not_needed"
        wrong = world.server.post("/v1/holds", {"account_id": who, "event": {"endpoint": ""}})
        assert [mistake["pointer"] for mistake in wrong.json["errors"]] == ["/event/endpoint", "/event/channel"]

    @pytest.mark.parametrize(
        ("change", "status", "pointers"),
        [
            ({"credits": {"credit": 1.5}}, 422, ["/credits/credit"]),
            ({"credits": {"credit": 0}, "reason": 5}, 422, ["/credits/credit", "/reason"]),
            ({"credits": {}}, 422, ["/credits"]),
            ({"colour": 1}, 422, ["/colour"]),
            ({"event": {}}, 422, ["/credits"]),
            ({"expires_at": "2020-01-01T00:00:00Z"}, 422, ["/expires_in"]),
            ({"expires_in": 0}, 422, ["/expires_in"]),
            ({"hold_id": ""}, 422, ["/hold_id"]),
            ({"keep": "yes"}, 422, ["/keep"]),
        ],
    )
    def test_a_wrong_hold_is_named(
        self, world: ApiWorld, change: dict[str, Any], status: int, pointers: list[str]
    ) -> None:
        answer = world.server.post("/v1/holds", hold_of(account(), 1) | change)
        assert (answer.status, [mistake["pointer"] for mistake in answer.json["errors"]]) == (status, pointers)

    def _rich(self, world: ApiWorld, credits_: int) -> str:
        who = account()
        pipeline = world.server.pipeline
        change_settings(pipeline, who, SettingsChange(on_empty="reject"), None, SECONDS)
        grant_credits(pipeline, GrantOrder(who, "credit", credits_, clock.now_ms()), SECONDS)
        return who


class FollowingContract:
    """What reads show of what was just decided."""

    def test_a_decision_is_seen_at_once_loaded_or_not(self, world: ApiWorld) -> None:
        who, server = account(), world.server
        stands, plan = f"/v1/accounts/{who}", {"name": "team", "started_at": clock.now_ms() - 1_000}
        grant = {"account_id": who, "credit_type": "credit", "credits": 100, "reason": "top-up", "grant_id": "g-1"}
        assert server.post("/v1/grants", grant, key=OPERATOR).status == 200
        world.settle()
        with world.stopped_loader():
            spent = server.post("/v1/events?wait=decision", [event(who, "a"), event(who, "b", ip="203.0.113.8")])
            assert decisions(spent)[1]["lines"][0]["balance_after"] == 60
            assert server.post("/v1/holds", hold_of(who, 25, hold_id="h-1")).status == 201
            shown = server.ask("GET", stands, key=OPERATOR).json
            assert (shown["credits"]["credit"]["balance"], shown["credits"]["credit"]["available"]) == (60, 35)
            assert [(one["credits"], one["remaining"]) for one in shown["grants"]] == [(100, 60)]
            more = {**grant, "grant_id": "g-2", "credits": 7}
            assert server.post("/v1/grants", more, key=OPERATOR).status == 200
            settings = {"on_empty": "reject", "alert_below": {"credit": 9}, "plan": plan, "update_id": "u-1"}
            body, kind = json.dumps(settings).encode(), {"content-type": "application/json"}
            assert server.ask("PUT", f"{stands}/settings", body, key=OPERATOR, headers=kind).status == 200
            refund = {"event_id": "b", "account_id": who, "refund_id": "r-1", "reason": "no result"}
            refunded = server.post("/v1/refunds", refund, key=OPERATOR)
            assert refunded.status == 200, refunded.body
            drawn = server.post("/v1/events", event(who, "c", ip="203.0.113.9", hold_id="h-1"))
            after = f"{stands}?after={drawn.json['results'][0]['receipt']}"
            unloaded = server.ask("GET", after, key=OPERATOR)
            assert unloaded.status == 200, unloaded.body
        world.settle()
        loaded = server.ask("GET", stands, key=OPERATOR)
        for shown in (unloaded.json, loaded.json):
            assert {name: shown["credits"]["credit"][name] for name in ("balance", "held", "available")} == {
                "balance": 67, "held": 0, "available": 67,
            }  # fmt: skip
            assert (shown["on_empty"], shown["alert_below"], shown["plan"]["name"]) == ("reject", {"credit": 9}, "team")
            assert sorted(one["grant_id"] for one in shown["grants"]) == ["g-1", "g-2"]

    def test_a_read_waits_for_the_item_of_a_receipt(self, world: ApiWorld) -> None:
        who, server = account(), world.server
        stands, briefly = f"/v1/accounts/{who}", {"prefer": "wait=1"}
        question = {"from": clock.now_ms() - 3_600_000, "to": clock.now_ms() + 3_600_000, "measures": ["credits"]}
        with world.stopped_worker():
            receipt = server.post("/v1/events", event(who)).json["results"][0]["receipt"]
            for target in (stands, f"{stands}/usage", f"{stands}/events/e-1", f"{stands}/prices"):
                waited = server.ask("GET", f"{target}?after={receipt}", key=OPERATOR, headers=briefly)
                assert (waited.status, "within 1 s" in waited.json["detail"]) == (503, True), waited.body
                assert "retry-after" in waited.headers
        shown = server.ask("GET", f"{stands}?after={receipt}", key=OPERATOR)
        assert shown.json["credits"]["credit"]["balance"] == -20
        with world.stopped_loader():
            receipt = server.post("/v1/events", event(who, "e-2", ip="203.0.113.8")).json["results"][0]["receipt"]
            assert server.ask("GET", f"{stands}?after={receipt}", key=OPERATOR).json["credits"]["credit"]["held"] == 0
            late = server.ask("GET", f"{stands}/usage?after={receipt}", key=OPERATOR, headers=briefly)
            assert (late.status, "not loaded" in late.json["detail"]) == (503, True)
        history = patiently(lambda: server.ask("GET", f"{stands}/usage?after={receipt}", key=OPERATOR))
        assert [row["event_id"] for row in history.json["rows"]] == ["e-2", "e-1"]
        assert patiently(lambda: server.ask("GET", f"{stands}/events/e-2?after={receipt}", key=OPERATOR)).status == 200
        sums = patiently(lambda: server.post(f"{stands}/usage/query?after={receipt}", question, key=OPERATOR))
        assert (sums.status, sums.json["cells"][0]["credits"]) == (200, 40)
        for wrong in ("nonsense", f"other.{receipt.partition('.')[2]}", receipt.replace(".", ".9", 1)):
            answer = server.ask("GET", f"{stands}?after={wrong}", key=OPERATOR)
            assert (answer.status, answer.json["errors"][0]["pointer"]) == (400, "after")
