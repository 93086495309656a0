"""Decisions, lines and hold changes as JSON: times in RFC 3339, amounts as integers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from application.ingest.decisions import Decision, DecisionStatus
from application.wording import shown_time

LINE_FIELDS = (
    "line", "decision", "charge", "feature", "action", "credit_type", "units", "unit_credits", "credits",
    "balance_after", "owner_event_id", "price_version", "hold_id",
)  # fmt: skip


def decision_json(decision: Decision) -> dict[str, Any]:
    """A decision; `status` says which members there are."""
    shown: dict[str, Any] = {"status": decision.status}
    if decision.status is DecisionStatus.DECIDED:
        shown["lines"] = [line_json(line) for line in decision.lines]
    elif decision.status is DecisionStatus.REPEATED:
        shown["same_content"] = decision.same_content
        shown["first"] = {"lines": [line_json(line) for line in decision.lines]} if decision.lines else None
    elif decision.status is DecisionStatus.SET_ASIDE:
        shown |= {"reason": decision.reason, "field": decision.field}
    return shown


def line_json(line: Mapping[str, Any]) -> dict[str, Any]:
    """One billed line, without the event's own fields."""
    shown = {name: line.get(name) for name in LINE_FIELDS}
    ends = line.get("window_ends_at")
    shown["window_ends_at"] = None if ends is None else shown_time(ends)
    return shown


def hold_json(change: Mapping[str, Any]) -> dict[str, Any]:
    """A hold as one of its changes leaves it; available_after is null where it is not at hand."""
    names = ("hold_id", "account_id", "status", "credits", "charged", "available_after", "event_id", "reject_reason")
    return {
        **{name: change.get(name) for name in names},
        "expires_at": shown_time(change["expires_at"]),
        "reason": change["reason"],
    }
