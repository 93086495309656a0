"""What was sent to webhooks and what was tried; sending one again, and a test (SERVER 4)."""

from __future__ import annotations

import asyncio
from typing import Annotated

from msgspec import Meta
from starlette.responses import Response

from application.access.identity import Action
from application.webhooks.listing import MOST, PAGE, find_delivery, list_deliveries
from application.webhooks.resending import send_again, send_test
from metering.windows import format_instant
from server.api.access import access_of, author_of, done
from server.api.answers import json_answer
from server.api.call import Call
from server.api.contract import Parameter
from server.api.problems import Mistake, Problem, ProblemType
from server.api.reads import reads_of
from server.api.routing import Operation
from server.api.usage import query_problems
from server.api.webhooks import ROOTS, known_webhook
from server.messages.webhooks import DeliveryList, DeliveryShown, DeliveryStatusWord
from streams.deliveries.records import Delivery

_DIGITS = 10


async def get_deliveries(call: Call) -> Response:
    """What was sent to a webhook and what was tried, newest first, as far as it is loaded."""
    limit = call.parameter("limit")
    if limit is not None and not (limit.isascii() and limit.isdigit() and len(limit) < _DIGITS):
        raise Problem(ProblemType.INVALID_PARAMETERS, "parameters are wrong", [Mistake("limit", f"1 to {MOST}")])
    webhook = await known_webhook(call)
    with query_problems(str):
        page = await asyncio.to_thread(
            list_deliveries, reads_of(call).usage.store, webhook.webhook_id, status=call.parameter("status"),
            cursor=call.parameter("cursor"), limit=PAGE if limit is None else int(limit),
        )  # fmt: skip
    answer: DeliveryList = {
        "deliveries": [_shown(listed.delivery) for listed in page.deliveries],
        "next": page.next,
    }
    return json_answer(answer)


async def get_delivery(call: Call) -> Response:
    """One message with its body and every try that is kept."""
    webhook, store = await known_webhook(call), reads_of(call).usage.store
    listed = await asyncio.to_thread(find_delivery, store, webhook.webhook_id, call.ids["delivery"])
    return json_answer(_shown(listed.delivery))


async def post_delivery(call: Call) -> Response:
    """Send one again, at once and with all its tries before it; its id stays."""
    webhook, store = await known_webhook(call), reads_of(call).usage.store
    again = await done(
        send_again, call.parts.pipeline, access_of(call), author_of(call), store, webhook, call.ids["delivery"]
    )
    call.facts["changed"] = again.delivery_id
    return json_answer(_shown(again), 202)


async def post_test(call: Call) -> Response:
    """Send a `webhook.test` to this webhook. What came of it is among its deliveries."""
    webhook = await known_webhook(call)
    delivery = await done(send_test, call.parts.pipeline, access_of(call), author_of(call), webhook)
    call.facts["changed"] = webhook.webhook_id
    return json_answer(_shown(delivery), 202)


def _shown(delivery: Delivery) -> DeliveryShown:
    return {
        "delivery_id": delivery.delivery_id,
        "webhook_id": delivery.webhook_id,
        "account_id": delivery.account_id,
        "event": delivery.event,
        "payload": delivery.payload,
        "created_at": format_instant(delivery.created_at),
        "status": delivery.status.value,
        "tries": delivery.tries,
        "next_at": _time(delivery.next_at),
        "finished_at": _time(delivery.finished_at),
        "reason": delivery.reason,
        "attempts": [
            {
                "at": format_instant(attempt.at), "duration_ms": attempt.duration, "status_code": attempt.status_code,
                "error": attempt.error,
            }
            for attempt in delivery.attempts
        ],
    }  # fmt: skip


def _time(value: int | None) -> str | None:
    return None if value is None else format_instant(value)


_PARAMETERS = (
    Parameter("status", "only messages of this status", DeliveryStatusWord),
    Parameter("cursor", "`next` of the page before"),
    Parameter("limit", f"messages of a page, {PAGE} unless given", Annotated[int, Meta(ge=1, le=MOST)]),
)
_CONFLICT = (ProblemType.CONFLICT,)


def _operations(root: str, action: Action, whose: str) -> tuple[Operation, ...]:
    one = f"{root}/{{id}}"
    message, again = f"{one}/deliveries/{{delivery}}", {202: DeliveryShown}
    return (
        Operation(
            "GET", f"{one}/deliveries", action, get_deliveries, f"What was sent to a webhook{whose}", _PARAMETERS, None,
            {200: DeliveryList},
        ),
        Operation(
            "GET", message, action, get_delivery, f"One message and its tries{whose}", (), None, {200: DeliveryShown}
        ),
        Operation("POST", message, action, post_delivery, f"Send a message again{whose}", (), None, again, _CONFLICT),
        Operation(
            "POST", f"{one}/test", action, post_test, f"Send a test to a webhook{whose}", (), None, again, _CONFLICT
        ),
    )  # fmt: skip


OPERATIONS = tuple(operation for root in ROOTS for operation in _operations(*root))
