"""The records of the topic of access as values; docs/schemas.md explains every field."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class _Record:
    """`schema`: the Avro record; its fields are those of the class, in its order."""

    schema: ClassVar[str]

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Self:
        """From a decoded record."""
        return cls(**fields)

    def fields(self) -> dict[str, Any]:
        """As the codec takes it."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessKey(_Record):
    """An API key, known by its SHA-256. Times in ms."""

    schema = "AccessKey"
    key_id: str
    digest: bytes
    role: str
    account_id: str | None
    actor: str | None = None
    name: str = ""
    hint: str = ""
    created_at: int
    created_by: str
    created_from: str = ""
    expires_at: int | None = None
    revoked_at: int | None = None
    revoked_by: str | None = None
    revoked_from: str | None = None
    revision: int = 1

    @property
    def record_key(self) -> str:
        """What the record is about: the topic keeps the newest of each."""
        return f"key:{self.key_id}"

    @property
    def ended_at(self) -> int | None:
        """When it was ended by somebody; None while it was not."""
        return self.revoked_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Member(_Record):
    """A person of an account, by the actor that events name. Times in ms."""

    schema = "Member"
    account_id: str
    actor: str
    name: str = ""
    email: str = ""
    changed_at: int
    changed_by: str
    changed_from: str = ""
    removed_at: int | None = None
    removed_by: str | None = None
    removed_from: str | None = None
    revision: int = 1

    @property
    def record_key(self) -> str:
        """The length stands before the account, since ids may hold any character."""
        return f"member:{len(self.account_id)}:{self.account_id}:{self.actor}"

    @property
    def ended_at(self) -> int | None:
        """When the member was removed."""
        return self.removed_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook(_Record):
    """Where an account's events are sent. Times in ms."""

    schema = "Webhook"
    webhook_id: str
    account_id: str | None
    url: str
    events: list[str]
    description: str = ""
    generation: int = 1
    rotated_at: int | None = None
    created_at: int
    created_by: str
    created_from: str = ""
    disabled_at: int | None = None
    disabled_reason: str | None = None
    enabled_at: int | None = None
    removed_at: int | None = None
    removed_by: str | None = None
    removed_from: str | None = None
    revision: int = 1

    @property
    def record_key(self) -> str:
        """What the record is about."""
        return f"webhook:{self.webhook_id}"

    @property
    def ended_at(self) -> int | None:
        """When it was removed."""
        return self.removed_at


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkUse(_Record):
    """A sign-in link, and what became of it. Times in ms."""

    schema = "LinkUse"
    link_id: str
    role: str
    account_id: str | None
    actor: str | None = None
    name: str = ""
    created_at: int
    created_by: str
    created_from: str = ""
    expires_at: int
    used_at: int | None = None
    used_from: str | None = None
    session_ends_at: int | None = None
    revoked_at: int | None = None
    revoked_by: str | None = None
    revoked_from: str | None = None
    revision: int = 1

    @property
    def record_key(self) -> str:
        """What the record is about."""
        return f"link:{self.link_id}"

    @property
    def ended_at(self) -> int | None:
        """When it was revoked."""
        return self.revoked_at

    @property
    def opens_until(self) -> int:
        """After this time (ms) neither the link nor its session opens anything: the record may be forgotten."""
        return max(self.expires_at, self.session_ends_at or 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyUse(_Record):
    """When a key was used last; ms, to the hour."""

    schema = "KeyUse"
    key_id: str
    used_at: int

    @property
    def record_key(self) -> str:
        """What the record is about: not the key's own, so that it never undoes a change of it."""
        return f"use:{self.key_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeRecord(_Record):
    """One change by an owner or operator. `at` in ms."""

    schema = "ChangeRecord"
    change_id: str
    at: int
    changed_by: str
    changed_from: str = ""
    action: str
    account_id: str | None = None
    subject: str
    details: dict[str, str] = field(default_factory=dict)

    @property
    def record_key(self) -> str:
        """Every change stays."""
        return f"change:{self.change_id}"


Thing = AccessKey | Member | Webhook | LinkUse
"""What is kept in its newest revision."""
AccessRecord = Thing | KeyUse | ChangeRecord
CLASSES: Mapping[str, type[AccessRecord]] = {
    kind.schema: kind for kind in (AccessKey, Member, Webhook, LinkUse, KeyUse, ChangeRecord)
}
