"""What operators do (SERVER 2): grants, refunds, settings. Each waits for the log's decision and answers with it.

A command's own id, or the header Idempotency-Key, makes sending it again safe: a repeat gets the first answer, and 409
where it asks for something else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from starlette.responses import Response

from application.access.identity import Action
from application.commands.account_settings import AccountSettings, PlanSetting, replace_settings
from application.commands.fields import BadField, raise_on_bad_field
from application.commands.grants import GrantOrder, grant_credits
from application.commands.refund_forecast import forecast_refunds
from application.commands.refunds import RefundOrder, RefundResult, make_refunds, refund_requests
from application.commands.repeats import Repeat
from application.errors import Failed
from metering.records import Command, Kind, RefundStatus
from server.api.access import note_change
from server.api.answers import json_answer
from server.api.call import Call
from server.api.contract import IDEMPOTENCY_KEY
from server.api.problems import Mistake, Problem, ProblemType
from server.api.reads import Reads, reads_of
from server.api.routing import Operation
from server.bodies.typed_object import TypedBody, read_typed
from server.messages.commands import CommandAnswer, GrantBody, RefundBody, RefundsAnswer, SettingsBody
from streams import clock

SECONDS = 15.0
"""How long a decision is waited for; then 503: the command is in the log, and sending it again is safe."""

T = TypeVar("T")


async def post_grant(call: Call) -> Response:
    """Give an account credits."""
    body = await read_typed(call, GrantBody)
    given = body.given
    order = GrantOrder(
        given.account_id,
        given.credit_type,
        given.credits,
        clock.now_ms() if given.granted_at is None else given.granted_at,
        given.expires_at,
        own_id(call, body, "grant_id"),
        given.reason or "",
    )
    body.finish()
    await decided(order.record)
    await note_change(
        call, "grant", order.grant_id, order.account_id, credits=str(order.credits), credit_type=order.credit_type
    )
    result = await decided(grant_credits, call.parts.pipeline, order, SECONDS)
    refuse_other_content(result.decided.repeat)
    return answer(call, result.as_json(), result.decided.outputs, repeated=result.is_repeated, first=result.first)


async def post_refund(call: Call) -> Response:
    """Give back what an event, or all events of a request, were charged. `dry_run`: only say what it would do."""
    body = await read_typed(call, RefundBody)
    given, is_dry = body.given, body.given.dry_run or False
    order = RefundOrder(
        given.event_id,
        given.request_id,
        given.account_id,
        given.charge,
        given.credits,
        given.reason or "",
        (given.refund_id or call.headers.get("idempotency-key")) if is_dry else own_id(call, body, "refund_id"),
    )
    if (order.event_id is None) == (order.request_id is None):
        body.wrong("event_id", "give either event_id or request_id")
    body.finish()
    pipeline, now = call.parts.pipeline, clock.now_ms()
    requests = await decided(refund_requests, pipeline, order, now)
    if is_dry:
        reads = reads_of(call)
        results = await decided(forecast_refunds, pipeline, reads.usage, requests, _accept_window(reads))
    else:
        for request in requests.records:
            await note_change(call, "refund", request["refund_id"], requests.account_id, event_id=request["event_id"])
        results = await decided(make_refunds, pipeline, requests, SECONDS)
    for result in results:
        refuse_other_content(result.repeat)
    shown = [{"status": _refund_status(result), **result.as_json()} for result in results]
    return json_answer({"dry_run": is_dry, "account_id": requests.account_id, "refunds": shown})


async def put_settings(call: Call) -> Response:
    """Replace an account's settings, all of them."""
    if call.account is None:
        raise Problem(ProblemType.NOT_FOUND, "name an account")
    body = await read_typed(call, SettingsBody)
    update_id = own_id(call, body, "update_id")
    given, plan, setting = body.finish(), body.given.plan, None
    if plan is not None:
        setting = PlanSetting(plan.name, clock.now_ms() if plan.started_at is None else plan.started_at, plan.ends_at)
    settings = AccountSettings(setting, str(given.on_empty), given.alert_below or {})
    pipeline = call.parts.pipeline
    now = clock.now_ms()
    record = {"update_id": update_id, "account_id": call.account, **settings.fields(), "at": now}
    await decided(raise_on_bad_field, Command.ACCOUNT, record)
    await note_change(call, "settings.replaced", update_id, call.account, on_empty=settings.on_empty)
    result = await decided(replace_settings, pipeline, call.account, settings, update_id, now, SECONDS)
    refuse_other_content(result.repeat)
    return answer(call, result.as_json(), result.outputs, repeated=result.is_repeated)


