"""Bodies and answers about access: keys, members, links, webhooks, changes."""

from __future__ import annotations

from dataclasses import fields
from typing import Annotated, Any, Literal, TypedDict, get_type_hints

from msgspec import Meta, Struct

from server.messages.scalars import Instant, Texts, Time
from streams.access.records import AccessKey, ChangeRecord, LinkUse, Member, Webhook

INNER = frozenset({"digest", "revision", "generation"})
"""Fields of records that no answer shows."""


def is_time(name: str) -> bool:
    """Whether a field of a record of access is a time."""
    return name == "at" or name.endswith("_at")


def shown_type(name: str, record: type, meaning: str, **further: Any) -> Any:
    """The type of a record as an answer shows it: times as RFC 3339, without inner fields; `further` beside them."""
    hints = get_type_hints(record)
    shown = {field.name: _shown(field.name, hints[field.name]) for field in fields(record) if field.name not in INNER}
    return _typed(name, meaning, shown | further)


def _shown(name: str, kind: Any) -> Any:
    if not is_time(name):
        return kind
    return Time if kind is int else Time | None


def _typed(name: str, meaning: str, members: dict[str, Any]) -> Any:
    make: Any = TypedDict
    made = make(name, members)
    made.__doc__ = meaning
    return made


def _listed(name: str, meaning: str, member: str, kind: Any) -> Any:
    return _typed(name, meaning, {member: list[kind]})


CustomerRole = Literal["member", "owner"]
KeyShown = shown_type(
    "KeyShown", AccessKey, "What is kept of an API key, which is not the key.", last_used_at=Time | None
)
KeyState = shown_type("KeyState", AccessKey, "An API key after a change.")
KeyMade = shown_type("KeyMade", AccessKey, "A key that was made: `key` is shown this once.", key=str)
MemberShown = shown_type("MemberShown", Member, "A person of an account, by the actor that events name.")
LinkShown = shown_type("LinkShown", LinkUse, "What is kept of a sign-in link, which is not the link.")
LinkMade = shown_type("LinkMade", LinkUse, "A link that was made: `path` is shown this once.", path=str)
WebhookShown = shown_type("WebhookShown", Webhook, "Where an account's events are sent.")
WebhookMade = shown_type(
    "WebhookMade", Webhook, "A webhook that was made, and the secrets that sign.", secrets=list[str]
)
ChangeShown = shown_type("ChangeShown", ChangeRecord, "Who changed what, when, and from where.")
KeyList = _listed("KeyList", "Newest first, revoked ones among them.", "keys", KeyShown)
MemberList = _listed("MemberList", "By name.", "members", MemberShown)
LinkList = _listed("LinkList", "Links that can be used, or whose sessions last.", "links", LinkShown)
WebhookList = _listed("WebhookList", "Oldest first.", "webhooks", WebhookShown)
SecretList = _listed("SecretList", "The secrets that sign, the newest first.", "secrets", str)
ChangeList = _listed("ChangeList", "Newest first.", "changes", ChangeShown)


class KeyBody(Struct, kw_only=True):
    """A key of this account."""

    role: CustomerRole
    actor: str | None = None
    name: str | None = None
    expires_at: Instant | None = None


class MemberBody(Struct, kw_only=True):
    """What people know a member by."""

    name: str | None = None
    email: str | None = None


class LinkBody(Struct, kw_only=True):
    """A sign-in link of this account."""

    role: CustomerRole
    actor: str | None = None
    name: str | None = None
    expires_in: Annotated[str, Meta(description="such as 1d or 12h")] | None = None


class WebhookBody(Struct, kw_only=True):
    """Where events are sent, and which."""

    url: str
    events: Texts
    description: str | None = None
