"""What holds for every history: the machine says what the naive oracle says, whatever stands between its steps."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metering.balances import NEVER
from tests.metering.hold_worlds import hold_histories
from tests.metering.meter import Json, MachineMeter, Meter, OracleMeter, Out, StoredMeter, book, charge
from tests.metering.strategies import ZERO, History, Step, histories
from tests.metering.worlds import calm_histories, claim_histories, limit_histories, money_histories, price_histories
from tests.sizes import times_size

pytestmark = pytest.mark.slow

many = settings(max_examples=times_size(100), deadline=None, suppress_health_check=[HealthCheck.too_slow])
some = settings(many, max_examples=times_size(40))
any_world = st.one_of(
    histories(),
    calm_histories(),
    money_histories(),
    claim_histories(),
    price_histories(),
    limit_histories(),
    hold_histories(),
)


def take(meter: Meter, step: Step) -> list[Out]:
    if step.command == "price_book":
        meter.publish(step.record)
        return []
    return meter.apply(step.command, step.record, step.recorded_at)


def run(history: History) -> list[list[Out]]:
    """The machine's outputs, step by step."""
    meter = MachineMeter()
    return [take(meter, step) for step in history]


def accounts_of(history: History) -> list[str]:
    return sorted({step.account_id for step in history if step.account_id is not None})


def of_account(history: History, account_id: str) -> list[list[Out]]:
    """The outputs of the account's commands, command by command.

    A place in the log is counted over the commands of all accounts, so a repeat's places are checked here against where
    the commands stand, and then counted over the account's own: that is what other accounts must not change.
    """
    meter, own = MachineMeter(), [number for number, step in enumerate(history) if step.account_id == account_id]
    places: list[tuple[int, int | None]] = []
    outputs_of_all = []
    for step in history:
        outputs_of_all.append(take(meter, step))
        places.append(meter.place)
    for number in own:
        for kind, record in outputs_of_all[number]:
            if kind != "repeated":
                continue
            assert record["index"] == places[number][1]
            first = places.index((record["first_offset"], record["first_index"]))
            assert first < number
            record |= {"index": None, "first_offset": own.index(first), "first_index": None}
    return [outputs_of_all[number] for number in own]


def comparable(outputs: list[Out]) -> list[Out]:
    """What is compared of an output: all of it, but of a dead letter the reason, and the field where one is wrong."""
    rows = []
    for kind, record in outputs:
        fields = {name: str(value) if isinstance(value, str) else value for name, value in record.items()}
        if kind == "dead_letter":
            wrong = fields["field"] if fields["reason"] == "invalid_event" else None
            fields = {"reason": fields["reason"], "field": wrong}
        rows.append((kind, fields))
    return rows


def difference(by_machine: list[Out], by_oracle: list[Out]) -> str:
    lines = []
    for number in range(max(len(by_machine), len(by_oracle))):
        pair = [outputs[number] if number < len(outputs) else ("nothing", {}) for outputs in (by_machine, by_oracle)]
        (kind, ours), (other_kind, theirs) = pair
        if kind != other_kind:
            lines.append(f"output {number}: the machine has {kind} {ours}, the oracle {other_kind} {theirs}")
            continue
        lines += [
            f"output {number}, {kind}.{name}: the machine has {ours.get(name)!r}, the oracle {theirs.get(name)!r}"
            for name in sorted({*ours, *theirs})
            if ours.get(name) != theirs.get(name)
        ]
    return "\n".join(lines)


def check_against_the_oracle(history: History) -> None:
    machine, oracle = MachineMeter(), OracleMeter()
    for number, step in enumerate(history):
        ours, theirs = comparable(take(machine, step)), comparable(take(oracle, step))
        if ours != theirs:
            pytest.fail(f"step {number}, {step!r}:\n{difference(ours, theirs)}\nin {history!r}", pytrace=False)


@many
@given(histories())
def test_the_machine_says_what_the_oracle_says(history: History) -> None:
    check_against_the_oracle(history)


@many
@given(calm_histories())
def test_it_does_where_nothing_is_refused(history: History) -> None:
    check_against_the_oracle(history)


@many
@given(money_histories())
def test_it_does_where_credits_move(history: History) -> None:
    check_against_the_oracle(history)


@many
@given(claim_histories())
def test_it_does_where_claims_are_made_and_forgotten(history: History) -> None:
    check_against_the_oracle(history)


@many
@given(price_histories())
def test_it_does_where_prices_and_plans_change(history: History) -> None:
    check_against_the_oracle(history)


@many
@given(limit_histories())
def test_it_does_where_limits_change(history: History) -> None:
    check_against_the_oracle(history)


@many
@given(hold_histories())
def test_it_does_where_credits_are_held(history: History) -> None:
    check_against_the_oracle(history)


# -- what stands between the steps changes nothing --------------------------------------------------------------------


