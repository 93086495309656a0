"""Webhooks as settings: where an account's events are sent. Sending, and what may be reached, is not decided here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from application.access.access import Access
from application.access.authors import Author
from application.access.checks import BadAccessFields, raise_on_mistakes
from application.access.errors import NotAllowed
from application.access.identity import Action, Identity, Role, allows
from application.access.ids import new_id
from application.access.secret_keys import webhook_secrets
from application.errors import ErrorCode, Failed
from sinks.printable import without_secrets
from streams.access.records import Thing, Webhook
from streams.access.state import AccessState

EVENTS = (
    "balance.below", "balance.empty", "grant.applied", "grant.expired", "refund.made", "refund.rejected",
    "hold.expired", "event.set_aside", "prices.announced",
)  # fmt: skip
"""What a webhook may be told of (SERVER 4)."""
LONGEST_URL = 2_048
"""Characters of an address."""
MOST = 20
"""Webhooks of one account."""
SECOND_SECRET_MS = 24 * 3_600_000
"""For so long after a rotation the secret of before signs, too."""


@dataclass(frozen=True, slots=True)
class WebhookOrder:
    """What was asked for. `account_id` None: events of every account, which only an operator may have."""

    account_id: str | None
    url: str
    events: Sequence[str]
    description: str = ""


def create_webhook(access: Access, author: Author, order: WebhookOrder) -> Webhook:
    """Add a webhook. Raises BadAccessFields, NotAllowed, Failed (CONFLICT) beyond `MOST`, AccessUnavailable."""
    _raise_unless_allowed(author.identity, order.account_id)
    _raise_on_mistakes(access, order)
    webhook = Webhook(
        webhook_id=new_id("wh"), account_id=order.account_id, url=order.url, events=list(dict.fromkeys(order.events)),
        description=order.description, created_at=access.now(), created_by=author.name, created_from=author.address,
    )  # fmt: skip

    def decide(state: AccessState) -> Sequence[Thing]:
        if len(_present(state.webhooks(order.account_id))) >= MOST:
            raise Failed(f"there are {MOST} webhooks already: remove one first", ErrorCode.CONFLICT)
        return [webhook]

    _change(access, author, "webhook.created", webhook, decide)
    return webhook


def change_webhook(access: Access, author: Author, webhook_id: str, order: WebhookOrder) -> Webhook:
    """Give a webhook another address, events or description; one that was off is on again.

    Raises BadAccessFields, Failed (NOT_FOUND), NotAllowed, AccessUnavailable.
    """
    _raise_on_mistakes(access, order)
    return _edited(
        access, author, webhook_id, "webhook.changed",
        lambda webhook: replace(
            webhook, url=order.url, events=list(dict.fromkeys(order.events)), description=order.description,
            disabled_at=None, disabled_reason=None,
            enabled_at=webhook.enabled_at if webhook.disabled_at is None else access.now(),
        ),
    )  # fmt: skip


def disable_webhook(access: Access, author: Author, webhook_id: str, reason: str) -> Webhook:
    """Send nothing to it any more until it is changed; its owner sees why. Raises as `remove_webhook`."""
    return _edited(
        access, author, webhook_id, "webhook.disabled",
        lambda webhook: replace(webhook, disabled_at=access.now(), disabled_reason=reason),
    )  # fmt: skip


def rotate_secret(access: Access, author: Author, webhook_id: str) -> Webhook:
    """Begin a new secret; the one before signs, too, for a day. Raises as `remove_webhook`."""
    return _edited(
        access, author, webhook_id, "webhook.rotated",
        lambda webhook: replace(webhook, generation=webhook.generation + 1, rotated_at=access.now()),
    )  # fmt: skip


def remove_webhook(access: Access, author: Author, webhook_id: str) -> Webhook:
    """End a webhook for ever. Raises Failed (NOT_FOUND), also for another account's; NotAllowed; AccessUnavailable."""
    return _edited(
        access, author, webhook_id, "webhook.removed",
        lambda webhook: replace(
            webhook, removed_at=access.now(), removed_by=author.name, removed_from=author.address
        ),
    )  # fmt: skip


