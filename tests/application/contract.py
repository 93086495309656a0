"""What every use case does, whatever the pipeline under it is: run over the in-memory twin and over real Kafka.

Each test has accounts of its own, so that a pipeline may be shared by all of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from application.accounts.estimate import Estimator
from application.accounts.opening import opened_replay, scratch_store
from application.accounts.overview import read_account
from application.accounts.snapshot import account_snapshot
from application.auditing import AuditOrder, audit
from application.clickhouse.asking import rows_of
from application.clickhouse.store_reader import StoreReader
from application.commands.account_settings import SettingsChange, change_settings
from application.commands.bulk_sending import BulkSender
from application.commands.fields import BadField
from application.commands.grants import GrantOrder, grant_credits
from application.commands.holds import HoldOrder, ReleaseOrder, place_hold, release_hold
from application.commands.refunds import RefundOrder, make_refunds, refund_requests, rehearse_refunds
from application.dead_letters.corrections import read_correction
from application.dead_letters.reading import DeadLetterLog
from application.dead_letters.resending import outcomes, resend
from application.dead_letters.resent import ReplayLog, ReplayOutcome
from application.errors import ErrorCode, Failed, Misconfigured
from application.explaining.explain import SetAside, explain, raise_on_mismatch
from application.explaining.explained import Agreement, Explained
from application.explaining.sentences import story_in_words
from application.input.ndjson import InputCommand
from application.pipeline import Pipeline
from application.prices.publishing import book_in_force, publish_book
from application.rerating.opening import opened_rerating
from application.usage.store import UsageStore
from metering.records import Command, Decision
from replay.rerating.partition import Rerate
from schemas.price_book import book_id, read_book
from streams import clock
from streams.log.partitioner import partition_of
from tests.application.recorded import RecordedNotices

SECONDS = 30
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
"""


@dataclass
class World:
    """A pipeline with `BOOK` in force. `settle` returns when all that was sent is decided and loaded."""

    pipeline: Pipeline
    notices: RecordedNotices
    settle: Callable[[], None]
    store: StoreReader
    usage: UsageStore

    def send(self, account_id: str, event_id: str, **fields: Any) -> None:
        """One event of now, decided and loaded."""
        event = {
            "event_id": event_id, "account_id": account_id, "occurred_at": clock.now_ms(),
            "endpoint": "/v1/ip-lookup", "channel": "api", "outcome": "processed", "ip": "203.0.113.7",
        } | fields  # fmt: skip
        with BulkSender.opened(self.pipeline) as sender:
            sender.send(InputCommand(1, Command.REQUEST, event, 0))
            sender.finish()
        self.settle()


