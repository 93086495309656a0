"""The History page, its CSV, and the CSV of one row."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from starlette.responses import Response

from application.access.identity import Action
from application.access.members import member_names
from application.usage.choices import UsageChoices
from application.usage.counting import MOST, count_up_to
from application.usage.export import export
from application.usage.history import HistoryQuery, UsageReader
from application.usage.history import Page as RowsPage
from application.usage.newest import Table, days_of
from application.usage.query import Filters
from application.usage.scope import UsageScope, scope_of
from application.usage.store import TooMuch
from metering.windows import DAY_MS
from server.api.contract import CSV
from server.api.problems import Problem, ProblemType
from server.api.reads import reads_of
from server.api.usage import query_problems, streamed
from server.api.usage_text import ROW_COLUMNS, csv_line, csv_lines
from server.pages.charts import Chart, credits_chart
from server.pages.cookies import COLUMNS, TIME_ZONE, preference_cookie
from server.pages.history.choice import PERIODS, Choice, charted, choice_of
from server.pages.history.columns import ALL, DEFAULT, columns_of, get_frozen_style
from server.pages.history.rows import is_at, table_row
from server.pages.page_call import PageCall, Parameters
from server.pages.rendering import page
from server.pages.routing import SIGNED_IN, Page
from server.pages.zones import zone_names
from streams import clock


@dataclass(frozen=True, slots=True)
class HistoryView:
    """What the page shows. `count`: rows of the choice, MOST + 1 where there are more.

    What would take too long is left out, and the rows are there all the same: then `count` is None, or `chart` is while
    `is_drawn` says that there was something to draw.
    """

    choices: UsageChoices
    rows: RowsPage
    count: int | None
    chart: Chart | None
    units: list[str]
    is_drawn: bool = True

    @property
    def count_text(self) -> str:
        if self.count is None:
            return "Rows"
        if self.count > MOST:
            return f"{MOST:,}+ rows"
        return f"{self.count:,} row{'' if self.count == 1 else 's'}"


async def get_history(call: PageCall) -> Response:
    """Chart and table of the choice."""
    now = clock.now_ms()
    choice, columns, scope = choice_of(call, now), columns_of(call), scope_of(call.who, call.account)
    query = HistoryQuery(scope, choice.filters, choice.refunds)
    names = _names(call)
    with query_problems(lambda name: name):
        view = await asyncio.to_thread(_view, call, query, choice, names, now)
    parameters = choice.parameters() | _unit(call)
    rows = [table_row(call, row, columns, place) for place, row in enumerate(view.rows.rows)]
    response = page(
        call, "history.html", view=view, rows=rows, choice=choice, columns=columns, all_columns=ALL, periods=PERIODS,
        names=names, here=call.account_url("history", parameters | {"cursor": call.first("cursor")}),
        first=call.account_url("history", parameters),
        older=view.rows.next and call.account_url("history", parameters | {"cursor": view.rows.next}),
        csv=call.account_url("history.csv", parameters), zones=zone_names(call.zone.key),
        with_period=lambda name: call.account_url("history", _in_period(parameters, name)),
        without=lambda name, value: call.account_url("history", choice.without(name, value).parameters() | _unit(call)),
        with_refunds=call.account_url("history", parameters | {"refunds": None if choice.refunds else "true"}),
        with_unit=lambda unit: call.account_url("history", parameters | {"unit": unit}),
        kept=parameters, reset_columns=call.account_url("history", parameters | {"show": DEFAULT}),
    )  # fmt: skip
    for name, value in ((COLUMNS, columns.names), (TIME_ZONE, call.zone.key)):
        is_chosen = {COLUMNS: {"show", "freeze"} & call.query.keys(), TIME_ZONE: "tz" in call.query}[name]
        if is_chosen:
            response.headers.append("set-cookie", preference_cookie(name, value))
    return response


async def get_history_csv(call: PageCall) -> Response:
    """The whole choice, with every column, whichever the page shows."""
    choice, scope = choice_of(call, clock.now_ms()), scope_of(call.who, call.account)
    query = HistoryQuery(scope, choice.filters, choice.refunds)
    with query_problems(lambda name: name):
        whole = await asyncio.to_thread(export, reads_of(call).usage, query, _names(call))
    return streamed(whole, CSV)


async def get_row_csv(call: PageCall) -> Response:
    """One row: a line of an event, or its refund."""
    wanted = {name: call.first(name) for name in ("event_id", "line", "refund_id") if call.first(name)}
    query = HistoryQuery(
        scope_of(call.who, call.account), Filters(event_id=(wanted.get("event_id", ""),)), refunds=True, limit=1_000
    )
    with query_problems(lambda name: name):
        rows = await asyncio.to_thread(reads_of(call).usage.page, query, None, _names(call))
    chosen = [row for row in rows.rows if is_at(row, wanted)]
    if len(chosen) != 1:
        raise Problem(ProblemType.NOT_FOUND, "there is no such row")
    headers = {"content-disposition": 'attachment; filename="row.csv"'}
    return Response(csv_line(ROW_COLUMNS) + csv_lines(chosen), 200, headers, CSV)


def _view(call: PageCall, query: HistoryQuery, choice: Choice, names: dict[str, str], now: int) -> HistoryView:
    reads = reads_of(call)
    usage = reads.usage.at_one_instant(query.scope)
    choices = reads.choices.of(usage, query.scope)
    rows = usage.page(query, call.first("cursor") or None, names)
    units = list(choices.credit_type)
    unit = _charted_unit(call, choice, units, reads.primary_credit_type)
    try:
        chart, is_drawn = None if unit is None else _chart(call, usage, query.scope, choice, unit, now), True
    except TooMuch:
        chart, is_drawn = None, False
    try:
        count = count_up_to(usage, query)
    except TooMuch:
        count = None
    return HistoryView(choices, rows, count, chart, units, is_drawn)


def _chart(call: PageCall, usage: UsageReader, scope: UsageScope, choice: Choice, unit: str, now: int) -> Chart | None:
    """None where there is nothing to draw. Raises TooMuch, Failed."""
    first_day, last_day = days_of(usage.store, Table.LINES, scope)
    first_ms = first_day * DAY_MS if first_day <= last_day else None
    filters = charted(replace(choice.filters, credit_type=(unit,)), first_ms, now, call)
    return None if filters is None else credits_chart(usage, scope, filters, unit, call.zone)


def _charted_unit(call: PageCall, choice: Choice, units: list[str], primary: str | None) -> str | None:
    """Credits of different types are never added up: the chart is of one."""
    chosen = choice.filters.credit_type
    for unit in (call.first("unit"), chosen[0] if len(chosen) == 1 else None, primary):
        if unit in units:
            return unit
    return units[0] if units else None


def _unit(call: PageCall) -> dict[str, str | Sequence[str] | None]:
    return {"unit": call.first("unit")}


def _in_period(parameters: Parameters, name: str) -> Parameters:
    return {**parameters, "from": None, "to": None, "period": name}


def _names(call: PageCall) -> dict[str, str]:
    """People's names by actor; a member limited to an actor is told its own alone."""
    if call.parts.access is None or call.account is None:
        return {}
    names = member_names(call.parts.access, call.account)
    actor = call.who.actor
    return names if actor is None else {name: text for name, text in names.items() if name == actor}


_ACCOUNT = "/accounts/{account}"
PAGES = (
    Page("GET", f"{_ACCOUNT}/history", Action.READ_USAGE, get_history, "What was used"),
    Page("GET", f"{_ACCOUNT}/history.csv", Action.READ_USAGE, get_history_csv, "The choice as CSV"),
    Page("GET", f"{_ACCOUNT}/row.csv", Action.READ_USAGE, get_row_csv, "One row as CSV"),
    Page("GET", "/columns/{names}", SIGNED_IN, get_frozen_style, "Columns that stay in place"),
)
