"""What accounts have used (SERVER 2): history by pages or whole, and sums."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Literal

from msgspec import Meta
from starlette.responses import Response, StreamingResponse

from application.access.identity import Action
from application.usage.aggregation import AggregationQuery, aggregate
from application.usage.as_of import AsOf, BadAsOf
from application.usage.buckets import Granularity
from application.usage.cursors import BadCursor
from application.usage.export import Export, export
from application.usage.history import MOST_ROWS, PAGE, HistoryQuery
from application.usage.measures import Measure
from application.usage.query import VALUES, BadQuery, Filters
from application.usage.rows import UsageRow
from application.usage.scope import UsageScope, check_actors, scope_of
from metering.windows import parse_instant
from server.api.after import LOADED_ITEM, wait_until_loaded
from server.api.answers import json_answer
from server.api.call import Call
from server.api.contract import CSV, JSON, NDJSON, PREFER, Content, Link, Parameter
from server.api.problems import Mistake, Problem, ProblemType
from server.api.reads import names_of, reads_of
from server.api.routing import Operation
from server.api.usage_text import (
    ROW_COLUMNS,
    aggregation_csv,
    aggregation_json,
    csv_line,
    csv_lines,
    ndjson_end,
    ndjson_lines,
    row_json,
)
from server.bodies.typed_object import TypedBody, read_typed
from server.messages.scalars import Instant
from server.messages.usage import AggregationShown, FilterBody, UsagePage, UsageQueryBody

_PARAMETERS = ("from", "to", *VALUES, "text", "refunds", "since", LOADED_ITEM.name)
_MEASURES = tuple(measure.value for measure in Measure)


async def account_usage(call: Call) -> Response:
    """One account's history."""
    return await _history(call, scope_of(call.who, call.account))


async def all_usage(call: Call) -> Response:
    """The history of all accounts."""
    return await _history(call, scope_of(call.who, None))


async def account_sums(call: Call) -> Response:
    """One account's usage added up."""
    return await _sums(call, scope_of(call.who, call.account))


async def all_sums(call: Call) -> Response:
    """The usage of all accounts added up."""
    return await _sums(call, scope_of(call.who, None))


async def _history(call: Call, scope: UsageScope) -> Response:
    reads, kind = reads_of(call), wanted_type(call, JSON, NDJSON, CSV)
    if kind != JSON:
        call.only_parameters(*_PARAMETERS)
    query = _history_query(call, scope)
    await wait_until_loaded(call)
    names = names_of(call, scope.account_id)
    with query_problems(_parameter_of):
        if kind != JSON:
            whole = await asyncio.to_thread(export, reads.usage, query, names)
            return streamed(whole, kind)
        page = await asyncio.to_thread(reads.usage.page, query, call.parameter("cursor"), names)
    rows = [row_json(row) for row in page.rows]
    return json_answer({"as_of": str(page.as_of), "rows": rows, "next": page.next})


def _history_query(call: Call, scope: UsageScope) -> HistoryQuery:
    mistakes: list[Mistake] = []
    values = {name: tuple(call.query.get(name, ())) for name in VALUES}
    filters = Filters(
        _time(call, "from", mistakes), _time(call, "to", mistakes), **values, text=call.parameter("text")
    )  # fmt: skip
    check_actors(call.who, filters.actor)
    refunds, limit, since = call.parameter("refunds"), call.parameter("limit"), call.parameter("since")
    if refunds not in {None, "true", "false"}:
        mistakes.append(Mistake("refunds", "should be true or false"))
    if limit is not None and not (limit.isascii() and limit.isdigit() and len(limit) < 10):
        mistakes.append(Mistake("limit", "should be a whole number"))
        limit = None
    after = None
    try:
        after = None if since is None else AsOf.parsed(since)
    except BadAsOf:
        mistakes.append(Mistake("since", "should be the as_of of an answer"))
    if mistakes:
        raise Problem(ProblemType.INVALID_PARAMETERS, "parameters are wrong", mistakes)
    return HistoryQuery(scope, filters, refunds == "true", after, PAGE if limit is None else int(limit))


def _time(call: Call, name: str, mistakes: list[Mistake]) -> int | None:
    text = call.parameter(name)
    if text is None:
        return None
    try:
        return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else parse_instant(text)
    except ValueError as error:
        mistakes.append(Mistake(name, str(error)))
        return None


def streamed(whole: Export, kind: str) -> Response:
    """All rows. A failure cuts the connection, so that nobody takes it for whole."""
    headers = {"creditmeter-rows": str(whole.count), "creditmeter-as-of": str(whole.begun.as_of)}
    if kind == CSV:
        headers["content-disposition"] = 'attachment; filename="usage.csv"'
        return StreamingResponse(_blocks(whole, csv_lines, csv_line(ROW_COLUMNS), b""), 200, headers, CSV)
    return StreamingResponse(_blocks(whole, ndjson_lines, b"", ndjson_end(whole.count)), 200, headers, NDJSON)


