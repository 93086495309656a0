"""Filters as conditions of a statement: values are bound, never pasted, and account and actor are in every one.

The one module that makes WHERE clauses over `billed_rows` and `refund_rows` for customers.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Literal

from application.usage.as_of import AsOf
from application.usage.query import REFUNDED, VALUES, Filters
from application.usage.scope import UsageScope
from metering.windows import DAY_MS
from sinks.parameters import Parameter
from sinks.rows import LAST_TIME

Kind = Literal["String", "Int64", "Array(String)", "Array(Int64)"]

SUBJECTS = ("user_id", "ip", "domain")
OF_REFUNDS = frozenset({"account_id", "event_id", "credit_type"})
"""The fields of a line that its refund has, too."""
_SEARCHED = ("endpoint", "event_id", "request_id", "actor", "feature", "action", *SUBJECTS)


class Bound:
    """Values bound to placeholders of one statement."""

    def __init__(self) -> None:
        self.parameters: dict[str, Parameter] = {}

    def bind(self, value: Parameter, kind: Kind) -> str:
        """The placeholder that stands for the value."""
        name = f"p{len(self.parameters)}"
        self.parameters[name] = value
        return f"{{{name}:{kind}}}"

    def texts(self, values: Sequence[str]) -> str:
        return self.bind(list(values), "Array(String)")


def line_conditions(bound: Bound, scope: UsageScope, filters: Filters, as_of: AsOf, since: AsOf | None) -> str:
    """Which rows of `billed_rows` are in scope, pass the filters, and are of the instant (and came after `since`)."""
    return _all(
        [
            *_account(bound, scope),
            *_times(bound, filters.from_ms, filters.to_ms, "occurred_at"),
            *_positions(bound, scope, as_of.lines(), None if since is None else since.lines()),
            *line_filters(bound, scope, filters),
        ]
    )


def refund_conditions(bound: Bound, scope: UsageScope, filters: Filters, as_of: AsOf, since: AsOf | None) -> str:
    """Which rows of `refund_rows` are made refunds of the account, of that time and instant.

    Actor and filters are about the refunded line: `refund_source` puts `line_filters` behind it.
    """
    return _all(
        [
            *_account(bound, scope),
            "status = 'refunded' AND isNotNull(line)",
            *_times(bound, filters.from_ms, filters.to_ms, "requested_at"),
            *_positions(bound, scope, as_of.refunds(), None if since is None else since.refunds()),
            *([f"event_id IN {bound.texts(filters.event_id)}"] if filters.event_id else []),
        ]
    )


def refund_source(bound: Bound, scope: UsageScope, filters: Filters, as_of: AsOf, since: AsOf | None) -> str:
    """A subquery with one row a refunded line: the line's own columns, and those of its refund.

    A refund's line is the last of its event before it in the log. `refunded`: credits given back. The lines are looked
    for on their days, by the table's order; refunds of an earlier version, which say none, on all of them.
    """
    refunds = refund_conditions(bound, scope, filters, as_of, since)
    account = _all(_account(bound, scope))
    line = _all(line_filters(bound, scope, filters))
    return f"""(
SELECT * FROM
(
    SELECT refund_id, refunded, forfeited, remaining_charge, refund_balance, reason, requested_at, requested_ms,
        refund_offset, lines.*
    FROM
    (
        SELECT account_id AS refund_account, event_id AS refund_event, assumeNotNull(line) AS refund_line, refund_id,
            credits AS refunded, forfeited, remaining_charge, balance_after AS refund_balance, reason, requested_at,
            toUnixTimestamp64Milli(requested_at) AS requested_ms, source_offset AS refund_offset
        FROM refund_rows FINAL
        WHERE {refunds}
    ) AS refunds
    INNER JOIN
    (
        SELECT * FROM billed_rows
        WHERE {account} AND (day, event_id) IN
        (
            SELECT toDate32(assumeNotNull(occurred_at)), event_id FROM refund_rows
            WHERE {refunds} AND isNotNull(occurred_at)
        )
        UNION ALL
        SELECT * FROM billed_rows
        WHERE {account} AND event_id IN
        (
            SELECT event_id FROM refund_rows WHERE {refunds} AND isNull(occurred_at)
        )
    ) AS lines
    ON lines.account_id = refund_account AND lines.event_id = refund_event AND lines.line = refund_line
    WHERE lines.source_offset < refund_offset
    ORDER BY lines.source_offset DESC
    LIMIT 1 BY refund_account, refund_id, refund_line, requested_at
)
WHERE {line}
)"""


def refunds_alone(
    bound: Bound, scope: UsageScope, filters: Filters, as_of: AsOf, since: AsOf | None, fields: Collection[str]
) -> str | None:
    """As `refund_source`, without the lines, which cost most of it: `requested_ms`, `refunded` and these fields.

    None where these fields, the filters or the scope need something of the line that its refund does not say.
    """
    asked = {name for name in VALUES if getattr(filters, name)}
    if scope.actor is not None or filters.text or not OF_REFUNDS.issuperset((*asked, *fields)):
        return None
    conditions = [refund_conditions(bound, scope, filters, as_of, since), *line_filters(bound, scope, filters)]
    return f"""(
SELECT account_id, event_id, credit_type, credits AS refunded, toUnixTimestamp64Milli(requested_at) AS requested_ms
FROM refund_rows FINAL WHERE {_all(conditions)}
)"""


def line_filters(bound: Bound, scope: UsageScope, filters: Filters) -> list[str]:
    """The actor of the scope, and the filters but those of time."""
    conditions = []
    if scope.actor is not None:
        conditions.append(f"actor = {bound.bind(scope.actor, 'String')}")
    for name in VALUES:
        values: tuple[str, ...] = getattr(filters, name)
        if not values:
            continue
        placeholder = bound.texts(values)
        columns = SUBJECTS if name == "subject" else (name,)
        conditions.append(" OR ".join(f"{column} IN {placeholder}" for column in columns))
    if filters.text:
        text = bound.bind(filters.text, "String")
        anywhere = [f"positionCaseInsensitiveUTF8(ifNull(toString({name}), ''), {text}) > 0" for name in _SEARCHED]
        anywhere.append(f"arrayExists(value -> positionCaseInsensitiveUTF8(value, {text}) > 0, attribute_values)")
        conditions.append(" OR ".join(anywhere))
    return conditions


def of_refunds(filters: Filters) -> Filters | None:
    """The filters as they are about refunded lines; None where no refund passes: a refund's decision is `refunded`."""
    if not filters.decision:
        return filters
    return replace(filters, decision=()) if REFUNDED in filters.decision else None


