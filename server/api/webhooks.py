"""An account's webhooks as settings, and the secrets that sign what is sent to them (SERVER 4)."""

from __future__ import annotations

import asyncio

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
from server.api.access import access_of, account_of, author_of, done
from server.api.access_json import shown
from server.api.answers import json_answer
from server.api.call import Call
from server.api.contract import Link, id_of_answer
from server.api.routing import Operation
from server.bodies.typed_object import read_typed
from server.messages.access import SecretList, WebhookBody, WebhookList, WebhookMade, WebhookShown
from streams.access.records import Webhook

_NOT_KEPT = {"cache-control": "no-store"}


async def get_webhooks(call: Call) -> Response:
    """The account's webhooks, oldest first."""
    return json_answer({"webhooks": [shown(webhook) for webhook in list_webhooks(access_of(call), account_of(call))]})


async def get_webhook(call: Call) -> Response:
    """One webhook; why it is off, where it is."""
    return json_answer(shown(await _known(call)))


async def post_webhook(call: Call) -> Response:
    """Add a webhook. The answer shows the secret that signs."""
    order = await _order(call)
    _ = access_of(call).secret_keys  # without them nothing could be signed
    webhook = await done(create_webhook, access_of(call), author_of(call), order)
    call.facts["changed"] = webhook.webhook_id
    return json_answer({**shown(webhook), "secrets": signing_secrets(access_of(call), webhook)}, 201, _NOT_KEPT)


async def put_webhook(call: Call) -> Response:
    """Replace address, events and description; one that was off is on again."""
    order = await _order(call)
    known = await _known(call)
    return json_answer(shown(await done(change_webhook, access_of(call), author_of(call), known.webhook_id, order)))


async def delete_webhook(call: Call) -> Response:
    """Remove a webhook for ever."""
    known = await _known(call)
    return json_answer(shown(await done(remove_webhook, access_of(call), author_of(call), known.webhook_id)))


async def get_secret(call: Call) -> Response:
    """The secrets that sign now, the newest first: two for a day after a rotation."""
    return json_answer({"secrets": signing_secrets(access_of(call), await _known(call))}, 200, _NOT_KEPT)


async def post_secret(call: Call) -> Response:
    """Begin a new secret; the one before signs for another day."""
    known = await _known(call)
    rotated = await done(rotate_secret, access_of(call), author_of(call), known.webhook_id)
    call.facts["changed"] = rotated.webhook_id
    return json_answer({"secrets": signing_secrets(access_of(call), rotated)}, 200, _NOT_KEPT)


async def _order(call: Call) -> WebhookOrder:
    given = (await read_typed(call, WebhookBody)).finish()
    return WebhookOrder(account_of(call), given.url, given.events, given.description or "")


async def _known(call: Call) -> Webhook:
    """The webhook of the path, of the account in the path. Raises Failed (NOT_FOUND)."""
    access, webhook_id = access_of(call), call.ids["id"]
    await asyncio.to_thread(access.read_to_end)
    webhook = access.state.webhook(webhook_id)
    if webhook is None or webhook.removed_at is not None or webhook.account_id != account_of(call):
        raise Failed(f"there is no webhook {webhook_id}", ErrorCode.NOT_FOUND)
    return webhook


_ALL, _ONE = "/v1/accounts/{account}/webhooks", "/v1/accounts/{account}/webhooks/{id}"
_TO_ONE = Link(f"GET {_ONE}", id_of_answer("webhook_id"), 201)
_REMOVE = Link(f"DELETE {_ONE}", id_of_answer("webhook_id"), 201)
_SHOWN = {200: WebhookShown}
OPERATIONS = (
    Operation("GET", _ALL, Action.MANAGE_WEBHOOKS, get_webhooks, "An account's webhooks", (), None, {200: WebhookList}),
    Operation(
        "POST", _ALL, Action.MANAGE_WEBHOOKS, post_webhook, "Add a webhook", (), WebhookBody, {201: WebhookMade},
        links={"read": _TO_ONE, "remove": _REMOVE},
    ),
    Operation("GET", _ONE, Action.MANAGE_WEBHOOKS, get_webhook, "One webhook", (), None, _SHOWN),
    Operation("PUT", _ONE, Action.MANAGE_WEBHOOKS, put_webhook, "Change a webhook", (), WebhookBody, _SHOWN),
    Operation("DELETE", _ONE, Action.MANAGE_WEBHOOKS, delete_webhook, "Remove a webhook", (), None, _SHOWN),
    Operation(
        "GET", f"{_ONE}/secret", Action.MANAGE_WEBHOOKS, get_secret, "The secrets of a webhook", (), None,
        {200: SecretList},
    ),
    Operation(
        "POST", f"{_ONE}/secret", Action.MANAGE_WEBHOOKS, post_secret, "Rotate a webhook's secret", (), None,
        {200: SecretList},
    ),
)  # fmt: skip