@some
@given(any_world)
def test_a_replay_gives_the_same_bytes(history: History) -> None:
    assert json.dumps(run(history)) == json.dumps(run(history))


@some
@given(any_world, st.data())
def test_the_outputs_of_a_prefix_are_a_prefix(history: History, data: st.DataObject) -> None:
    length = data.draw(st.integers(0, len(history)))
    assert run(History(history[:length])) == run(history)[:length]


@some
@given(any_world)
def test_an_account_is_decided_as_if_it_were_alone(history: History) -> None:
    for account_id in accounts_of(history):
        assert of_account(history.of_account(account_id), account_id) == of_account(history, account_id)


@some
@given(any_world, st.randoms(use_true_random=False))
def test_the_order_of_accounts_among_each_other_changes_nothing(history: History, random: Any) -> None:
    """Any other interleaving of the accounts' commands; the books stay where they are between them."""
    shuffled: list[Step] = []
    segment: list[Step] = []
    for step in [*history, None]:
        if step is not None and step.account_id is not None:
            segment.append(step)
            continue
        queues = {name: [command for command in segment if command.account_id == name] for name in accounts_of(history)}
        names = [command.account_id for command in segment]
        random.shuffle(names)
        shuffled += [queues[name].pop(0) for name in names]
        shuffled += [step] if step is not None else []
        segment = []

    def by_account(commands: History) -> Json:
        return {name: of_account(commands, name) for name in accounts_of(history)}

    assert by_account(History(shuffled)) == by_account(history)


@some
@given(any_world, st.integers(1, 5), st.booleans())
def test_a_store_written_after_every_few_commands_changes_nothing(history: History, every: int, reopened: bool) -> None:
    meter, outputs = StoredMeter(), []
    for number, step in enumerate(history, 1):
        outputs.append(take(meter, step))
        if number % every == 0:
            meter.commit()
            if reopened:
                meter.open()
    assert outputs == run(history)


@many
@given(any_world, st.lists(st.tuples(st.integers(0, 20), st.booleans(), st.booleans()), min_size=1, max_size=8))
def test_clean_up_at_any_moment_changes_nothing(history: History, moments: list[tuple[int, bool, bool]]) -> None:
    """After each step: a sweep of so many rows, perhaps a write, perhaps a new start."""
    meter, outputs = StoredMeter(), []
    for number, step in enumerate(history):
        outputs.append(take(meter, step))
        budget, written, reopened = moments[number % len(moments)]
        meter.sweeper.sweep(budget)
        if written or reopened:
            meter.commit()
        if reopened:
            meter.open()
    assert outputs == run(history)


# -- money ------------------------------------------------------------------------------------------------------------


@many
@given(any_world)
def test_every_balance_is_grants_less_forfeits_and_charges_plus_refunds(history: History) -> None:
    """Output by output, and after every command: what has been put out so far explains each balance to the credit.

    That of the account's state, too, so that nothing moves without an output that says so.
    """
    meter = MachineMeter()
    balances: dict[tuple[str, str], int] = {}
    for step in history:
        for kind, record in take(meter, step):
            if record.get("credit_type") is None:
                continue
            whose = (record["account_id"], record["credit_type"])
            balances[whose] = balances.get(whose, 0) + moved(kind, record)
            assert balances[whose] == record["balance" if kind == "alert" else "balance_after"]
        for account_id in accounts_of(history):
            for credit_type, balance in meter.state.account(account_id).balances.items():
                assert balance.amount == balances.get((account_id, credit_type), 0)
                assert balance.amount == sum(grant.left for grant in balance.grants) - balance.debt
                assert not balance.debt or not any(grant.left for grant in balance.grants), "a grant fills debt first"


def moved(kind: str, record: Json) -> int:
    """By how much an output says that it moved the balance."""
    if kind == "billed":
        assert sum(use["credits"] for use in record["grants_used"]) <= record["credits"]
        return -record["credits"]
    if kind == "grant":
        return record["credits"] if record["status"] == "applied" else -record["credits"]
    if kind == "refund":
        return record["credits"] - record["forfeited"]
    return 0


@many
@given(any_world)
def test_a_refund_never_exceeds_its_charge(history: History) -> None:
    left: dict[tuple[str, str, int], int] = {}
    for outputs in run(history):
        for kind, record in outputs:
            if kind == "billed":
                left[record["account_id"], record["event_id"], record["line"]] = record["credits"]
            if kind == "refund" and record["status"] == "refunded":
                line = (record["account_id"], record["event_id"], record["line"])
                left[line] -= record["credits"]
                assert 0 <= left[line] == record["remaining_charge"]
                assert 0 <= record["forfeited"] <= record["credits"] > 0


@st.composite
def grants_to_use(draw: st.DrawFn) -> list[tuple[int | None, int]]:
    """(expires at, credits), in order of arrival: many that end at the same time, or never."""
    ends = st.sampled_from((None, ZERO + DAY, ZERO + DAY, ZERO + 2 * DAY))
    return draw(st.lists(st.tuples(ends, st.integers(1, 9)), min_size=1, max_size=12))


