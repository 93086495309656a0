"""Explains why an event costs what it costs, without deciding anything itself.

What becomes of the event is the machine's own answer, from a rehearsal; the reasons are asked of the functions that the
machine asks. Where the two do not agree this raises: an explanation that does not add up is worse than none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from metering.account import BEGINNING, Account
from metering.book import ATTRIBUTE, Charge, Unique
from metering.claims import Owner, claim_key, is_forgotten, owner_of, subject_value
from metering.explaining_prices import Prices, conditions_of, prices_of
from metering.explanation import (
    BalanceStory,
    Claimant,
    Draw,
    Explanation,
    HoldStory,
    LineStory,
    Refusal,
    RepeatStory,
    Shortage,
    Subject,
    UniqueStory,
)
from metering.records import Command, DeadLetterReason, Decision, HoldStatus, Kind, Record
from metering.rehearsal import Rehearsal, rehearse
from metering.state import State

_Taken = Counter[tuple[str, str]]  # credits that the event's lines so far took, by credit type and grant


def explain_event(state: State, event: Record, recorded_at: int, digest: bytes | None = None) -> Explanation:
    """Everything that decides what becomes of ``event`` if it is applied to ``state`` next; changes neither.

    ``recorded_at`` is the time of the log record that brought it (ms UTC), ``digest`` that of its bytes there. Raises
    RuntimeError where the reasons found are not those of the machine.
    """
    event = dict(event)
    rehearsal = rehearse(state, Command.REQUEST, event, recorded_at, digest)
    kind, record = rehearsal.outputs[0]
    if kind is Kind.DEAD_LETTER:
        return _refused(state, event, recorded_at, record)
    account = state.account(event["account_id"])
    if kind is Kind.REPEATED:
        known = state.get(account.event_prefix + event["event_id"].encode())
        if known is None:
            raise RuntimeError(f"event {event['event_id']!r} is a repeat of nothing")
        repeat = RepeatStory(known[0], record["first_offset"], record["first_index"], record["same_content"])
        return Explanation(
            event, recorded_at, _time(account), account.on_empty, repeat_of=known[0], repeat=repeat
        )  # fmt: skip
    return _accepted(state, account, event, recorded_at, rehearsal)


def _time(account: Account) -> int | None:
    return None if account.stream_time == BEGINNING else account.stream_time


def _refused(state: State, event: Record, recorded_at: int, letter: Record) -> Explanation:
    """A dead letter: the field that was wrong and what it held, or the time that was too early or too late."""
    reason, field, account_id = letter["reason"], letter["field"], letter["account_id"]
    value = None if field is None else event.get(field)
    latest = recorded_at + state.future_skew if reason == DeadLetterReason.IN_FUTURE else None
    if not account_id:
        refusal = Refusal(str(reason), field, letter["detail"], value, None, latest)
        return Explanation(event, recorded_at, None, None, refusal)
    account = state.account(account_id)
    earliest = account.horizon(state.accept_window) if reason == DeadLetterReason.TOO_LATE else None
    refusal = Refusal(str(reason), field, letter["detail"], value, earliest, latest)
    return Explanation(event, recorded_at, _time(account), account.on_empty, refusal)


def _accepted(state: State, account: Account, event: Record, recorded_at: int, rehearsal: Rehearsal) -> Explanation:
    """An event that makes lines; the rehearsal says which, and how it would leave the account."""
    outputs = rehearsal.outputs
    lines = [output.record for output in outputs if output.kind is Kind.BILLED]
    expired = tuple(output.record for output in outputs if output.kind is Kind.GRANT)
    holds = [output.record for output in outputs if output.kind is Kind.HOLD]
    prices = prices_of(account, event, state.book, state.book_id)
    _check(event, prices, lines)
    after = rehearsal.state.account(account.account_id)
    return Explanation(
        event,
        recorded_at,
        _time(account),
        account.on_empty,
        plan=prices.plan,
        price=prices.story,
        lines=_line_stories(state, account, event, prices, lines),
        near_misses=prices.near_misses,
        shortages=_shortages(account, event, recorded_at, lines),
        balances=_balances(account, after, lines, expired),
        expired=expired,
        expired_holds=tuple(output for output in holds if output["status"] == HoldStatus.EXPIRED),
        hold=_hold_story(account, event, recorded_at, holds),
        alerts=tuple(output.record for output in outputs if output.kind is Kind.ALERT),
    )


def _check(event: Record, prices: Prices, lines: list[Record]) -> None:
    """The prices found here have to be those of the machine's lines."""
    version = prices.version.version if prices.version is not None and prices.pairs else None
    pairs: list[tuple[str | None, str | None, int]] = [(version, pair[0].charge, pair[1]) for pair in prices.pairs]
    pairs = pairs or [(None, None, 0)]
    decided = [(line["price_version"], line["charge"], line["unit_credits"]) for line in lines]
    if pairs != decided:
        raise RuntimeError(f"event {event['event_id']!r} is explained by {pairs}, and was decided as {decided}")


def _line_stories(
    state: State, account: Account, event: Record, prices: Prices, lines: list[Record]
) -> tuple[LineStory, ...]:
    if not prices.pairs:
        return tuple(LineStory(line) for line in lines)
    taken: _Taken = Counter()
    stories = []
    for line, (charge, _) in zip(lines, prices.pairs, strict=True):
        draws = _draws(account, charge.credit_type, line, taken)
        plan = prices.plan.name
        stories.append(
            LineStory(
                line,
                conditions_of(charge, event, plan),
                charge.per,
                charge.credits,
                plan is not None and plan in charge.plans,
                None if charge.unique is None else _unique_story(state, account, event, charge, charge.unique, line),
                line["balance_after"] + line["credits"],
                draws,
                line["credits"] - sum(draw.credits for draw in draws),
            )
        )
    return tuple(stories)


