"""The history as plain Python makes it from the same outputs: what the store's answers are compared with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from application.usage.query import VALUES, Filters
from application.usage.scope import UsageScope
from tests.application.usage.conftest import UsageLog

Json = dict[str, Any]
SEARCHED = ("endpoint", "event_id", "request_id", "actor", "feature", "action", "user_id", "ip", "domain")


def passes(line: Json, scope: UsageScope, filters: Filters, at: int, decision: str) -> bool:
    """Whether a line, or the refund of it (then `at` and `decision` are the refund's), is among those asked for."""
    if scope.account_id not in {None, line["account_id"]} or scope.actor not in {None, line["actor"]}:
        return False
    if not (filters.from_ms or at) <= at < (filters.to_ms or at + 1):
        return False
    for name in VALUES:
        wanted = getattr(filters, name)
        if name == "subject":
            values = {line["user_id"], line["ip"], line["domain"]}
        else:
            values = {decision if name == "decision" else line[name]}
        if wanted and not values & set(wanted):
            return False
    texts = [line[name] or "" for name in SEARCHED] + list(line["attributes"].values())
    return not filters.text or any(filters.text.lower() in text.lower() for text in texts)


def line_of(refund: Json, lines: list[Json]) -> Json:
    """The line that a refund is about: the last of its event before it."""
    earlier = [
        line
        for line in lines
        if (line["account_id"], line["event_id"], line["line"])
        == (refund["account_id"], refund["event_id"], refund["line"])
        and line["source_offset"] < refund["source_offset"]
    ]
    return max(earlier, key=lambda line: line["source_offset"])


def expected_rows(
    log: UsageLog,
    scope: UsageScope,
    filters: Filters,
    *,
    refunds: bool,
    loaded: Callable[[Json], bool] = lambda _: True,
) -> list[tuple[Any, ...]]:
    """(key, credits, feature, actor) of every row, newest first."""
    lines = [line for line in log.rows("events", scope.account_id) if loaded(line)]
    rows = [
        ((line["occurred_at"], line["account_id"], line["event_id"], line["line"], 0, ""), line["credits"],
         line["feature"], line["actor"])
        for line in lines
        if passes(line, scope, filters, line["occurred_at"], line["decision"])
    ]  # fmt: skip
    for refund in log.rows("refunds", scope.account_id) if refunds else ():
        if refund["status"] != "refunded" or not loaded(refund):
            continue
        line = line_of(refund, lines)
        if passes(line, scope, filters, refund["requested_at"], "refunded"):
            identity = refund["account_id"], refund["event_id"], refund["line"]
            key = refund["requested_at"], *identity, 1, refund["refund_id"]
            rows.append((key, -refund["credits"], line["feature"], line["actor"]))
    return sorted(rows, key=lambda row: tuple(part.encode() if isinstance(part, str) else part for part in row[0]))[
        ::-1
    ]