async def _blocks(
    whole: Export, text_of: Callable[[list[UsageRow]], bytes], head: bytes, end: bytes
) -> AsyncIterator[bytes]:
    if head:
        yield head
    blocks: Iterator[list[UsageRow]] = whole.blocks()
    while (block := await asyncio.to_thread(next, blocks, None)) is not None:
        yield await asyncio.to_thread(text_of, block)
    if end:
        yield end


async def _sums(call: Call, scope: UsageScope) -> Response:
    reads, kind = reads_of(call), wanted_type(call, JSON, CSV)
    query = _aggregation_query((await read_typed(call, UsageQueryBody)), call, scope)
    await wait_until_loaded(call)
    with query_problems(_pointer_of):
        answer = await asyncio.to_thread(aggregate, reads.usage, query)
    if kind == CSV:
        headers = {"creditmeter-rows": str(len(answer.cells)), "creditmeter-as-of": str(answer.as_of)}
        return Response(aggregation_csv(answer), 200, headers, CSV)
    return json_answer(aggregation_json(answer))


def _aggregation_query(body: TypedBody[UsageQueryBody], call: Call, scope: UsageScope) -> AggregationQuery:
    given = body.given
    measures = given.measures or (Measure.CREDITS.value,)
    for measure in measures:
        if measure not in _MEASURES:
            body.wrong("measures", f"should be of {', '.join(_MEASURES)}")
    body.finish()
    wanted = given.filters or FilterBody()
    filters = Filters(given.from_, given.to, **{name: getattr(wanted, name) for name in VALUES}, text=wanted.text)
    check_actors(call.who, filters.actor)
    return AggregationQuery(
        scope, filters, given.granularity or Granularity.NONE, given.time_zone or "UTC", given.group_by,
        tuple(map(Measure, measures)),
    )  # fmt: skip


def wanted_type(call: Call, *offered: str) -> str:
    """The type of answer that Accept names first among those offered; the first where it names none of them."""
    for part in call.headers.get("accept", "").split(","):
        kind = part.partition(";")[0].strip().lower()
        if kind in offered:
            return kind
    return offered[0]


@contextmanager
def query_problems(place_of: Callable[[str], str]) -> Iterator[None]:
    """Turns what is wrong with a question into problems that name the places."""
    try:
        yield
    except BadQuery as error:
        mistakes = [Mistake(place_of(name), reason) for name, reason in error.mistakes]
        raise Problem(ProblemType.INVALID_PARAMETERS, "the question is wrong", mistakes) from error
    except BadCursor as error:
        raise Problem(ProblemType.INVALID_PARAMETERS, error.message, [Mistake("cursor", error.message)]) from error


def _parameter_of(name: str) -> str:
    return name


def _pointer_of(name: str) -> str:
    return f"/filters/{name}" if name in {*VALUES, "text"} else f"/{name}"


_ROWS = {"creditmeter-rows": "how many rows there are", "creditmeter-as-of": "how far the store had loaded the log"}
_HISTORY = (
    Parameter("from", "from <= t", Instant),
    Parameter("to", "t < to", Instant),
    *(Parameter(name, "any of the values given", many=True) for name in VALUES),
    Parameter("text", "anywhere in a line, in either case"),
    Parameter("refunds", "true: refunds among the lines", Literal["true", "false"]),
    Parameter("since", "only what came after that as_of"),
    LOADED_ITEM,
    PREFER,
    Parameter("cursor", "`next` of the page before; of JSON only"),
    Parameter("limit", f"rows of a page, {PAGE} unless given; of JSON only", Annotated[int, Meta(ge=1, le=MOST_ROWS)]),
)
_PAGES = {200: Content({JSON: UsagePage, NDJSON: None, CSV: None}, "Rows, newest first", _ROWS)}
_SUMS = {200: Content({JSON: AggregationShown, CSV: None}, "Cells, by bucket and group", _ROWS)}
_WHY = {
    "why": Link(
        "GET /v1/accounts/{account}/events/{event_id}",
        {"account": "$response.body#/rows/0/account_id", "event_id": "$response.body#/rows/0/event_id"},
    )
}
OPERATIONS = (
    Operation(
        "GET", "/v1/accounts/{account}/usage", Action.READ_USAGE, account_usage, "An account's usage, newest first",
        _HISTORY, None, _PAGES, links=_WHY,
    ),
    Operation(
        "POST", "/v1/accounts/{account}/usage/query", Action.READ_USAGE, account_sums, "An account's usage added up",
        (LOADED_ITEM, PREFER), UsageQueryBody, _SUMS,
    ),
    Operation(
        "GET", "/v1/usage", Action.LIST_ACCOUNTS, all_usage, "The usage of all accounts, newest first", _HISTORY, None,
        _PAGES, links=_WHY,
    ),
    Operation(
        "POST", "/v1/usage/query", Action.LIST_ACCOUNTS, all_sums, "The usage of all accounts added up",
        (LOADED_ITEM, PREFER), UsageQueryBody, _SUMS,
    ),
)  # fmt: skip
