"""POST /v1/holds; GET and DELETE /v1/holds/{hold}: credits set aside before work is done (SPEC 11, SERVER.md 2)."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from application.access.identity import Action
from application.errors import ErrorCode, Failed
from application.ingest.decisions import Patience
from application.ingest.holds import HoldOutcome, PlacedHold
from application.input.ndjson import to_ms
from metering.mistakes import all_mistakes
from metering.quoting import most_cost
from metering.records import Command, HoldStatus, Outcome
from metering.validation import check_event, check_hold
from server.api.answers import json_answer
from server.api.call import Call
from server.api.contract import IDEMPOTENCY_KEY, PREFER, WAIT, Either, Link, Parameter
from server.api.decision_json import hold_json
from server.api.paths import segment_of
from server.api.preferences import USUAL_WAIT, preferences_of
from server.api.problems import Mistake, Problem, ProblemType
from server.api.reads import reads_of
from server.api.routing import Operation
from server.bodies.json_documents import pointer_of
from server.bodies.plain_object import read_plain_object
from server.messages.events import HoldBody, HoldPending, HoldShown, NoHoldNeeded
from streams import clock
from streams.log.protocols import LogUnavailable

_FIELDS = HoldBody.__struct_fields__
_USUAL_SECONDS = 3_600
_LONGEST_SECONDS = 30 * 86_400


async def post_hold(call: Call) -> Response:
    """201 held, 200 for a repeat or an event that costs nothing, 202 pending, 402 too few credits, 409, 422, 503."""
    preferences = preferences_of(call)
    body = await read_plain_object(call)
    now = clock.now_ms()
    record = _record(call, body, now)
    if "event" in body:
        record["credits"] = await _cost(call, body["event"], record.get("account_id"), now)
        if not record["credits"]:
            return json_answer({"hold_id": None, "status": "not_needed", "credits": {}})
    _raise_on_mistakes(record, body)
    patience = Patience(USUAL_WAIT if preferences.wait is None else preferences.wait)
    try:
        placed = await call.parts.holds.place(
            call.who.key_id, record, patience, keeps_late=body.get("keep") is True, now=now
        )
    except LogUnavailable as error:
        raise _not_stored() from error
    return _placed(call, record, body, placed)


async def get_hold(call: Call) -> Response:
    """200 with the hold as it stands now; 404."""
    hold = await call.parts.holds.state(_account(call), call.ids["hold"], clock.now_ms())
    if hold is None:
        raise _no_hold()
    return json_answer(hold_json(hold))


async def delete_hold(call: Call) -> Response:
    """Store an event of outcome failed that releases the hold. 200 with the hold, over; 202 pending; 404; 503."""
    preferences = preferences_of(call)
    account_id, hold_id = _account(call), call.ids["hold"]
    patience = Patience(USUAL_WAIT if preferences.wait is None else preferences.wait)
    try:
        released = await call.parts.holds.release(call.who.key_id, account_id, hold_id, patience, now=clock.now_ms())
    except LogUnavailable as error:
        raise _not_stored() from error
    if released is None:
        raise _no_hold()
    if released.outcome is HoldOutcome.UNKNOWN:
        raise _unknown()
    if released.change is None:
        return json_answer({"hold_id": hold_id, "status": "pending", **_receipt(call, released)}, 202)
    return json_answer(hold_json(released.change) | _receipt(call, released))


def _record(call: Call, body: Mapping[str, Any], now: int) -> dict[str, Any]:
    """The Hold that the body stands for, not yet judged. Raises Problem: 403, 422 for unknown fields."""
    mistakes = [Mistake(pointer_of("", name), "there is no such field") for name in body if name not in _FIELDS]
    if ("credits" in body) == ("event" in body):
        mistakes.append(Mistake("/credits", "give credits, or the event to come; one of the two"))
    if "expires_at" in body and "expires_in" in body:
        mistakes.append(Mistake("/expires_in", "give expires_at or expires_in, not both"))
    seconds = body.get("expires_in", _USUAL_SECONDS)
    if type(seconds) is not int or not 1 <= seconds <= _LONGEST_SECONDS:
        mistakes.append(Mistake("/expires_in", f"should be whole seconds from 1 to {_LONGEST_SECONDS:,}"))
        seconds = _USUAL_SECONDS
    if type(body.get("keep", False)) is not bool:
        mistakes.append(Mistake("/keep", "should be true or false"))
    if mistakes:
        raise Problem(ProblemType.INVALID_ITEMS, "the hold is wrong; nothing was stored", mistakes)
    held_at = to_ms(body.get("held_at", now))
    record = {
        "hold_id": body.get("hold_id", call.headers.get("idempotency-key") or str(uuid.uuid4())),
        "held_at": held_at,
        "expires_at": to_ms(body["expires_at"]) if "expires_at" in body else _later(held_at, seconds),
        "credits": body.get("credits"),
        "reason": body.get("reason", ""),
    }
    if (account_id := body.get("account_id", call.who.account_id)) is not None:
        record["account_id"] = account_id
    if call.who.account_id is not None and account_id != call.who.account_id:
        raise Problem(
            ProblemType.FORBIDDEN, "this key is for another account; nothing was stored",
            [Mistake("/account_id", "is not this key's account")],
        )  # fmt: skip
    return record


def _later(held_at: Any, seconds: int) -> Any:
    return held_at + 1_000 * seconds if type(held_at) is int else None


def _raise_on_mistakes(record: dict[str, Any], body: Mapping[str, Any]) -> None:
    mistakes = [
        Mistake(pointer_of("", *mistake.path), mistake.sentence.partition(": ")[2])
        for mistake in all_mistakes(Command.HOLD, record)
    ]
    if mistakes:
        where = " (credits: what the event can cost at most)" if "event" in body else ""
        raise Problem(ProblemType.INVALID_ITEMS, f"the hold is wrong{where}; nothing was stored", mistakes)
    check_hold(record)


async def _cost(call: Call, event: Any, account_id: Any, now: int) -> dict[str, int]:
    """The most that the event to come can cost: present prices and plan. Raises Problem 422, Failed."""
    if not isinstance(event, dict):
        raise Problem(ProblemType.INVALID_ITEMS, "the event is wrong", [Mistake("/event", "should be an object")])
    record = {"event_id": "to come", "account_id": account_id, "occurred_at": now, "outcome": Outcome.PROCESSED.value}
    record |= event
    record["occurred_at"] = to_ms(record["occurred_at"])
    mistakes = [
        Mistake(pointer_of("/event", *mistake.path), mistake.sentence.partition(": ")[2])
        for mistake in all_mistakes(Command.REQUEST, record)
    ]
    if record["account_id"] != account_id:
        mistakes.append(Mistake("/event/account_id", "is not the hold's account"))
    if mistakes:
        raise Problem(ProblemType.INVALID_ITEMS, "the event to come is wrong; nothing was stored", mistakes)
    check_event(record)
    reads = reads_of(call)
    plan = await run_in_threadpool(reads.plans.of, account_id, call.parts.unloaded)
    return most_cost(reads.book().book, record, None if plan is None else [plan.name, plan.started_at, plan.ends_at])


def _placed(call: Call, record: Mapping[str, Any], body: Mapping[str, Any], placed: PlacedHold) -> Response:
    if placed.stored is not None:
        call.facts["receipt"] = str(call.parts.intake.receipt(placed.stored))
    if placed.outcome is HoldOutcome.UNKNOWN:
        raise _unknown()
    receipt = _receipt(call, placed)
    if placed.outcome is HoldOutcome.SET_ASIDE:
        raise Problem(
            ProblemType.INVALID_ITEMS, f"the hold was set aside: {placed.reason}",
            [Mistake(f"/{placed.field}", "is wrong")] if placed.field else [], {"reason": placed.reason, **receipt},
        )  # fmt: skip
    if placed.outcome is HoldOutcome.PENDING or placed.change is None:
        shown = {"hold_id": record["hold_id"], "account_id": record["account_id"], "status": "pending", **receipt}
        return json_answer(shown | {"is_released_when_decided": placed.is_released_later}, 202)
    if placed.outcome is HoldOutcome.REPEATED and _differs(record, body, placed.change):
        raise Problem(
            ProblemType.CONFLICT, "a hold of this id was asked for before, with another content",
            members={"hold": hold_json(placed.change)},
        )  # fmt: skip
    if placed.change["status"] == HoldStatus.REJECTED:
        available = placed.change.get("available_after", {})
        raise Problem(
            ProblemType.INSUFFICIENT_CREDITS, "the account has fewer credits available than the hold asks for",
            members={
                "required": placed.change["credits"], "available": available, "hold_id": record["hold_id"], **receipt,
            },
        )  # fmt: skip
    is_new = placed.outcome is HoldOutcome.HELD
    headers = {"location": f"/v1/holds/{segment_of(str(record['hold_id']))}"} if is_new else {}
    return json_answer(hold_json(placed.change) | receipt, 201 if is_new else 200, headers)


def _differs(record: Mapping[str, Any], body: Mapping[str, Any], first: Mapping[str, Any]) -> bool:
    """Whether a repeat asks for something else than the first did, in what it says itself."""
    return bool(
        first["credits"] != record["credits"]
        or ("reason" in body and first["reason"] != record["reason"])
        or ("expires_at" in body and first["expires_at"] != record["expires_at"])
    )


def _receipt(call: Call, placed: PlacedHold) -> dict[str, str]:
    return {} if placed.stored is None else {"receipt": str(call.parts.intake.receipt(placed.stored))}


def _account(call: Call) -> str:
    """Whose hold: the key's own account, or `?account_id=` for a key of all accounts."""
    asked, own = call.parameter("account_id"), call.who.account_id
    if own is not None and asked not in {None, own}:
        raise _no_hold()
    account_id = own if asked is None else asked
    if account_id is None:
        raise Problem(
            ProblemType.INVALID_PARAMETERS, "this key is for all accounts: say whose hold",
            [Mistake("account_id", "is missing")],
        )  # fmt: skip
    return account_id


