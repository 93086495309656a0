"""Sentences for outputs: a grant, a refund, an alert or a dead letter, for the person who caused it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from application.wording import amount, shown_time
from metering.records import GrantStatus, HoldStatus, Kind, RejectReason

REJECTED = {
    RejectReason.UNKNOWN_CHARGE: (
        "the account has no such event, or it happened longer ago than accept_window: it can no longer be refunded"
    ),
    RejectReason.NOTHING_CHARGED: "nothing that was charged matches: the event, or this charge of it, cost nothing",
    RejectReason.CHARGE_REQUIRED: "several lines of the event were charged: with --credits, say which with --charge",
    RejectReason.EXCEEDS_CHARGE: "that is more than is left of the charge, or all of it has been given back before",
}


def in_words(output: Mapping[str, Any]) -> str:
    """One output, as a sentence without a full stop."""
    return _WORDS[Kind(output["type"])](output)


def would_be(output: Mapping[str, Any]) -> str:
    """The same for an output of a dry run, which has not happened."""
    return f"would {'' if output['type'] == Kind.ALERT else 'be '}{in_words(output)}"


def kept_time(text: str) -> str:
    """An instant as ClickHouse prints it, as all the others are shown."""
    return f"{text.replace(' ', 'T')}Z"


def _grant(output: Mapping[str, Any]) -> str:
    what = amount(output["credits"], output["credit_type"])
    if output["status"] == GrantStatus.EXPIRED:
        return f"expired: {what} of grant {output['grant_id']} forfeited; {_balance(output)}"
    ends = output["expires_at"]
    until = "never expires" if ends is None else f"expires {shown_time(ends)}"
    return f"granted: {what} to {output['account_id']} ({until}); {_balance(output)}"


def _refund(output: Mapping[str, Any]) -> str:
    event = f"event {output['event_id']}"
    if output["reject_reason"] is not None:
        return f"rejected: {event}: {REJECTED[RejectReason(output['reject_reason'])]} ({output['reject_reason']})"
    what = amount(output["credits"], output["credit_type"])
    lost = f", {output['forfeited']:,} of them forfeited with their grants" if output["forfeited"] else ""
    left = f"{output['remaining_charge']:,} of the charge left" if output["remaining_charge"] else "the whole charge"
    return f"refunded: {event}, {output['charge']}: {what}{lost} ({left}); {_balance(output)}"


def _billed(output: Mapping[str, Any]) -> str:
    charge = output["charge"] or "no charge"
    cost = amount(output["credits"], output["credit_type"]) if output["credit_type"] else "0 credits"
    return f"billed: event {output['event_id']}, {charge}: {output['decision']}, {cost}"


def _alert(output: Mapping[str, Any]) -> str:
    is_below = output["mark"] is not None
    what = f"has fallen below {output['mark']:,}" if is_below else "is used up"
    return f"alert: the balance of {output['credit_type']} {what}: {output['balance']:,}"


def _account(output: Mapping[str, Any]) -> str:
    plan = "no plan" if output["plan"] is None else f"plan {output['plan']['name']}"
    return f"settings of {output['account_id']} changed: {plan}, on_empty {output['on_empty']}"


def _hold(output: Mapping[str, Any]) -> str:
    who, status = f"hold {output['hold_id']}", HoldStatus(output["status"])
    asked, left = _amounts(output["credits"]), f"available {_amounts(output['available_after'])}"
    if status is HoldStatus.HELD:
        return f"held: {asked} by {who} until {shown_time(output['expires_at'])}; {left}"
    if status is HoldStatus.REJECTED:
        return f"rejected: {who} asks for {asked} ({output['reject_reason']}); {left}"
    charged = _amounts(output["charged"]) if output["charged"] else "nothing"
    by = "" if output["event_id"] is None else f" by event {output['event_id']}"
    return f"{status}: {who}{by}, {charged} charged of {asked}; {left}"


def _amounts(by_type: Mapping[str, int]) -> str:
    return ", ".join(amount(credits_, name) for name, credits_ in by_type.items())


def _dead_letter(output: Mapping[str, Any]) -> str:
    field = f", field {output['field']}" if output["field"] else ""
    return f"set aside: {output['reason']}{field}: {output['detail']}"


def _balance(output: Mapping[str, Any]) -> str:
    return f"balance {amount(output['balance_after'], output['credit_type'])}"


_WORDS = {
    Kind.GRANT: _grant,
    Kind.REFUND: _refund,
    Kind.BILLED: _billed,
    Kind.ALERT: _alert,
    Kind.ACCOUNT: _account,
    Kind.HOLD: _hold,
    Kind.DEAD_LETTER: _dead_letter,
}
