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
    return json_answer(
        {"webhooks": [shown(webhook) for webhook in list_webhooks(access_of(call), webhook_account(call))]}
    )


async def get_webhook(call: Call) -> Response:
    """One webhook; why it is off, where it is."""
    return json_answer(shown(await known_webhook(call)))


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
    known = await known_webhook(call)
    return json_answer(shown(await done(change_webhook, access_of(call), author_of(call), known.webhook_id, order)))


async def delete_webhook(call: Call) -> Response:
    """Remove a webhook for ever."""
    known = await known_webhook(call)
    return json_answer(shown(await done(remove_webhook, access_of(call), author_of(call), known.webhook_id)))


async def get_secret(call: Call) -> Response:
    """The secrets that sign now, the newest first: two for a day after a rotation."""
    return json_answer({"secrets": signing_secrets(access_of(call), await known_webhook(call))}, 200, _NOT_KEPT)


async def post_secret(call: Call) -> Response:
    """Begin a new secret; the one before signs for another day."""
    known = await known_webhook(call)
    rotated = await done(rotate_secret, access_of(call), author_of(call), known.webhook_id)
    call.facts["changed"] = rotated.webhook_id
    return json_answer({"secrets": signing_secrets(access_of(call), rotated)}, 200, _NOT_KEPT)


async def _order(call: Call) -> WebhookOrder:
    given = (await read_typed(call, WebhookBody)).finish()
    return WebhookOrder(webhook_account(call), given.url, given.events, given.description or "")


def webhook_account(call: Call) -> str | None:
    """The account of the path; None where it has none: webhooks for every account, which are for operators alone."""
    return account_of(call) if "account" in call.ids else None


async def known_webhook(call: Call) -> Webhook:
    """The webhook of the path, of the account in the path. Raises Failed (NOT_FOUND)."""
    access, webhook_id = access_of(call), call.ids["id"]
    await asyncio.to_thread(access.read_to_end)
    webhook = access.state.webhook(webhook_id)
    if webhook is None or webhook.removed_at is not None or webhook.account_id != webhook_account(call):
        raise Failed(f"there is no webhook {webhook_id}", ErrorCode.NOT_FOUND)
    return webhook


ROOTS = (
    ("/v1/accounts/{account}/webhooks", Action.MANAGE_WEBHOOKS, ""),
    ("/v1/webhooks", Action.CHANGE_SETTINGS, " (for every account)"),
)
"""Where webhooks are, what a key must allow there, and what a summary adds. The second are about no account, and
therefore ask for an action of operators."""


def _operations(root: str, action: Action, whose: str) -> tuple[Operation, ...]:
    one, of_answer = f"{root}/{{id}}", id_of_answer("webhook_id")
    if "{account}" not in root:
        of_answer = {name: place for name, place in of_answer.items() if name != "account"}
    links = {"read": Link(f"GET {one}", of_answer, 201), "remove": Link(f"DELETE {one}", of_answer, 201)}
    shown_one, secrets = {200: WebhookShown}, {200: SecretList}
    return (
        Operation("GET", root, action, get_webhooks, f"Webhooks{whose}", (), None, {200: WebhookList}),
        Operation(
            "POST", root, action, post_webhook, f"Add a webhook{whose}", (), WebhookBody, {201: WebhookMade},
            links=links,
        ),
        Operation("GET", one, action, get_webhook, f"One webhook{whose}", (), None, shown_one),
        Operation("PUT", one, action, put_webhook, f"Change a webhook{whose}", (), WebhookBody, shown_one),
        Operation("DELETE", one, action, delete_webhook, f"Remove a webhook{whose}", (), None, shown_one),
        Operation("GET", f"{one}/secret", action, get_secret, f"The secrets of a webhook{whose}", (), None, secrets),
        Operation(
            "POST", f"{one}/secret", action, post_secret, f"Rotate a webhook's secret{whose}", (), None, secrets
        ),
    )  # fmt: skip


OPERATIONS = tuple(operation for root in ROOTS for operation in _operations(*root))