class UseCaseContract:
    """Inherit, and give the fixture `world`."""

    def test_a_book_is_published_once(self, world: World) -> None:
        again = publish_book(world.pipeline, BOOK, clock.now_ms())
        assert (again.written, again.partitions) == (0, world.pipeline.partitions)
        assert [version.version for version in book_in_force(world.pipeline).versions] == ["2026-01"]
        with pytest.raises(Failed, match="would change prices in force") as raised:
            publish_book(world.pipeline, BOOK.replace("credits: 20", "credits: 21"), clock.now_ms())
        assert raised.value.code is ErrorCode.CONFLICT

    def test_a_grant_is_decided_and_repeated(self, world: World) -> None:
        order = GrantOrder("granted", "credit", 500, clock.now_ms(), grant_id="g1", reason="welcome")
        made = grant_credits(world.pipeline, order, SECONDS)
        assert [output["balance_after"] for output in made.decided.outputs] == [500]
        assert not made.is_repeated
        world.settle()
        again = grant_credits(world.pipeline, order, SECONDS)
        assert (again.is_repeated, [int(row["credits"]) for row in again.first]) == (True, [500])

    def test_a_wrong_field_is_named_and_nothing_is_sent(self, world: World) -> None:
        before = world.pipeline.input_log.bounds(0), world.pipeline.input_log.bounds(1)
        with pytest.raises(BadField) as raised:
            grant_credits(world.pipeline, GrantOrder("granted", "", 1, clock.now_ms()), SECONDS)
        assert (raised.value.field, raised.value.code) == ("credit_type", ErrorCode.INVALID)
        assert (world.pipeline.input_log.bounds(0), world.pipeline.input_log.bounds(1)) == before

    def test_a_hold_is_placed_repeated_drawn_on_and_released(self, world: World) -> None:
        pipeline, now = world.pipeline, clock.now_ms()
        change_settings(pipeline, "holding", SettingsChange(on_empty="reject"), None, SECONDS)
        grant_credits(pipeline, GrantOrder("holding", "credit", 100, now), SECONDS)
        order = HoldOrder("holding", {"credit": 60}, clock.now_ms(), now + 86_400_000, hold_id="h-1", reason="bulk")
        placed = place_hold(pipeline, order, SECONDS)
        assert (placed.is_held, placed.change["available_after"] if placed.change else None) == (True, {"credit": 40})
        world.settle()
        again = place_hold(pipeline, order, SECONDS)
        assert (again.is_repeated, again.is_held, [row["status"] for row in again.first]) == (True, False, ["held"])
        dear = HoldOrder("holding", {"credit": 41}, clock.now_ms(), now + 86_400_000)
        rejected = place_hold(pipeline, dear, SECONDS)
        assert (rejected.is_rejected, rejected.decided.is_set_aside) == (True, False)
        world.send("holding", "h-e1", hold_id="h-1", keeps_hold=True)
        rows = rows_of(pipeline.sql, "SELECT balance, held, available FROM balances WHERE account_id = 'holding'")
        assert [{name: int(value) for name, value in row.items()} for row in rows] == [
            {"balance": 80, "held": 40, "available": 40}
        ]
        overview = read_account(pipeline, "holding", 0, 0)
        assert [(hold.hold_id, dict(hold.remaining)) for hold in overview.holds] == [("h-1", {"credit": 40})]
        assert (overview.balances["credit"].held, overview.balances["credit"].available) == (40, 40)
        released = release_hold(pipeline, ReleaseOrder("holding", "h-1", clock.now_ms()), SECONDS)
        assert released.is_over
        assert released.change is not None
        assert (released.change["status"], released.change["available_after"]) == ("settled", {"credit": 80})
        nothing = release_hold(pipeline, ReleaseOrder("holding", "h-1", clock.now_ms()), SECONDS)
        assert (nothing.is_over, nothing.change) == (False, None)
        assert read_account(pipeline, "holding", 0, 0).holds == []
        with pytest.raises(BadField) as raised:
            place_hold(pipeline, HoldOrder("holding", {}, now, now + 1), SECONDS)
        assert raised.value.field == "credits"

    def test_a_snapshot_from_the_store_is_what_the_log_comes_to(self, world: World) -> None:
        pipeline, now = world.pipeline, clock.now_ms()
        change = SettingsChange(
            plan="team", started_at=now - 1_000, on_empty="reject", marks={"credit": 10, "email": -2}
        )
        change_settings(pipeline, "snapped", change, "snap", SECONDS)
        grant_credits(pipeline, GrantOrder("snapped", "credit", 100, now, grant_id="g-1", reason="gift"), SECONDS)
        ends = now + 86_400_000
        grant_credits(pipeline, GrantOrder("snapped", "email", 7, now, ends, grant_id="g-2"), SECONDS)
        place_hold(pipeline, HoldOrder("snapped", {"credit": 60}, now, ends, "h-1"), SECONDS)
        place_hold(pipeline, HoldOrder("snapped", {"credit": 41}, now, ends, "h-2"), SECONDS)
        place_hold(pipeline, HoldOrder("snapped", {"credit": 5}, now, ends, "h-3"), SECONDS)
        release_hold(pipeline, ReleaseOrder("snapped", "h-3", clock.now_ms()), SECONDS)
        world.send("snapped", "s-1", hold_id="h-1", keeps_hold=True)
        partition = partition_of("snapped", pipeline.partitions)
        snapshot = account_snapshot(world.usage, "snapped", partition)
        plain = snapshot.as_plain()
        assert plain["balances"] == {
            "credit": {"balance": 80, "held": 40, "available": 40},
            "email": {"balance": 7, "held": 0, "available": 7},
        }
        assert plain["plan"] == {"name": "team", "started_at": now - 1_000, "ends_at": None}
        assert (plain["on_empty"], plain["alert_below"]) == ("reject", {"credit": 10, "email": -2})
        assert [(grant.grant_id, grant.credits, grant.expires_at) for grant in snapshot.grants] == [
            ("g-2", 7, ends), ("g-1", 100, None),
        ]  # fmt: skip
        assert [(hold.hold_id, hold.remaining, hold.charged) for hold in snapshot.holds] == [
            ("h-1", {"credit": 40}, {"credit": 20}),
        ]  # fmt: skip
        overview = read_account(pipeline, "snapped", 0, 0)
        assert {name: (view.balance, view.held) for name, view in overview.balances.items()} == {
            name: (balance.balance, balance.held) for name, balance in snapshot.balances.items()
        }
        assert snapshot.source_offset <= pipeline.input_log.bounds(partition)[1] - 1
        assert set(snapshot.as_of) <= set(pipeline.names.loaded)
        nobody = account_snapshot(world.usage, "snapped-by-nobody", partition)
        assert (nobody.is_known, nobody.balances, nobody.settings.on_empty) == (False, {}, "allow")

    def test_an_estimate_counts_with_what_is_available(self, world: World) -> None:
        pipeline, now = world.pipeline, clock.now_ms()
        grant_credits(pipeline, GrantOrder("reserved", "credit", 50, now), SECONDS)
        place_hold(pipeline, HoldOrder("reserved", {"credit": 40}, now, now + 86_400_000), SECONDS)
        with opened_replay(pipeline, "reserved") as opened, scratch_store(pipeline.places.data) as upper:
            opened.run()
            estimator = Estimator(opened.replay, upper, clock.now_ms())
            event = {"endpoint": "/v1/ip-lookup", "channel": "api", "outcome": "processed", "ip": "203.0.113.60"}
            estimator.add(InputCommand(1, Command.REQUEST, event, 0))
            tally = estimator.finish().balances["credit"]
        assert (tally.before, tally.after, tally.held, tally.lowest) == (50, 30, 40, -10)
        assert not tally.suffices

    def test_a_refund_is_rehearsed_made_repeated_and_rejected(self, world: World) -> None:
        pipeline = world.pipeline
        world.send("refunded", "r-1")
        order = RefundOrder("r-1", None, None, None, None, "no result", "refund-1")
        requests = refund_requests(pipeline, order, clock.now_ms())
        assert requests.account_id == "refunded"
        (rehearsed,) = rehearse_refunds(pipeline, requests, clock.now_ms())
        (made,) = make_refunds(pipeline, requests, SECONDS)
        assert [output["credits"] for output in rehearsed.outputs] == [output["credits"] for output in made.outputs]
        assert made.outputs[0]["credits"] == 20
        assert not made.is_refused
        world.settle()
        (repeated,) = make_refunds(pipeline, requests, SECONDS)
        assert (repeated.is_repeated, [row["status"] for row in repeated.first]) == (True, ["refunded"])
        other = RefundOrder("r-1", None, "refunded", None, None, "", "refund-2")
        (rejected,) = make_refunds(pipeline, refund_requests(pipeline, other, clock.now_ms()), SECONDS)
        assert rejected.is_refused
        assert rejected.outputs[0]["reject_reason"] == "exceeds_charge"

    def test_the_refund_of_an_unknown_event_is_not_found(self, world: World) -> None:
        with pytest.raises(Failed, match="ClickHouse has no line of event 'nowhere'") as raised:
            refund_requests(world.pipeline, RefundOrder("nowhere", None, None, None, None, "", None), clock.now_ms())
        assert raised.value.code is ErrorCode.NOT_FOUND

    def test_settings_are_changed_and_nothing_is_sent_twice(self, world: World) -> None:
        change = SettingsChange(on_empty="reject", marks={"credit": 100})
        made = change_settings(world.pipeline, "settled", change, None, SECONDS)
        assert (made.after.on_empty, dict(made.after.alert_below)) == ("reject", {"credit": 100})
        again = change_settings(world.pipeline, "settled", change, None, SECONDS)
        assert (again.place, again.after) == (None, made.after)

    def test_an_account_is_shown_with_its_balances_and_lines(self, world: World) -> None:
        grant_credits(world.pipeline, GrantOrder("shown", "credit", 100, clock.now_ms()), SECONDS)
        world.send("shown", "s-1")
        overview = read_account(world.pipeline, "shown", 5, 5)
        assert overview.balances["credit"].balance == 80
        assert [line["event_id"] for line in overview.tail.lines] == ["s-1"]
        with pytest.raises(Failed, match="no such account") as raised:
            read_account(world.pipeline, "nobody", 5, 5)
        assert raised.value.code is ErrorCode.NOT_FOUND
        with pytest.raises(Misconfigured):
            read_account(world.pipeline, "", 5, 5)

    def test_an_event_is_explained_and_agrees_with_the_bill(self, world: World) -> None:
        world.send("explained", "x-1")
        world.send("explained", "x-2")
        charged, free = explain(world.pipeline, "x-1", None), explain(world.pipeline, "x-2", "explained")
        assert isinstance(charged, Explained)
        assert isinstance(free, Explained)
        assert (charged.comparison.billed, charged.comparison.clickhouse) == (Agreement.AGREES, Agreement.AGREES)
        raise_on_mismatch(charged.comparison.differences)
        (line,) = free.subject.explanation.lines
        assert (line.line["decision"], line.line["owner_event_id"]) == (Decision.DUPLICATE, "x-1")
        assert free.owners["x-1"].offset < free.subject.place.offset
        assert any("paid" in sentence for sentence in story_in_words(free))

    def test_an_event_that_was_set_aside_is_found_among_the_dead_letters(self, world: World) -> None:
        world.send("aside", "a-1", ip="nowhere")
        result = explain(world.pipeline, "a-1", None)
        assert isinstance(result, SetAside | Explained)
        with pytest.raises(Failed, match="There is no event never-sent") as raised:
            explain(world.pipeline, "never-sent", "aside")
        assert raised.value.code is ErrorCode.NOT_FOUND

    def test_an_estimate_writes_nothing(self, world: World) -> None:
        world.send("estimated", "e-1")
        before = [world.pipeline.input_log.bounds(partition) for partition in range(world.pipeline.partitions)]
        with (
            opened_replay(world.pipeline, "estimated") as opened,
            scratch_store(world.pipeline.places.data) as upper,
        ):
            opened.run()
            estimator = Estimator(opened.replay, upper, clock.now_ms())
            for number, ip in enumerate(["203.0.113.7", "203.0.113.8"]):
                event = {
                    "endpoint": "/v1/ip-lookup", "channel": "api", "outcome": "processed", "ip": ip,
                    "event_id": f"job-{number}",
                }  # fmt: skip
                estimator.add(InputCommand(number + 1, Command.REQUEST, event, 0))
            estimate = estimator.finish()
        assert estimate.charges["ip-lookup", "credit"].credits == 20
        assert estimate.charges["ip-lookup", "credit"].saved.in_history == 20
        assert [world.pipeline.input_log.bounds(partition) for partition in range(world.pipeline.partitions)] == before

    def test_a_dead_letter_is_corrected_resent_and_settled(self, world: World) -> None:
        pipeline = world.pipeline
        world.send("lettered", "l-1", ip="nowhere")
        log = DeadLetterLog.of(pipeline)
        (letter,) = log.matching(account="lettered")
        assert letter.record["field"] == "ip"
        assert log.at(str(letter.place)) == letter
        decoded = log.decoded(log.original(letter))
        assert decoded is not None
        event = decoded[1]["events"][0] | {"ip": "203.0.113.99"}
        text = _json({"decoded": {"name": decoded[0], "record": {"events": [event]}}})
        correction = read_correction(text, str(letter.place), pipeline.codec, pipeline.partitions)
        sent = resend(pipeline, log, [letter], correction)
        (replay,) = outcomes(pipeline, sent, [letter], correction, SECONDS)
        assert (replay.outcome, replay.corrected) == (ReplayOutcome.ACCEPTED, True)
        world.settle()
        assert [replay.outcome for replay in ReplayLog(pipeline).of([letter])[letter.place]] == [ReplayOutcome.ACCEPTED]
        with pytest.raises(Failed, match="no dead letter"):
            log.at("0@999999")
        with pytest.raises(Misconfigured, match="not a place"):
            log.at("here")

    def test_a_rerating_tells_the_difference_and_corrects_it(self, world: World, tmp_path: Path) -> None:
        world.send("rerated", "rr-1", ip="203.0.113.50")
        cheaper = BOOK.replace("credits: 20", "credits: 15")
        start = clock.now_ms() // 86_400_000 * 86_400_000
        prices = read_book(cheaper)
        asked = Rerate(book_id(cheaper), prices, start, start + 2 * 86_400_000, frozenset({"rerated"}))
        rows: list[Any] = []
        with opened_rerating(world.pipeline, asked, "charge", rows.append, lambda _correction: None) as rerating:
            assert rerating.outcome.money["credit"].difference == -5
            rerating.keep(tmp_path / "plan.ndjson")
            sent = rerating.send(SECONDS)
        assert (sent.refunds + sent.grants, sent.refused) == (1, 0)
        assert rows
        assert (tmp_path / "plan.ndjson").read_text().startswith('{"type": "plan"')

    def test_rows_can_be_asked_for(self, world: World) -> None:
        world.send("asked", "q-1")
        rows = rows_of(world.pipeline.sql, "SELECT decision FROM billed_events WHERE account_id = 'asked'")
        assert rows == [{"decision": "charged"}]

    def test_nothing_is_behind_when_all_is_settled(self, world: World) -> None:
        world.settle()
        names = world.pipeline.names
        assert not any(world.pipeline.lag(names.rating_group, (names.requests,)).values())
        assert not any(world.pipeline.lag(names.loading_group, names.loaded).values())

    @pytest.mark.slow
    def test_an_audit_is_clean(self, world: World) -> None:
        world.send("audited", "au-1")
        differences: list[Any] = []
        outcome = audit(world.pipeline, AuditOrder(SECONDS), differences.append, world.store)
        assert differences == []
        assert not outcome.is_short
        assert outcome.result.totals.as_json()["events"] > 0

    def test_progress_and_remarks_go_through_the_notices(self, world: World) -> None:
        world.notices.clear()
        grant_credits(world.pipeline, GrantOrder("noticed", "credit", 1, clock.now_ms(), grant_id="n"), SECONDS)
        assert world.notices.remarks[0] == "sending grant n"
        assert "waiting for the worker" in world.notices.activities
        read_account(world.pipeline, "noticed", 1, 1)
        assert "replaying the log" in world.notices.activities


def _json(value: Any) -> str:
    import json

    return json.dumps(value, default=lambda raw: raw.hex() if isinstance(raw, bytes) else str(raw))


def wait_until(done: Callable[[], bool], what: str, seconds: float = 60) -> None:
    """Returns when it is so; fails with `what` where it is not in time."""
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, f"{what} after {seconds} s"
        time.sleep(0.05)
