"""The forms of webhooks, and the page of one: where it sends, what, with which secrets, and what was sent and tried."""

from __future__ import annotations

import asyncio

from starlette.responses import Response

from application.access.identity import Action
from application.access.webhooks import (
    EVENTS,
    WebhookOrder,
    change_webhook,
    create_webhook,
    remove_webhook,
    rotate_secret,
    signing_secrets,
)
from application.errors import ErrorCode, Failed
from application.webhooks.listing import DeliveryPage, list_deliveries
from application.webhooks.resending import send_again, send_test
from application.webhooks.schedule import ATTEMPTS_KEPT
from server.api.paths import segment_of
from server.api.reads import reads_of
from server.api.usage import query_problems
from server.api.webhooks import known_webhook
from server.pages.notices import redirect_with_notice
from server.pages.page_call import PageCall, Parameters
from server.pages.rendering import page
from server.pages.routing import Page
from server.pages.settings.changing import author_of, changed
from streams.access.records import Webhook
from streams.deliveries.records import DeliveryStatus

LIMIT = 25
"""Messages of a page."""


async def get_webhook(call: PageCall) -> Response:
    """One webhook. Its messages are left out where ClickHouse does not answer."""
    webhook = await known_webhook(call)
    status, before = call.first("status"), call.first("before")
    listed = await _deliveries(call, webhook, status, before)

    def url(status: str, before: str | None = None) -> str:
        return _url(call, webhook.webhook_id, {"status": status, "before": before})

    return page(
        call, "webhook.html", webhook=webhook, secrets=signing_secrets(call.access, webhook), events=EVENTS,
        path=_url(call, webhook.webhook_id), most_attempts=ATTEMPTS_KEPT,
        deliveries=None if listed is None else [one.delivery for one in listed.deliveries],
        statuses={name: url(name) for name in ("", *DeliveryStatus)}, chosen=status,
        here=None if before else url(status), newest=url(status) if before else None,
        older=listed and listed.next and url(status, listed.next),
    )  # fmt: skip


async def post_webhook(call: PageCall) -> Response:
    """Add a webhook; its page shows the secret."""
    webhook = await changed(create_webhook, call.access, author_of(call), _order(call))
    call.facts["changed"] = webhook.webhook_id
    return redirect_with_notice(call, _url(call, webhook.webhook_id), "The webhook is added.")


async def post_webhook_changed(call: PageCall) -> Response:
    """Replace address, events and description; one that was off is on again."""
    webhook = await known_webhook(call)
    await changed(change_webhook, call.access, author_of(call), webhook.webhook_id, _order(call))
    return _to(call, "The webhook is changed, and on.")


async def post_webhook_rotated(call: PageCall) -> Response:
    """Begin a new secret."""
    webhook = await known_webhook(call)
    await changed(rotate_secret, call.access, author_of(call), webhook.webhook_id)
    return _to(call, "A new secret signs from now on; the one before signs, too, for a day.")


async def post_webhook_removed(call: PageCall) -> Response:
    """Remove a webhook for ever."""
    webhook = await known_webhook(call)
    await changed(remove_webhook, call.access, author_of(call), webhook.webhook_id)
    return redirect_with_notice(call, f"{call.account_url('settings')}#webhooks", "The webhook is removed.")


async def post_webhook_tested(call: PageCall) -> Response:
    """Send a `webhook.test` to it."""
    webhook = await known_webhook(call)
    await changed(send_test, call.parts.pipeline, call.access, author_of(call), webhook)
    call.facts["changed"] = webhook.webhook_id
    return _to(call, "A test is on its way. What comes of it is listed below.")


async def post_delivery(call: PageCall) -> Response:
    """Send one message again, at once and with all its tries before it."""
    webhook, store = await known_webhook(call), reads_of(call).usage.store
    again = await changed(
        send_again, call.parts.pipeline, call.access, author_of(call), store, webhook, call.ids["delivery"]
    )
    call.facts["changed"] = again.delivery_id
    return _to(call, f"{again.delivery_id} is sent again. What comes of it is listed below.")


async def _deliveries(call: PageCall, webhook: Webhook, status: str, before: str) -> DeliveryPage | None:
    """A page of messages; None where ClickHouse does not answer. Raises Problem, Failed."""
    store = reads_of(call).usage.store
    with query_problems(lambda name: "before" if name == "cursor" else name):
        try:
            return await asyncio.to_thread(
                list_deliveries, store, webhook.webhook_id, status=status or None, cursor=before or None, limit=LIMIT
            )
        except Failed as error:
            if error.code is not ErrorCode.UNAVAILABLE:
                raise
            return None


def _url(call: PageCall, webhook_id: str, parameters: Parameters | None = None) -> str:
    """The page of a webhook."""
    return call.account_url(f"webhooks/{segment_of(webhook_id)}", parameters)


def _to(call: PageCall, text: str) -> Response:
    return redirect_with_notice(call, _url(call, call.ids["id"]), text)


def _order(call: PageCall) -> WebhookOrder:
    return WebhookOrder(call.account, call.field("url"), call.fields.get("events", []), call.field("description"))


_ALL, _ONE = "/accounts/{account}/webhooks", "/accounts/{account}/webhooks/{id}"
PAGES = (
    Page("GET", _ONE, Action.MANAGE_WEBHOOKS, get_webhook, "One webhook"),
    Page("POST", _ALL, Action.MANAGE_WEBHOOKS, post_webhook, "Add a webhook"),
    Page("POST", _ONE, Action.MANAGE_WEBHOOKS, post_webhook_changed, "Change a webhook"),
    Page("POST", f"{_ONE}/rotate", Action.MANAGE_WEBHOOKS, post_webhook_rotated, "Rotate a webhook's secret"),
    Page("POST", f"{_ONE}/test", Action.MANAGE_WEBHOOKS, post_webhook_tested, "Send a test to a webhook"),
    Page("POST", f"{_ONE}/deliveries/{{delivery}}", Action.MANAGE_WEBHOOKS, post_delivery, "Send a message again"),
    Page("POST", f"{_ONE}/remove", Action.MANAGE_WEBHOOKS, post_webhook_removed, "Remove a webhook"),
)