@some
@given(grants_to_use(), st.lists(st.integers(1, 30), min_size=1, max_size=6), st.data())
def test_grants_are_used_by_expiry_and_equal_ones_in_order_of_arrival(
    grants: list[tuple[int | None, int]], charges: list[int], data: st.DataObject
) -> None:
    """Whatever was charged and given back before, and whenever the account was written and read again."""
    meter = StoredMeter()
    meter.publish(book(charge("record", 1, per="results"), accept_window="9d"))
    left = {f"g{number}": credits_ for number, (_, credits_) in enumerate(grants)}
    ends = {f"g{number}": NEVER if end is None else end for number, (end, _) in enumerate(grants)}
    for number, (end, credits_) in enumerate(grants):
        meter.grant(f"g{number}", credits_, at=ZERO, expires_at=end)
    order = sorted(left, key=lambda grant_id: ends[grant_id])  # sorted is stable: arrival stays
    for number, units in enumerate(charges):
        if data.draw(st.booleans()):
            meter.commit()
            meter.open()
        line = meter.line(f"e{number}", at=ZERO, quantities={"results": units})
        wanted, rest = [], units
        for grant_id in order:
            taken = min(left[grant_id], rest)
            if taken:
                wanted.append((grant_id, taken))
            left[grant_id] -= taken
            rest -= taken
        assert [(use["grant_id"], use["credits"]) for use in line["grants_used"]] == wanted
        if rest == 0 and data.draw(st.booleans()):
            meter.refund(f"r{number}", f"e{number}", at=ZERO)
            for grant_id, taken in wanted:
                left[grant_id] += taken
    expired = [r for kind, r in meter.account("u1", at=ZERO + 5 * DAY) if kind == "grant"]
    assert [(grant["grant_id"], grant["credits"]) for grant in expired] == [
        (grant_id, left[grant_id]) for grant_id in order if left[grant_id] and ends[grant_id] != NEVER
    ]


# -- charged once -----------------------------------------------------------------------------------------------------

SUBJECTS = {"10.0.0.1": "v4", "::ffff:10.0.0.1": "v4", "2001:db8::1": "v6"}
DAY, HOUR = 86_400_000, 3_600_000


def inside(within: str, one: int, other: int) -> bool:
    lengths = {"24h": DAY, "1h": HOUR}
    if within == "calendar_day":
        return one // DAY == other // DAY
    return within == "ever" or abs(one - other) < lengths[within]


@many
@given(calm_histories())
def test_a_subject_is_charged_at_most_once_in_a_window(history: History) -> None:
    """Of the charges that stand, those refunded in full left out; and every duplicate has an owner that stands."""
    items = {item["charge"]: item for item in history[0].record["versions"][0]["charges"]}
    standing: dict[tuple[str, str], tuple[str, str, int]] = {}
    for outputs in run(history):
        for kind, record in outputs:
            unique = items[record["charge"]].get("unique") if record.get("charge") in items else None
            if unique is None:
                continue
            if kind == "refund" and record["remaining_charge"] == 0:
                del standing[record["event_id"], record["charge"]]
            if kind != "billed":
                continue
            at, subject = record["occurred_at"], SUBJECTS[record["ip"]]
            owners = {
                event_id
                for (event_id, name), (whose, _, owner_at) in standing.items()
                if (name, whose) == (record["charge"], subject) and inside(unique["within"], owner_at, at)
            }
            assert (record["decision"] == "duplicate") == bool(owners)
            assert record["owner_event_id"] in (owners or {None})
            if record["decision"] == "charged":
                standing[record["event_id"], record["charge"]] = (subject, record["event_id"], at)


@many
@given(calm_histories(mix=("request",)), st.sampled_from(("allow", "reject")), st.randoms(use_true_random=False))
def test_after_a_refund_of_everything_the_same_traffic_costs_the_same(
    history: History, on_empty: str, random: Any
) -> None:
    meter = MachineMeter(history[0].record)
    requests = [step.record for step in history[1:]]
    end = max(record["occurred_at"] for record in requests)
    meter.account("u1", at=end, account_id="a", on_empty=on_empty)
    meter.grant("g1", 50, at=end, account_id="a")
    meter.grant("g2", 6, at=end, account_id="a", credit_type="email")

    def cost(prefix: str) -> list[Any]:
        outputs = [meter.apply("request", one | {"event_id": prefix + one["event_id"]}, end) for one in requests]
        compared = ("decision", "charge", "credits", "balance_after", "window_ends_at")
        return [[line[name] for name in compared] for lines in outputs for kind, line in lines if kind == "billed"]

    first = cost("first-")
    for number, record in enumerate(random.sample(requests, len(requests))):
        meter.refund(f"r{number}", f"first-{record['event_id']}", at=end, account_id="a")
    assert cost("second-") == first
