"""A row of the table: its cells by column, and its menu."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from application.usage.rows import RowKind, UsageRow
from server.pages.history.columns import ShownColumns
from server.pages.page_call import PageCall
from server.pages.rendering import number
from server.pages.row_actions import action_links

_TIMES = {"date", "window_ends_at"}
_COUNTS = {"credits", "units", "unit_credits", "balance_after"}
_MAPS = {"quantities", "attributes"}
_SUBJECTS = (("user_id", "user id"), ("ip", "address"), ("domain", "domain"))


@dataclass(frozen=True, slots=True)
class Cell:
    """`kind`: time, number, badge or text. `at` (ms): of a time. `url`: where it leads."""

    column: str
    kind: str
    text: str
    at: int | None = None
    url: str | None = None


@dataclass(frozen=True, slots=True)
class MenuItem:
    """`is_foreign`: it leads to the company's own application."""

    label: str
    url: str
    is_foreign: bool = False


@dataclass(frozen=True, slots=True)
class TableRow:
    """`number`: of the page, from 0; names the row's menu."""

    number: int
    is_refund: bool
    cells: list[Cell]
    menu: list[MenuItem]


def table_row(call: PageCall, row: UsageRow, columns: ShownColumns, place: int) -> TableRow:
    """The row at this place of the page."""
    cells = [_cell(call, row, column.name) for column in columns.columns]
    return TableRow(place, row.kind is RowKind.REFUND, cells, list(_menu(call, row)))


def _cell(call: PageCall, row: UsageRow, name: str) -> Cell:
    value = row.fields[name]
    if name in _TIMES:
        url = call.event_url(row.fields["event_id"]) if name == "date" else None
        return Cell(name, "time", "", value, url)
    if name in _COUNTS:
        return Cell(name, "number", "" if value is None else number(value))
    if name in _MAPS:
        return Cell(name, "text", _pairs(value))
    if name in {"decision", "outcome"}:
        return Cell(name, "badge", value)
    url = call.event_url(value) if name in {"event_id", "owner_event_id"} and value else None
    return Cell(name, "text", value or "", url=url)


def _pairs(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}: {value}" for name, value in sorted(values.items()))


def _menu(call: PageCall, row: UsageRow) -> list[MenuItem]:
    fields = row.fields
    event_id, all_time = fields["event_id"], {"period": "all", "refunds": "true"}
    items = [
        MenuItem("Why?", call.event_url(event_id)),
        MenuItem("The event\u2019s lines and refunds", call.account_url("history", {**all_time, "event_id": event_id})),
        MenuItem("This row as CSV", call.account_url("row.csv", _place_of(row))),
    ]
    if fields["request_id"] is not None:
        of_request = {**all_time, "request_id": fields["request_id"]}
        items.append(MenuItem("All of the same request", call.account_url("history", of_request)))
    for name, words in _SUBJECTS:
        if fields[name] is not None:
            of_subject = {**all_time, "subject": fields[name]}
            items.append(MenuItem(f"All of the same {words}", call.account_url("history", of_subject)))
    links = action_links(call.parts.face.row_actions, fields)
    return items + [MenuItem(label, url, is_foreign=True) for label, url in links]


def _place_of(row: UsageRow) -> dict[str, str]:
    """What tells a row from others of its event."""
    refund_id = row.fields["refund_id"]
    of_refund = {} if refund_id is None else {"refund_id": refund_id}
    return {"event_id": row.fields["event_id"], "line": str(row.fields["line"]), **of_refund}


def is_at(row: UsageRow, parameters: Mapping[str, str]) -> bool:
    """Whether a row is the one that `parameters` name."""
    return all(str(row.fields[name]) == value for name, value in parameters.items()) and (
        row.fields["refund_id"] is None or "refund_id" in parameters
    )
