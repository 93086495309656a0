"""POST /v1/estimates: what events would cost, by the account's state where this machine has it; nothing is stored."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.responses import Response

from application.access.identity import Action
from application.accounts.at_hand import state_at_hand
from application.accounts.estimate import Estimator
from application.input.ndjson import InputCommand, to_ms
from application.pipeline import Pipeline
from metering.mistakes import all_mistakes
from metering.records import Command, Outcome
from metering.store import MemoryStore
from metering.windows import format_instant
from server.api.answers import json_answer
from server.api.call import Call
from server.api.contract import JSON, Content, Parameter
from server.api.problems import Mistake, Problem, ProblemType
from server.api.routing import Operation
from server.bodies.event_bodies import MOST_EVENTS
from server.bodies.json_documents import (
    Malformed,
    TooManyValues,
    check_size,
    mistakes_in,
    pointer_of,
    read_strictly,
)
from server.messages.estimates import EVENTS_TO_COME, EstimateShown
from streams import clock

SECONDS = 10.0
"""The longest that an estimate takes."""
_MOST_MISTAKES = 1_000
_TIMES = ("stream_time", "horizon")


async def post_estimate(call: Call) -> Response:
    """Count what the events would cost, one after another, from the account's present state. Nothing is stored.

    503 where the account's state is not on this server's machine: a request never replays the log.
    """
    account_id, now = _account(call), clock.now_ms()
    records = _records(call, await call.body(), account_id, now)
    with call.parts.limits.alone("estimates", call.who.key_id):
        counted = await asyncio.to_thread(_counted, call.parts.pipeline, account_id, records, now)
    return json_answer(counted)


def _account(call: Call) -> str:
    asked, own = call.parameter("account_id"), call.account
    if own is not None and asked not in {None, own}:
        raise Problem(ProblemType.NOT_FOUND, "there is no such account, or this key may not see it")
    account_id = own if asked is None else asked
    if account_id is None:
        raise Problem(
            ProblemType.INVALID_PARAMETERS, "this key is for all accounts: say whose events",
            [Mistake("account_id", "is missing")],
        )  # fmt: skip
    return account_id


def _records(call: Call, body: bytes, account_id: str, now: int) -> list[dict[str, Any]]:
    """The events, completed and judged. Raises Problem: 400, 413, 415, 422 with every mistake."""
    kind = call.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != JSON:
        raise Problem(ProblemType.UNSUPPORTED_MEDIA_TYPE, "send application/json: one event, or a list of them")
    try:
        check_size(body)
        document = read_strictly(body)
    except Malformed as error:
        raise Problem(ProblemType.MALFORMED, f"the body is no JSON: {error}") from error
    except TooManyValues as error:
        raise Problem(ProblemType.TOO_LARGE, "the body holds too many values") from error
    events = document if isinstance(document, list) else [document]
    if len(events) > MOST_EVENTS:
        raise Problem(ProblemType.TOO_LARGE, f"{len(events)} events: a request has at most {MOST_EVENTS}")
    records, mistakes = [], list[Mistake]()
    for index, event in enumerate(events):
        base = f"/{index}" if isinstance(document, list) else ""
        record = _completed(event, index, account_id, now)
        wrong = mistakes_in(event, base)
        if not wrong and record is None:
            wrong = [Mistake(base, "should be an object with an event's fields")]
        elif not wrong and record is not None:
            wrong = _mistakes(record, base, account_id)
        mistakes += wrong
        records.append(record or {})
    if mistakes:
        detail = "events are wrong; nothing was counted"
        raise Problem(ProblemType.INVALID_ITEMS, detail, mistakes[:_MOST_MISTAKES])
    return records


def _completed(event: Any, index: int, account_id: str, now: int) -> dict[str, Any] | None:
    if not isinstance(event, dict):
        return None
    given = {name: dict(value) if isinstance(value, dict) else value for name, value in event.items()}
    record = {
        "event_id": f"(event {index + 1} of the estimate)", "account_id": account_id, "occurred_at": now,
        "outcome": Outcome.PROCESSED.value, **given,
    }  # fmt: skip
    record["occurred_at"] = to_ms(record["occurred_at"])
    if record["outcome"] is None:
        record["outcome"] = Outcome.PROCESSED.value
    return record


def _mistakes(record: dict[str, Any], base: str, account_id: str) -> list[Mistake]:
    wrong = [
        Mistake(pointer_of(base, *mistake.path), mistake.sentence.partition(": ")[2])
        for mistake in all_mistakes(Command.REQUEST, record)
    ]
    if not wrong and record["account_id"] != account_id:
        wrong = [Mistake(f"{base}/account_id", "is another account than the estimate's")]
    return wrong


def _counted(pipeline: Pipeline, account_id: str, records: list[dict[str, Any]], now: int) -> dict[str, Any]:
    """Raises Failed where no state is at hand, Problem 503 beyond SECONDS."""
    deadline = clock.monotonic() + SECONDS
    with state_at_hand(pipeline, account_id) as at_hand:
        estimator = Estimator(at_hand.replay, MemoryStore(), now)
        for number, record in enumerate(records, 1):
            if clock.monotonic() > deadline:
                raise Problem(
                    ProblemType.UNAVAILABLE,
                    f"{number - 1} of {len(records)} events were counted in {SECONDS:g} s: ask for fewer at once; "
                    "nothing was stored",
                )
            estimator.add(InputCommand(number, Command.REQUEST, record, now))
        counted = estimator.finish().as_plain()
        counted["without_event_id"] = sum(record["event_id"].startswith("(event ") for record in records)
        place = at_hand.place
    shown = {name: None if counted[name] is None else format_instant(counted[name]) for name in _TIMES}
    return {"account_id": account_id, "place": place, **counted, **shown}


OPERATIONS = (
    Operation(
        "POST", "/v1/estimates", Action.ESTIMATE, post_estimate, "What events would cost",
        (Parameter("account_id", "whose; needed where the key is for all accounts"),), Content({JSON: EVENTS_TO_COME}),
        {200: EstimateShown},
    ),
)  # fmt: skip
