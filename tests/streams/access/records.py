"""Records of access for tests."""

from hashlib import sha256
from typing import Any

from streams.access.records import AccessKey, ChangeRecord, LinkUse, Member, Webhook

NOW = 1_767_225_600_000


def a_key(key_id: str = "key_1", **fields: Any) -> AccessKey:
    whole: dict[str, Any] = {
        "key_id": key_id, "digest": sha256(key_id.encode()).digest(), "role": "member", "account_id": "acme",
        "created_at": NOW, "created_by": "tester",
    }  # fmt: skip
    return AccessKey(**(whole | fields))


def a_member(actor: str = "anna", **fields: Any) -> Member:
    whole: dict[str, Any] = {"account_id": "acme", "actor": actor, "changed_at": NOW, "changed_by": "tester"}
    return Member(**(whole | fields))


def a_webhook(webhook_id: str = "wh_1", **fields: Any) -> Webhook:
    whole: dict[str, Any] = {
        "webhook_id": webhook_id, "account_id": "acme", "url": "https://example.com", "events": ["balance.below"],
        "created_at": NOW, "created_by": "tester",
    }  # fmt: skip
    return Webhook(**(whole | fields))


def a_link(link_id: str = "link_1", **fields: Any) -> LinkUse:
    whole: dict[str, Any] = {
        "link_id": link_id, "role": "member", "account_id": "acme", "created_at": NOW, "created_by": "tester",
        "expires_at": NOW + 1_000,
    }  # fmt: skip
    return LinkUse(**(whole | fields))


def a_change(change_id: str, **fields: Any) -> ChangeRecord:
    whole: dict[str, Any] = {
        "change_id": change_id, "at": NOW, "changed_by": "tester", "action": "key.created", "subject": "key_1",
    }  # fmt: skip
    return ChangeRecord(**(whole | fields))