def _draws(account: Account, credit_type: str, line: Record, taken: _Taken) -> tuple[Draw, ...]:
    """The grants that the line used, with what the lines before it had left in them."""
    draws = []
    for use in line["grants_used"]:
        grant = account.balances[credit_type].find(use["grant_id"])
        if grant is None:
            raise RuntimeError(f"event {line['event_id']!r} used grant {use['grant_id']!r}, which is not open")
        before = grant.left - taken[credit_type, grant.grant_id]
        taken[credit_type, grant.grant_id] += use["credits"]
        draws.append(Draw(grant.grant_id, use["credits"], grant.expires_at, before, before - use["credits"]))
    return tuple(draws)


def _unique_story(
    state: State, account: Account, event: Record, charge: Charge, unique: Unique, line: Record
) -> UniqueStory:
    """Whose claim made the line free; where none did, who had paid for the subject before, as far as is remembered."""
    owner: Owner | None = None
    earlier: Owner | None = None
    tail = claim_key(charge, unique, event)
    if tail is not None:
        occurred_at = event["occurred_at"]
        owners: Sequence[Owner] = state.get(account.claim_prefix + tail) or ()
        horizon = account.horizon(state.accept_window, max(account.stream_time, occurred_at))
        owner = owner_of(owners, unique.window, occurred_at, horizon)
        past = [known for known in owners if known[0] <= occurred_at and not is_forgotten(known, horizon)]
        earlier = max(past, key=lambda known: known[0], default=None)
    if line["decision"] == Decision.DUPLICATE:
        if owner is None or owner[1] != line["owner_event_id"]:
            raise RuntimeError(f"event {event['event_id']!r} is free by {line['owner_event_id']!r}, found {owner!r}")
        earlier = None
    else:
        owner = None
        earlier = earlier if line["decision"] == Decision.CHARGED else None
    subjects = tuple(Subject(name, _given(name, event), subject_value(name, event)) for name in unique.by)
    return UniqueStory(
        unique.window.kind, unique.window.ms, subjects, _claimant(owner, unique), _claimant(earlier, unique)
    )


def _given(name: str, event: Record) -> str | None:
    text = event["attributes"].get(name.removeprefix(ATTRIBUTE)) if name.startswith(ATTRIBUTE) else event[name]
    return None if text is None else str(text)


def _claimant(owner: Owner | None, unique: Unique) -> Claimant | None:
    return None if owner is None else Claimant(owner[1], owner[0], unique.window.ends_at(owner[0]))


def _shortages(account: Account, event: Record, recorded_at: int, lines: list[Record]) -> tuple[Shortage, ...]:
    """Where the event was refused as a whole: the credit types of which there was not enough."""
    costs: Counter[str] = Counter()
    for line in lines:
        if line["decision"] == Decision.INSUFFICIENT_CREDITS:
            costs[line["credit_type"]] += line["units"] * line["unit_credits"]
    hold = account.holds.open_at(event["hold_id"], recorded_at) if event["hold_id"] is not None else None
    stream_time = max(account.stream_time, event["occurred_at"])
    shortages = []
    for name, cost in costs.items():
        available = account.available_at(name, stream_time, recorded_at)
        held = 0 if hold is None else hold.remaining.get(name, 0)
        if cost > held and cost - held > available:
            shortages.append(Shortage(name, cost, available, held))
    if costs and not shortages:
        raise RuntimeError(f"event {event['event_id']!r} was refused, and enough of {', '.join(costs)} was available")
    return tuple(shortages)


def _hold_story(account: Account, event: Record, recorded_at: int, changes: list[Record]) -> HoldStory | None:
    """The hold that the event drew on. Raises where the machine drew on another."""
    hold = account.holds.open_at(event["hold_id"], recorded_at) if event["hold_id"] is not None else None
    drawn = next((change for change in changes if change["event_id"] is not None), None)
    if (None if hold is None else hold.hold_id) != (None if drawn is None else drawn["hold_id"]):
        raise RuntimeError(f"event {event['event_id']!r} is explained by hold {hold!r}, and drew on {drawn!r}")
    return None if hold is None or drawn is None else HoldStory(hold.hold_id, dict(hold.remaining), drawn)


def _balances(
    account: Account, after: Account, lines: list[Record], expired: tuple[Record, ...]
) -> tuple[BalanceStory, ...]:
    """Every credit type that a line is about, or of which a grant was over. Raises where they do not add up."""
    names = dict.fromkeys(line["credit_type"] for line in lines if line["credit_type"] is not None)
    names |= dict.fromkeys(record["credit_type"] for record in expired)
    stories = []
    for name in names:
        charged = sum(line["credits"] for line in lines if line["credit_type"] == name)
        gone = sum(record["credits"] for record in expired if record["credit_type"] == name)
        amount, debt = account.amount(name), account.debt(name)
        story = BalanceStory(name, amount, gone, charged, after.amount(name), debt, after.debt(name))
        if story.before - story.expired - story.charged != story.after:
            raise RuntimeError(f"the balances of account {account.account_id!r} do not add up: {story}")
        stories.append(story)
    return tuple(stories)