def _no_hold() -> Problem:
    return Problem(ProblemType.NOT_FOUND, "the account has no such hold, or this key may not see it")


def _not_stored() -> Failed:
    return Failed("Kafka does not answer: nothing was stored; send it again", ErrorCode.UNAVAILABLE)


def _unknown() -> Problem:
    return Problem(
        ProblemType.UNAVAILABLE, "it may or may not be stored: send it again with the same hold_id, which is safe"
    )


_WHOSE = Parameter("account_id", "whose hold; needed where the key is for all accounts")
_THIS = {"hold": "$response.body#/hold_id", "account_id": "$response.body#/account_id"}
OPERATIONS = (
    Operation(
        "POST", "/v1/holds", Action.HOLD, post_hold, "Set credits aside before work is done",
        (WAIT, PREFER, IDEMPOTENCY_KEY), HoldBody,
        {200: Either((HoldShown, NoHoldNeeded)), 201: HoldShown, 202: HoldPending},
        (ProblemType.INSUFFICIENT_CREDITS, ProblemType.CONFLICT),
        {
            "read": Link("GET /v1/holds/{hold}", _THIS, 201),
            "release": Link("DELETE /v1/holds/{hold}", _THIS, 201),
        },
    ),
    Operation(
        "GET", "/v1/holds/{hold}", Action.HOLD, get_hold, "A hold as it stands", (_WHOSE,), None, {200: HoldShown}
    ),
    Operation(
        "DELETE", "/v1/holds/{hold}", Action.HOLD, delete_hold, "Release a hold", (_WHOSE, WAIT, PREFER), None,
        {200: HoldShown, 202: HoldPending},
    ),
)  # fmt: skip