def day_of(ms: int) -> str:
    """The UTC day of an instant, as ClickHouse reads it."""
    return datetime.fromtimestamp(min(ms, LAST_TIME) // 1000, UTC).date().isoformat()


def instant(bound: Bound, ms: int) -> str:
    """An instant as the tables have it: times after 2299 are the last of that year."""
    return f"fromUnixTimestamp64Milli({bound.bind(min(ms, LAST_TIME + 1), 'Int64')}, 'UTC')"


def day(bound: Bound, ms: int) -> str:
    return f"toDate32({bound.bind(day_of(ms), 'String')})"


def _account(bound: Bound, scope: UsageScope) -> list[str]:
    return [] if scope.account_id is None else [f"account_id = {bound.bind(scope.account_id, 'String')}"]


def _times(bound: Bound, from_ms: int | None, to_ms: int | None, column: str) -> list[str]:
    """A UTC day's midnight is compared as a day alone: that is one column less to read."""
    conditions = []
    if from_ms is not None:
        conditions.append(f"day >= {day(bound, from_ms)}")
        if from_ms % DAY_MS or from_ms > LAST_TIME:
            conditions.append(f"{column} >= {instant(bound, from_ms)}")
    if to_ms is not None:
        conditions.append(f"day <= {day(bound, to_ms - 1)}")
        if to_ms % DAY_MS:
            conditions.append(f"{column} < {instant(bound, to_ms)}")
    return conditions


def _positions(bound: Bound, scope: UsageScope, up_to: list[int], since: list[int] | None) -> list[str]:
    conditions = [f"source_offset <= {_reached(bound, scope, up_to)}"]
    return conditions if since is None else [*conditions, f"source_offset > {_reached(bound, scope, since)}"]


def _reached(bound: Bound, scope: UsageScope, offsets: list[int]) -> str:
    """The offset of a row's own partition, -1 where that has nothing yet.

    An account's rows are all of one partition (SPEC 1): then one number is compared.
    """
    if scope.account_id is not None:
        return bound.bind(max(offsets), "Int64")
    listed = bound.bind(offsets, "Array(Int64)")
    return f"if(source_partition < length({listed}), {listed}[source_partition + 1], -1)"


def _all(conditions: list[str]) -> str:
    return " AND ".join(f"({condition})" for condition in conditions) if conditions else "1"
