"""What holds for every history with holds, worked out from the outputs alone."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import takewhile
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings

from tests.metering import meter
from tests.metering.hold_worlds import hold_histories
from tests.metering.meter import DAY, HOUR, NOON, Json, MachineMeter, Out, book, charge
from tests.metering.strategies import History, Step, histories
from tests.sizes import times_size

pytestmark = pytest.mark.slow

many = settings(max_examples=times_size(60), deadline=None, suppress_health_check=[HealthCheck.too_slow])


def outputs_of(history: History) -> list[list[Out]]:
    machine = MachineMeter()
    outputs = []
    for step in history:
        if step.command == "price_book":
            machine.publish(step.record)
            outputs.append([])
        else:
            outputs.append(machine.apply(step.command, step.record, step.recorded_at))
    return outputs


@dataclass
class Books:
    """Balances and open holds as a reader of the output topics can keep them."""

    balances: dict[str, int] = field(default_factory=dict)
    remaining: dict[str, dict[str, int]] = field(default_factory=dict)
    over: set[str] = field(default_factory=set)

    def available(self, credit_type: str) -> int:
        held = sum(some.get(credit_type, 0) for some in self.remaining.values())
        return self.balances.get(credit_type, 0) - held

    def take(self, outputs: list[Out]) -> None:
        charged: dict[str, int] = {}
        for kind, record in outputs:
            if kind == "hold":
                self.take_change(record, charged)
            elif record.get("balance_after") is not None:
                self.balances[record["credit_type"]] = record["balance_after"]
            if kind == "billed" and record["credits"]:
                charged[record["credit_type"]] = charged.get(record["credit_type"], 0) + record["credits"]

    def take_change(self, change: Json, charged: dict[str, int]) -> None:
        hold_id, status = change["hold_id"], change["status"]
        if status == "held":
            assert hold_id not in self.remaining
            self.over.discard(hold_id)  # a forgotten id may be used again
            self.remaining[hold_id] = dict(change["credits"])
        elif status in ("drawn", "settled", "released"):
            left = self.remaining[hold_id]
            for name, amount in charged.items():
                left[name] = max(0, left.get(name, 0) - amount)
        if status in ("settled", "released", "expired"):
            assert hold_id not in self.over, "a hold ends once"
            self.over.add(hold_id)
            del self.remaining[hold_id]
        assert change["available_after"] == {name: self.available(name) for name in change["credits"]}


@many
@given(hold_histories())
def test_available_is_the_balance_less_open_holds_after_every_change(history: History) -> None:
    books = Books()
    machine = MachineMeter()
    for step in history:
        if step.command == "price_book":
            machine.publish(step.record)
            continue
        books.take(machine.apply(step.command, step.record, step.recorded_at))
        account = machine.state.account("acme")
        assert set(account.holds.by_id) == set(books.remaining)
        for name in (*books.balances, "credit", "email"):
            assert account.available(name) == books.available(name)


@many
@given(hold_histories(reject=True))
def test_with_reject_nothing_is_held_or_charged_that_was_not_available(history: History) -> None:
    """What is charged beyond its hold was available, and what is held was when it was held."""
    books = Books()
    for outputs in outputs_of(history):
        before = list(takewhile(lambda output: output[1].get("status") == "expired", outputs))
        ours = outputs[len(before) :]
        books.take(before)
        held = {name: dict(some) for name, some in books.remaining.items()}
        available = {name: books.available(name) for name in ("credit", "email")}
        costs: dict[str, int] = {}
        for kind, record in ours:
            if kind == "billed" and record["credits"]:
                costs[record["credit_type"]] = costs.get(record["credit_type"], 0) + record["credits"]
            if kind == "hold" and record["status"] == "held":
                assert all(amount <= available[name] for name, amount in record["credits"].items())
            if kind == "hold" and record["status"] == "rejected":
                assert any(amount > available[name] for name, amount in record["credits"].items())
        hold_ids = {record["hold_id"] for kind, record in ours if kind == "billed"}
        assert len(hold_ids) <= 1
        remainder = held.get(next(iter(hold_ids), None) or "", {})
        for name, cost in costs.items():
            assert max(0, cost - remainder.get(name, 0)) <= max(0, available[name])
        books.take(ours)


@many
@given(hold_histories())
def test_every_hold_ends_exactly_once_and_is_drawn_on_only_while_it_is_open(history: History) -> None:
    state: dict[str, str] = {}
    # One more command of the account, at which every hold is over by the log's clock.
    at = max(step.recorded_at for step in history) + 31 * DAY
    last = Step("grant", meter.grant("the-last", 1, at), at)
    for outputs in outputs_of(History([*history, last])):
        for kind, record in outputs:
            if kind != "hold":
                continue
            hold_id, status = record["hold_id"], str(record["status"])
            was = state.get(hold_id)
            if status in ("held", "rejected"):
                assert was not in ("held", "drawn")
            else:
                assert was in ("held", "drawn")
            assert (record["event_id"] is not None) == (status in ("drawn", "settled", "released"))
            assert (status == "released") <= (record["charged"] == {})
            assert (status == "settled") <= (record["charged"] != {})
            state[hold_id] = status
    assert set(state.values()) <= {"rejected", "settled", "released", "expired"}


@many
@given(histories())
def test_naming_a_hold_that_is_not_open_changes_nothing(history: History) -> None:
    without = History(step for step in history if step.command != "hold")
    plain = [
        step._replace(record=step.record | {"hold_id": None, "keeps_hold": False})
        if step.command == "request"
        else step
        for step in without
    ]
    named, unnamed = outputs_of(without), outputs_of(History(plain))
    # Only whether a repeat has the same content may differ: its content does.
    for outputs in (*named, *unnamed):
        for kind, record in outputs:
            if kind == "repeated":
                record["same_content"] = None
    assert named == unnamed


OUTPUTS_BEFORE_THERE_WERE_HOLDS = "d31eb78b1ec8153fdde23d11cfa23945a79675d7caa0f9597592f769cc4b82e8"
"""Of the history below, by the version before: kinds and records without the fields that came with holds."""
NEW_FIELDS = {
    "billed": {"hold_id"},
    "refund": {"occurred_at"},
    "repeated": {"index", "same_content", "first_offset", "first_index"},
}


def plain_history(seed: int, count: int = 3_000) -> list[tuple[str, Json, int]]:
    """Commands of three accounts without any hold, with repeats, late ones, refunds, plans and grants that end."""
    random, at = Random(seed), NOON
    made: list[tuple[str, Json, int]] = []
    for number in range(count):
        at += random.choice((0, 1, HOUR // 4, HOUR))
        own = {"account_id": random.choice("abc")}
        old = {} if random.random() < 0.9 else {"occurred_at": at - random.choice((HOUR, DAY, 3 * DAY))}
        kind = random.choices(("request", "refund", "grant", "account"), (12, 3, 2, 1))[0]
        if kind == "request":
            event_id = f"e{number if random.random() < 0.9 else random.randrange(number + 1)}"
            quantities = {"results": random.randrange(5)}
            fields = {"ip": f"10.0.0.{random.randrange(9)}", "channel": random.choice(("api", "js")), **own, **old}
            record = meter.request(event_id, at, quantities=quantities, **fields)
            for name in ("hold_id", "keeps_hold"):
                record.pop(name, None)
        elif kind == "refund":
            record = meter.refund(f"r{number}", f"e{random.randrange(number + 1)}", at, **own)
        elif kind == "grant":
            ends = random.choice((None, at + HOUR, at + DAY))
            record = meter.grant(f"g{number}", random.randrange(1, 300), at, expires_at=ends, **own)
        else:
            plan = {"name": "pro", "started_at": at - DAY, "ends_at": None}
            fields = {"on_empty": random.choice(("allow", "reject")), "plan": random.choice((None, plan)), **own}
            record = meter.account(f"u{number}", at, alert_below={"credit": 50}, **fields)
        made.append((kind, record, at))
    return made


PLAIN_BOOK = book(
    charge("lookup", 20, unique=(["ip"], "24h"), plans={"pro": 15}),
    charge("record", 2, per="results", when={"channel": "js"}),
    accept_window="2d",
)


def digest_of(machine: MachineMeter) -> str:
    digest = sha256()
    for command, record, at in plain_history(11):
        for kind, output in machine.apply(command, record, at):
            if kind in ("account", "hold"):
                assert kind == "account"
                continue
            kept = {name: value for name, value in output.items() if name not in NEW_FIELDS.get(kind, ())}
            digest.update(json.dumps([kind, kept], sort_keys=True).encode())
    return digest.hexdigest()


def test_without_holds_the_outputs_are_those_of_before() -> None:
    assert digest_of(MachineMeter(PLAIN_BOOK)) == OUTPUTS_BEFORE_THERE_WERE_HOLDS
