"""Locates an event: its account, and the offset from which to look, from ClickHouse, the dead letters and the states.

They only save reading: what none of them has yet the log has, as soon as the account is known.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from application.accounts.opening import kept_place
from application.clickhouse.asking import literal, rows_of, rows_or_empty
from application.dead_letters.reading import DeadLetter, DeadLetterLog
from application.errors import Failed, Misconfigured
from application.pipeline import Pipeline
from metering.explanation import Claimant

_LINES = (
    "account_id, source_partition, source_offset, line, decision, charge, credit_type, price_version, plan, units, "
    "unit_credits, credits, owner_event_id, balance_after"
)


@dataclass(frozen=True, slots=True)
class EventLocation:
    """The account that is meant, and the rows that ClickHouse has of the event; `rows` None: it was not asked.

    `first` is the offset of the first event of that id that is known of; None where none is.
    """

    account_id: str
    rows: list[dict[str, Any]] | None
    first: int | None

    def lines(self, offset: int) -> list[dict[str, Any]]:
        """The rows that an input offset caused, in order of line."""
        rows = [row for row in self.rows or () if int(row["source_offset"]) == offset]
        return sorted(rows, key=lambda row: int(row["line"]))


def locate(pipeline: Pipeline, event_id: str, account_id: str | None) -> EventLocation | None:
    """The account of an event; None where it is unknown. Raises Misconfigured where it may be one of several accounts'.

    With an account ClickHouse need not answer; without one it has to. Raises Failed.
    """
    try:
        rows, letters = _billed(pipeline, event_id, account_id), _set_aside(pipeline, event_id, account_id)
    except Failed as error:
        if account_id is None:
            raise Failed(
                f"{error.message}\n  Without ClickHouse, say whose event it is: --account", error.code
            ) from error
        why = error.message.splitlines()[0]
        pipeline.notices.remark(f"ClickHouse cannot be asked, so the log is read from further back: {why}")
        return EventLocation(account_id, None, None)
    accounts = sorted({row["account_id"] for row in (*rows, *letters)}) if account_id is None else [account_id]
    if len(accounts) > 1:
        raise Misconfigured(f"{len(accounts)} accounts have an event {event_id!r}; say which with --account:", accounts)
    if not accounts:
        return None
    return EventLocation(accounts[0], rows, min((row["source_offset"] for row in (*rows, *letters)), default=None))


def with_kept_place(pipeline: Pipeline, event_id: str, location: EventLocation) -> EventLocation:
    """The location with the place that a worker's state here keeps with the event's id, where ClickHouse knows none.

    What came under that id before the event was accepted is then not read. Raises LogError, StateError.
    """
    if location.first is not None:
        return location
    kept = kept_place(pipeline, location.account_id, event_id)
    return location if kept is None else replace(location, first=kept.offset)


def dead_letters_of(pipeline: Pipeline, event_id: str, account_id: str | None) -> list[DeadLetter]:
    """Request events of that id among the dead letters, in order of time. Raises LogError."""
    return sorted(
        (
            letter
            for letter in DeadLetterLog.of(pipeline).read()
            if letter.record["command"] == "request"
            and letter.record["id"] == event_id
            and account_id in {None, letter.record["account_id"]}
        ),
        key=lambda letter: int(letter.record["recorded_at"]),
    )


def offset_of(pipeline: Pipeline, account_id: str, owner: Claimant) -> int | None:
    """The input offset of an event that was billed; None where ClickHouse cannot be asked or does not have it."""
    at = f"toUnixTimestamp64Milli(occurred_at) = {owner.occurred_at}"
    where = f"account_id = {literal(account_id)} AND event_id = {literal(owner.event_id)} AND {at}"
    rows = rows_or_empty(pipeline.sql, f"SELECT source_offset FROM billed_events WHERE {where} LIMIT 1")  # noqa: S608 - quoted
    return int(rows[0]["source_offset"]) if rows else None


def _billed(pipeline: Pipeline, event_id: str, account_id: str | None) -> list[dict[str, Any]]:
    where = f"event_id = {literal(event_id)}{_of(account_id)}"
    return [_plain(row) for row in rows_of(pipeline.sql, f"SELECT {_LINES} FROM billed_events WHERE {where}")]  # noqa: S608 - quoted


def _set_aside(pipeline: Pipeline, event_id: str, account_id: str | None) -> list[dict[str, Any]]:
    """Where dead letters of that id are in their own account's partition, by account."""
    where = f"id = {literal(event_id)} AND command = 'request' AND isNotNull(account_id){_of(account_id)}"
    columns = "account_id, min(source_offset) AS source_offset"
    sql = f"SELECT {columns} FROM dead_letters WHERE {where} AND reason != 'wrong_partition' GROUP BY account_id"  # noqa: S608 - quoted
    return [_plain(row) for row in rows_of(pipeline.sql, sql)]


def _of(account_id: str | None) -> str:
    return "" if account_id is None else f" AND account_id = {literal(account_id)}"


_NUMBERS = ("source_partition", "source_offset", "line", "units", "unit_credits", "credits", "balance_after")


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """Numbers as numbers, however the server writes long ones."""
    return row | {name: int(row[name]) for name in _NUMBERS if row.get(name) is not None}