def _accept_window(reads: Reads) -> int | None:
    """The window of the price book in force; None where none is known."""
    with suppress(Failed):
        return reads.book().book.accept_window
    return None


def own_id(call: Call, body: TypedBody[Any], name: str) -> str:
    """The command's own id: in the body, or as Idempotency-Key. One of them is needed."""
    given, key = getattr(body.given, name), call.headers.get("idempotency-key")
    if given is not None and key is not None and given != key:
        body.wrong(name, "differs from the header Idempotency-Key: give one of them")
    chosen = given if given is not None else key
    if not chosen:
        body.wrong(name, "is needed, or the header Idempotency-Key: it makes sending the command again safe")
    return chosen or "-"


async def decided(work: Callable[..., T], *arguments: Any) -> T:
    """The use case's result, from a thread. Raises Problem for a wrong field."""
    try:
        return await asyncio.to_thread(work, *arguments)
    except BadField as error:
        mistake = Mistake(f"/{error.field}", error.message)
        raise Problem(ProblemType.INVALID_ITEMS, "the command is wrong; nothing was sent", [mistake]) from error


def refuse_other_content(repeat: Repeat | None) -> None:
    """Raises Problem 409 where the id was used before for something else."""
    if repeat is not None and repeat.is_other_content:
        raise Problem(
            ProblemType.CONFLICT,
            f"this id was accepted before, with other content: {'; '.join(repeat.differences or ())}",
        )


def answer(
    call: Call, shown: Mapping[str, Any], outputs: Sequence[Mapping[str, Any]], *, repeated: bool,
    first: Sequence[Mapping[str, Any]] = (),
) -> Response:  # fmt: skip
    """The decision. A command that was set aside is 422, with its reason and field."""
    for output in outputs:
        if output.get("type") == Kind.DEAD_LETTER:
            call.facts["set_aside"] = str(output["reason"])
            mistake = Mistake(f"/{output['field'] or ''}", f"{output['reason']}: {output['detail']}")
            raise Problem(ProblemType.INVALID_ITEMS, "the command was set aside: it changed nothing", [mistake])
    status = "repeated" if repeated else "applied"
    return json_answer({"status": status, **shown, "repeated": repeated, "first": list(first)})


def _refund_status(result: RefundResult) -> str:
    if result.is_repeated:
        return "repeated"
    for output in result.outputs:
        if output.get("type") == Kind.DEAD_LETTER:
            return "set_aside"
        if output.get("status") == RefundStatus.REJECTED:
            return "rejected"
    return "refunded"


_BY_ID = (IDEMPOTENCY_KEY,)
_CONFLICT = (ProblemType.CONFLICT,)
OPERATIONS = (
    Operation(
        "POST", "/v1/grants", Action.GRANT, post_grant, "Give an account credits", _BY_ID, GrantBody,
        {200: CommandAnswer}, _CONFLICT,
    ),
    Operation(
        "POST", "/v1/refunds", Action.REFUND, post_refund, "Give back what was charged", _BY_ID, RefundBody,
        {200: RefundsAnswer}, _CONFLICT,
    ),
    Operation(
        "PUT", "/v1/accounts/{account}/settings", Action.CHANGE_SETTINGS, put_settings,
        "Replace an account's settings", _BY_ID, SettingsBody, {200: CommandAnswer}, _CONFLICT,
    ),
)  # fmt: skip
