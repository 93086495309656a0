"""What refunds would do, told from rows: the events' lines and their refunds that are loaded. Nothing is replayed.

The decision is the machine's own (`plan_refund`), on the event as its rows describe it. What only the account's whole
state knows (the balance after, what is forfeited to a grant that has expired) is null. `creditmeter refund --dry-run`
replays the account and says that, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from application.commands.refunds import RefundRequests, RefundResult, first_results
from application.commands.repeats import Repeat
from application.errors import ErrorCode, Failed
from application.pipeline import Pipeline
from application.usage.history import MOST_ROWS, HistoryQuery, UsageReader
from application.usage.query import MOST_VALUES, Filters
from application.usage.rows import RowKind, UsageRow
from application.usage.scope import UsageScope
from metering.book import DEFAULT_LIMITS
from metering.records import Decision, Kind, RefundStatus
from metering.refunds import plan_refund
from metering.state import State
from metering.store import MemoryStore, event_key

Line = list[Any]
"""A charged line as the machine keeps it: [line, charge, credit_type, credits, returned, uses, claim]."""
_CREDITS, _RETURNED = 3, 4


def forecast_refunds(
    pipeline: Pipeline, reader: UsageReader, requests: RefundRequests, accept_window: int | None = None
) -> list[RefundResult]:
    """What each request would do by what is loaded. `accept_window` (ms): of the price book in force.

    Raises Failed: NOT_FOUND where no line of an event is loaded.
    """
    account = requests.account_id
    rows = _rows_of(reader, account, [record["event_id"] for record in requests.records])
    first = first_results(pipeline, account, [record["refund_id"] for record in requests.records])
    state = State(MemoryStore())
    state.accept_window = DEFAULT_LIMITS.accept_window if accept_window is None else accept_window
    results = []
    for record in requests.records:
        event_id, refund_id = record["event_id"], record["refund_id"]
        if before := first.get(refund_id):
            repeat = Repeat(None, _differences(record, before))
            results.append(RefundResult(refund_id, account, event_id, [], is_repeated=True, repeat=repeat))
            continue
        event = rows.get(event_id)
        if not event:
            raise Failed(
                f"no line of the event {event_id!r} is loaded for {account}: ask again in a moment, or "
                "`creditmeter refund --dry-run` asks the log itself",
                ErrorCode.NOT_FOUND,
            )
        state.put(event_key(account, event_id), [_occurred_at(event), _charged(event)])
        results.append(RefundResult(refund_id, account, event_id, _outputs(state, record), is_repeated=False))
    return results


def _rows_of(reader: UsageReader, account_id: str, event_ids: Sequence[str]) -> dict[str, list[UsageRow]]:
    """Lines and refunds, by event."""
    by_event: dict[str, list[UsageRow]] = {}
    for start in range(0, len(event_ids), MOST_VALUES):
        filters = Filters(event_id=tuple(event_ids[start : start + MOST_VALUES]))
        query = HistoryQuery(UsageScope(account_id), filters, refunds=True, limit=MOST_ROWS)
        cursor: str | None = None
        while True:
            page = reader.page(query, cursor)
            for row in page.rows:
                by_event.setdefault(row.fields["event_id"], []).append(row)
            cursor = page.next
            if cursor is None:
                break
    return by_event


def _occurred_at(rows: Iterable[UsageRow]) -> int:
    return max(int(row.fields["occurred_at"]) for row in rows)


def _charged(rows: Sequence[UsageRow]) -> list[Line]:
    lines: dict[int, Line] = {}
    for row in rows:
        fields = row.fields
        if row.kind is RowKind.LINE and fields["decision"] == Decision.CHARGED:
            number = fields["line"]
            lines[number] = [number, fields["charge"], fields["credit_type"], fields["credits"], 0, [], None]
    for row in rows:
        if row.kind is RowKind.REFUND and (line := lines.get(row.fields["line"])) is not None:
            line[_RETURNED] -= row.fields["credits"]  # a refund's are negative
    return [lines[number] for number in sorted(lines)]


def _outputs(state: State, record: dict[str, Any]) -> list[dict[str, Any]]:
    plan = plan_refund(state, state.account(record["account_id"]), record)
    about = {name: record[name] for name in ("refund_id", "account_id", "event_id", "reason", "requested_at")}
    if plan.reject_reason is not None:
        rejected = {"status": RefundStatus.REJECTED, "reject_reason": plan.reject_reason, "charge": record["charge"]}
        return [{"type": Kind.REFUND, **about, **rejected, "credits": 0, "credit_type": None, **_UNKNOWN}]
    return [
        {
            "type": Kind.REFUND, **about, "status": RefundStatus.REFUNDED, "reject_reason": None, "line": line[0],
            "charge": line[1], "credits": part, "credit_type": line[2],
            "remaining_charge": line[_CREDITS] - line[_RETURNED] - part, "occurred_at": plan.occurred_at, **_UNKNOWN,
        }
        for line, part in plan.parts
    ]  # fmt: skip


_UNKNOWN = {"forfeited": None, "balance_after": None}


def _differences(record: dict[str, Any], before: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    """How the request differs from the first of its id, as far as rows tell."""
    first = before[0]["event_id"]
    if first != record["event_id"]:
        return (f"event_id {record['event_id']} instead of {first}",)
    return ()
