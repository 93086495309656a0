"""An account's webhooks as settings, and the secrets that sign what is sent to them (SERVER 4)."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.responses import Response

from application.access.identity import Action
from application.access.webhooks import (
    WebhookOrder,
    change_webhook,
    create_webhook,
    list_webhooks,
    remove_webhook,
    rotate_secret,
    signing_secrets,
)
from application.errors import ErrorCode, Failed
from application.webhooks.listing import PAGE, find_delivery, list_deliveries
from application.webhooks.resending import send_again, send_test
from metering.windows import format_instant
from server.api.access import access_of, account_of, author_of, done
from server.api.access_json import shown
from server.api.answers import json_answer
from server.api.call import Call
from server.api.problems import Mistake, Problem, ProblemType
from server.api.reads import reads_of
from server.api.routing import Operation
from server.api.usage import query_problems
from server.bodies.json_object import read_object
from streams.access.records import Webhook
from streams.deliveries.records import Delivery

_NOT_KEPT = {"cache-control": "no-store"}


async def get_webhooks(call: Call) -> Response:
    """The account's webhooks, oldest first."""
    call.only_parameters()
    return json_answer({"webhooks": [shown(webhook) for webhook in list_webhooks(access_of(call), _account(call))]})


async def get_webhook(call: Call) -> Response:
    """One webhook; why it is off, where it is."""
    call.only_parameters()
    return json_answer(shown(await _known(call)))


async def post_webhook(call: Call) -> Response:
    """Add a webhook. The answer shows the secret that signs."""
    call.only_parameters()
    order = await _order(call)
    _ = access_of(call).secret_keys  # without them nothing could be signed
    webhook = await done(create_webhook, access_of(call), author_of(call), order)
    call.facts["changed"] = webhook.webhook_id
    return json_answer({**shown(webhook), "secrets": signing_secrets(access_of(call), webhook)}, 201, _NOT_KEPT)


async def put_webhook(call: Call) -> Response:
    """Replace address, events and description; one that was off is on again."""
    call.only_parameters()
    order = await _order(call)
    known = await _known(call)
    return json_answer(shown(await done(change_webhook, access_of(call), author_of(call), known.webhook_id, order)))


async def delete_webhook(call: Call) -> Response:
    """Remove a webhook for ever."""
    call.only_parameters()
    known = await _known(call)
    return json_answer(shown(await done(remove_webhook, access_of(call), author_of(call), known.webhook_id)))


async def get_secret(call: Call) -> Response:
    """The secrets that sign now, the newest first: two for a day after a rotation."""
    call.only_parameters()
    return json_answer({"secrets": signing_secrets(access_of(call), await _known(call))}, 200, _NOT_KEPT)


async def post_secret(call: Call) -> Response:
    """Begin a new secret; the one before signs for another day."""
    call.only_parameters()
    known = await _known(call)
    rotated = await done(rotate_secret, access_of(call), author_of(call), known.webhook_id)
    call.facts["changed"] = rotated.webhook_id
    return json_answer({"secrets": signing_secrets(access_of(call), rotated)}, 200, _NOT_KEPT)


async def get_deliveries(call: Call) -> Response:
    """What was sent to a webhook and what was tried, newest first, as far as it is loaded."""
    call.only_parameters("status", "cursor", "limit")
    limit = call.parameter("limit")
    if limit is not None and not (limit.isascii() and limit.isdigit() and len(limit) < 10):
        raise Problem(
            ProblemType.INVALID_PARAMETERS, "parameters are wrong", [Mistake("limit", "should be a whole number")]
        )
    known = await _known(call)
    with query_problems(str):
        page = await asyncio.to_thread(
            list_deliveries, reads_of(call).usage.store, known.webhook_id, status=call.parameter("status"),
            cursor=call.parameter("cursor"), limit=PAGE if limit is None else int(limit),
        )  # fmt: skip
    return json_answer({"deliveries": [_shown(listed.delivery) for listed in page.deliveries], "next": page.next})