def list_webhooks(access: Access, account_id: str | None) -> list[Webhook]:
    """The account's webhooks, oldest first; None: those for every account. Never waits."""
    return sorted(_present(access.state.webhooks(account_id)), key=lambda webhook: webhook.created_at)


def shown_urls(access: Access, identity: Identity, account_id: str) -> list[str]:
    """The addresses as the identity may see them: user info and query are masked but for owners. Never waits."""
    urls = [webhook.url for webhook in list_webhooks(access, account_id)]
    return urls if allows(identity, Role.OWNER, account_id) else [without_secrets(url) for url in urls]


def signing_secrets(access: Access, webhook: Webhook) -> list[str]:
    """The `whsec_` secrets that sign now, the newest first: two generations after a rotation, two secret_keys likewise.

    Raises Misconfigured without a secret_key.
    """
    secrets = webhook_secrets(access.secret_keys, webhook.webhook_id, webhook.generation)
    if webhook.rotated_at is not None and access.now() < webhook.rotated_at + SECOND_SECRET_MS:
        secrets += webhook_secrets(access.secret_keys, webhook.webhook_id, webhook.generation - 1)
    return secrets


def _present(webhooks: list[Webhook]) -> list[Webhook]:
    return [webhook for webhook in webhooks if webhook.removed_at is None]


def _raise_unless_allowed(identity: Identity, account_id: str | None) -> None:
    if not allows(identity, Action.MANAGE_WEBHOOKS, account_id):
        raise NotAllowed("webhooks are for an owner of the account to change")


def _raise_on_mistakes(access: Access, order: WebhookOrder) -> None:
    mistakes: list[tuple[str, str]] = []
    try:
        raise_on_mistakes({"account_id": order.account_id, "description": order.description}, access.now())
    except BadAccessFields as error:
        mistakes += error.mistakes
    if not _is_address(order.url):
        mistakes.append(("url", f"https://…, at most {LONGEST_URL:,} characters, without spaces or a #fragment"))
    if not order.events or not set(order.events) <= set(EVENTS):
        mistakes.append(("events", f"one or more of {', '.join(EVENTS)}"))
    if mistakes:
        raise BadAccessFields(mistakes)


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        has_place = bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    is_plain = url.isascii() and url.isprintable() and " " not in url and "#" not in url
    return parts.scheme in {"http", "https"} and has_place and is_plain and len(url) <= LONGEST_URL


def _edited(
    access: Access, author: Author, webhook_id: str, action: str, edit: Callable[[Webhook], Webhook]
) -> Webhook:  # fmt: skip
    access.read_to_end()
    known = access.state.webhook(webhook_id)
    is_theirs = known is not None and author.identity.account_id in {None, known.account_id}
    if known is None or known.removed_at is not None or not is_theirs:
        raise _missing(webhook_id)
    _raise_unless_allowed(author.identity, known.account_id)
    written: list[Webhook] = []

    def decide(state: AccessState) -> Sequence[Thing]:
        webhook = state.webhook(webhook_id)
        if webhook is None or webhook.removed_at is not None:
            raise _missing(webhook_id)
        written[:] = [replace(edit(webhook), revision=webhook.revision + 1)]
        return written

    _change(access, author, action, known, decide)
    return written[0]


def _change(
    access: Access, author: Author, action: str, webhook: Webhook, decide: Callable[[AccessState], Sequence[Thing]]
) -> None:
    access.change(
        author, action, webhook.webhook_id, decide, webhook.account_id, url=without_secrets(webhook.url)
    )  # fmt: skip


def _missing(webhook_id: str) -> Failed:
    return Failed(f"there is no webhook {webhook_id}", ErrorCode.NOT_FOUND)
