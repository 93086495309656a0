"""GET /v1/receipts/{receipt}: what became of an item (SERVER.md 2.2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from application.access.identity import Action
from application.ingest.lookup import OtherLog, ReceiptState
from application.ingest.receipts import Receipt
from application.wording import shown_time
from metering.records import Command
from server.api.answers import json_answer
from server.api.call import Call
from server.api.decision_json import decision_json
from server.api.problems import Problem, ProblemType
from server.api.routing import Operation
from server.messages.events import ReceiptShown


async def get_receipt(call: Call) -> Response:
    """200 with what is known; 404 where there is no such item, or the key may not see its account."""
    receipt = Receipt.parse(call.ids["receipt"])
    lookup = call.parts.lookup
    may_see = _visible_to(call)
    try:
        item = await run_in_threadpool(lookup.item, receipt, may_see)
    except OtherLog as error:
        raise Problem(ProblemType.LOG_REMADE, error.message) from error
    if item is None:
        state = await run_in_threadpool(lookup.trimmed, receipt, may_see)
    else:
        state = lookup.with_tail(receipt, item)
        state = await run_in_threadpool(lookup.completed, state, item)
    call.facts["receipt"] = str(receipt)
    return json_answer(receipt_json(state))


def receipt_json(state: ReceiptState) -> dict[str, Any]:
    """The state of a receipt. A decision that is not known here is `pending`."""
    named = {"event_id": state.item_id} if state.command is Command.REQUEST else {"id": state.item_id}
    return {
        "receipt": str(state.receipt),
        "account_id": state.account_id,
        "command": state.command,
        **named,
        "stored": not state.is_trimmed,
        "log": "trimmed" if state.is_trimmed else "present",
        "digest": state.digest,
        "recorded_at": None if state.recorded_at is None else shown_time(state.recorded_at),
        "decision": {"status": "pending"} if state.decision is None else decision_json(state.decision),
        "loaded": state.loaded,
    }


def _visible_to(call: Call) -> Callable[[str], bool]:
    own = call.who.account_id
    return lambda account_id: own is None or own == account_id


OPERATIONS = (
    Operation(
        "GET", "/v1/receipts/{receipt}", Action.READ_RECEIPTS, get_receipt, "What became of an item", (), None,
        {200: ReceiptShown}, (ProblemType.LOG_REMADE,),
    ),
)  # fmt: skip