async def get_delivery(call: Call) -> Response:
    """One message with its body and every try that is kept."""
    call.only_parameters()
    known = await _known(call)
    store = reads_of(call).usage.store
    listed = await asyncio.to_thread(find_delivery, store, known.webhook_id, call.ids["delivery"])
    return json_answer(_shown(listed.delivery))


async def post_delivery(call: Call) -> Response:
    """Send one again, at once and with all its tries before it; its id stays."""
    call.only_parameters()
    known = await _known(call)
    again = await done(
        send_again, call.parts.pipeline, access_of(call), author_of(call), reads_of(call).usage.store, known,
        call.ids["delivery"],
    )  # fmt: skip
    call.facts["changed"] = again.delivery_id
    return json_answer(_shown(again), 202)


async def post_test(call: Call) -> Response:
    """Send a `webhook.test` to this webhook. What came of it is among its deliveries."""
    call.only_parameters()
    known = await _known(call)
    delivery = await done(send_test, call.parts.pipeline, access_of(call), author_of(call), known)
    call.facts["changed"] = known.webhook_id
    return json_answer(_shown(delivery), 202)


def _shown(delivery: Delivery) -> dict[str, Any]:
    """As an answer: times as RFC 3339, without what is the topic's own."""
    shown_fields = {
        name: format_instant(value) if name.endswith("_at") and value is not None else value
        for name, value in delivery.fields().items()
        if name not in {"revision", "attempts"}
    }
    attempts = [
        {
            "at": format_instant(attempt.at), "duration_ms": attempt.duration, "status_code": attempt.status_code,
            "error": attempt.error,
        }
        for attempt in delivery.attempts
    ]  # fmt: skip
    return shown_fields | {"attempts": attempts}


async def _order(call: Call) -> WebhookOrder:
    body = await read_object(call)
    order = WebhookOrder(
        _account(call), body.text("url") or "", body.texts("events"), body.text("description") or ""
    )  # fmt: skip
    body.finish()
    return order


def _account(call: Call) -> str | None:
    """The account of the path; None where it has none: webhooks for every account, which are for operators alone."""
    return account_of(call) if "account" in call.ids else None


async def _known(call: Call) -> Webhook:
    """The webhook of the path, of the account in the path. Raises Failed (NOT_FOUND)."""
    access, webhook_id = access_of(call), call.ids["id"]
    await asyncio.to_thread(access.read_to_end)
    webhook = access.state.webhook(webhook_id)
    if webhook is None or webhook.removed_at is not None or webhook.account_id != _account(call):
        raise Failed(f"there is no webhook {webhook_id}", ErrorCode.NOT_FOUND)
    return webhook


_OPERATIONS = (
    ("GET", "", get_webhooks, "An account's webhooks"),
    ("POST", "", post_webhook, "Add a webhook"),
    ("GET", "/{id}", get_webhook, "One webhook"),
    ("PUT", "/{id}", put_webhook, "Change a webhook"),
    ("DELETE", "/{id}", delete_webhook, "Remove a webhook"),
    ("POST", "/{id}/test", post_test, "Send a test to a webhook"),
    ("GET", "/{id}/deliveries", get_deliveries, "What was sent to a webhook"),
    ("GET", "/{id}/deliveries/{delivery}", get_delivery, "One message and its tries"),
    ("POST", "/{id}/deliveries/{delivery}", post_delivery, "Send a message again"),
    ("GET", "/{id}/secret", get_secret, "The secrets of a webhook"),
    ("POST", "/{id}/secret", post_secret, "Rotate a webhook's secret"),
)
OPERATIONS = tuple(
    Operation(method, f"{root}{path}", action, handler, f"{text}{whose}")
    for root, action, whose in (
        ("/v1/accounts/{account}/webhooks", Action.MANAGE_WEBHOOKS, ""),
        ("/v1/webhooks", Action.CHANGE_SETTINGS, " (webhooks for every account)"),
    )
    for method, path, handler, text in _OPERATIONS
)
"""Those under `/v1/webhooks` are about no account, and therefore ask for an action of operators."""
