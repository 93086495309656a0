"""What the decisions of one call come to, as its caller is told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from creditmeter_client.results import Decision
from creditmeter_client.usage import Event

_CHARGED = "charged"
_RESULTS = "results"


def credit_usage(events: Sequence[Event], decisions: Sequence[Decision], *, detail: bool = False) -> dict[str, Any]:
    """The value of `credit_usage`: total_results and total_credits, both null while any decision is pending.

    total_results: of each event with a charged line its quantity `results`, else the units of its charged lines.
    """
    is_final = all(decision.is_final for decision in decisions)
    usage: dict[str, Any] = {
        "total_results": sum(map(_results, events, decisions)) if is_final else None,
        "total_credits": sum(decision.credits or 0 for decision in decisions) if is_final else None,
    }
    if detail:
        usage |= {
            "status": "decided" if is_final else "pending",
            "by_credit_type": _by_credit_type(decisions) if is_final else None,
            "event_ids": [event.event_id for event in events],
            "remaining": _remaining(decisions) if is_final else None,
        }
    return usage


def _results(event: Event, decision: Decision) -> int:
    charged = [line for line in decision.lines if line.decision == _CHARGED]
    if not charged:
        return 0
    results = event.fields.get("quantities", {}).get(_RESULTS)
    return int(results) if results is not None else sum(line.units for line in charged)


def _by_credit_type(decisions: Sequence[Decision]) -> dict[str, int]:
    by_type: dict[str, int] = {}
    for decision in decisions:
        for line in decision.lines:
            if line.credit_type is not None:
                by_type[line.credit_type] = by_type.get(line.credit_type, 0) + line.credits
    return by_type


def _remaining(decisions: Sequence[Decision]) -> dict[str, int]:
    """The balance after the last line of each credit type."""
    return {
        line.credit_type: line.balance_after
        for decision in decisions
        for line in decision.lines
        if line.credit_type is not None and line.balance_after is not None
    }
