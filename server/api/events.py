"""POST /v1/events: stores events, answers with receipts, and with decisions where they are waited for (2.1)."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from application.access.identity import Action
from application.errors import ErrorCode, Failed
from application.ingest.accepting import Encoded, EventIntake, ItemStatus, other_contents
from application.ingest.decisions import Decision, Item, Patience
from metering.records import MAX_ID
from server.api.answers import json_answer
from server.api.call import Call
from server.api.contract import JSON, PREFER, WAIT, Content, Link
from server.api.decision_json import decision_json
from server.api.preferences import Preferences, preferences_of
from server.api.problems import Mistake, Problem, ProblemType
from server.api.routing import Operation
from server.bodies.event_bodies import Defaults, EventBody
from server.messages.events import EventResults
from server.messages.sent_events import CLOUD_EVENT, CLOUD_EVENTS, EVENTS, LINES
from streams.log.event_sender import SenderFull, Stored
from streams.log.protocols import LogUnavailable

_LARGE = 64 << 10
"""Bytes of a body that is read in a thread, and no two at once."""
_MOST_MISTAKES = 1_000


@dataclass(slots=True)
class _Result:
    """One item: what is wrong with it, or its event and where it was stored."""

    event_id: str | None
    mistakes: Sequence[Mistake] = ()
    event: Encoded | None = None
    status: ItemStatus = ItemStatus.NOT_STORED
    stored: Stored | None = None
    decision: Decision | None = None


async def post_events(call: Call) -> Response:
    """Store the events of the body. 200 where all are stored, 422 where some are invalid, 503 where any is unknown."""
    preferences = preferences_of(call)
    body = await call.body()
    if len(body) > _LARGE:
        async with call.parts.large_bodies:
            results = await asyncio.to_thread(_read, call, body)
    else:
        results = _read(call, body)
    has_invalid = any(result.mistakes for result in results)
    if not (has_invalid and preferences.is_strict):
        await _store(call, [result for result in results if result.event is not None])
    if preferences.wait is not None:
        await _wait(call, results, preferences.wait)
    _count(call, results)
    return _answer(call, results, preferences)


def _read(call: Call, body: bytes) -> list[_Result]:
    """The items of a body, each checked and encoded. Raises Problem: also 403 for an event of another account."""
    defaults = Defaults(call.who.account_id, call.parts.face.source_in_id)
    events = EventBody(call.headers, body, defaults)
    results = []
    strangers = []
    for index in range(len(events)):
        record, mistakes = events.event(index)
        account_id = record.get("account_id")
        if call.who.account_id is not None and isinstance(account_id, str) and account_id != call.who.account_id:
            strangers.append(Mistake(events.field_pointer(index, "account_id"), "is not this key's account"))
        results.append(_result(call.parts.intake, record, mistakes))
    if strangers:
        raise Problem(
            ProblemType.FORBIDDEN, f"this key is for the account {call.who.account_id} alone; nothing was stored",
            strangers[:_MOST_MISTAKES],
        )  # fmt: skip
    for index, first in other_contents([result.event for result in results]).items():
        pointer = events.field_pointer(index, "event_id")
        where = events.pointer(first) or "the body"
        results[index].mistakes = [Mistake(pointer, f"stands at {where} with another content")]
        results[index].event, results[index].status = None, ItemStatus.INVALID
    return results


def _result(intake: EventIntake, record: dict[str, Any], mistakes: Sequence[Mistake]) -> _Result:
    if not mistakes:
        return _Result(record["event_id"], event=intake.encoded(record))
    event_id = record.get("event_id")
    is_shown = isinstance(event_id, str) and len(event_id) <= MAX_ID and event_id.isprintable()
    return _Result(event_id if is_shown else None, mistakes, status=ItemStatus.INVALID)


async def _store(call: Call, results: Sequence[_Result]) -> None:
    """Raises Problem 503 where nothing was sent."""
    events = [result.event for result in results if result.event is not None]
    try:
        stored = await call.parts.intake.store(call.who.key_id, events)
    except SenderFull as error:
        raise Problem(ProblemType.OVERLOADED, f"{error}; nothing of this request was stored") from error
    except LogUnavailable as error:
        raise Failed(
            "Kafka does not answer: nothing of this request was stored; send it again", ErrorCode.UNAVAILABLE
        ) from error
    for result, place in zip(results, stored, strict=True):
        result.stored = place
        result.status = ItemStatus.UNKNOWN if place is None else ItemStatus.STORED
    first = next((place for place in stored if place is not None), None)
    if first is not None:
        call.facts["receipt"] = str(call.parts.intake.receipt(first))


async def _wait(call: Call, results: Sequence[_Result], seconds: float) -> None:
    waiting = [result for result in results if result.stored is not None and result.event is not None]
    items = [
        Item(result.stored, result.event.account_id, result.event.event_id)
        for result in waiting
        if result.stored is not None and result.event is not None
    ]
    decisions = await call.parts.decisions.wait(items, Patience(seconds))
    recorded = call.parts.recorded
    if recorded is not None and any(decision.first is not None and not decision.lines for decision in decisions):
        with suppress(Failed):  # the first lines are good to have: a repeat is one without them
            decisions = await asyncio.to_thread(recorded.with_first_lines, items, decisions)
    for result, decision in zip(waiting, decisions, strict=True):
        result.decision = decision
        call.parts.metrics.waits.labels(decision.status).inc()


def _count(call: Call, results: Sequence[_Result]) -> None:
    call.facts["events"] = str(len(results))
    for status, number in Counter(result.status for result in results).items():
        call.parts.metrics.events.labels(status).inc(number)
        if status is not ItemStatus.STORED:
            call.facts[status] = str(number)


def _answer(call: Call, results: Sequence[_Result], preferences: Preferences) -> Response:
    shown = [_shown(call, result) for result in results]
    statuses = Counter(result.status for result in results)
    headers = {} if preferences.wait is None else {"preference-applied": f"wait={preferences.wait:g}"}
    if preferences.is_strict:
        headers["preference-applied"] = ", ".join(filter(None, (headers.get("preference-applied"), "handling=strict")))
    if unknown := statuses[ItemStatus.UNKNOWN]:
        raise Problem(
            ProblemType.UNAVAILABLE,
            f"{unknown} of {len(results)} events may or may not be stored: send those again, which is safe",
            members={"results": shown}, headers=headers,
        )  # fmt: skip
    if invalid := statuses[ItemStatus.INVALID]:
        rest = "nothing was stored" if preferences.is_strict else "the others are stored"
        raise Problem(
            ProblemType.INVALID_ITEMS, f"{invalid} of {len(results)} events are invalid; {rest}",
            [mistake for result in results for mistake in result.mistakes][:_MOST_MISTAKES],
            {"results": shown}, headers,
        )  # fmt: skip
    return json_answer({"results": shown}, headers=headers)


def _shown(call: Call, result: _Result) -> dict[str, Any]:
    shown: dict[str, Any] = {"event_id": result.event_id, "status": result.status}
    if result.stored is not None:
        shown["receipt"] = str(call.parts.intake.receipt(result.stored))
    if result.mistakes:
        shown["errors"] = [mistake.as_json() for mistake in result.mistakes]
    if result.decision is not None:
        shown["decision"] = decision_json(result.decision)
    return shown


_BODY = Content(
    {
        JSON: EVENTS, "application/x-ndjson": LINES, "application/cloudevents+json": CLOUD_EVENT,
        "application/cloudevents-batch+json": CLOUD_EVENTS,
    }
)  # fmt: skip
_RECEIPT = {"receipt": Link("GET /v1/receipts/{receipt}", {"receipt": "$response.body#/results/0/receipt"})}
OPERATIONS = (
    Operation(
        "POST", "/v1/events", Action.SEND_EVENTS, post_events, "Store events; get their receipts", (WAIT, PREFER),
        _BODY, {200: EventResults}, links=_RECEIPT,
    ),
)  # fmt: skip
