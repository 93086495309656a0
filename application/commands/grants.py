"""Giving an account credits, and what a grant of the same id did before."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any

from application.clickhouse.asking import literal, rows_or_empty
from application.commands.fields import raise_on_bad_field
from application.commands.submitting import Decided, submit_and_wait
from application.pipeline import Pipeline
from metering.records import Command


@dataclass(frozen=True)
class GrantOrder:
    """What was asked for; times in ms, a random `grant_id` unless one is given."""

    account_id: str
    credit_type: str
    credits: int
    granted_at: int
    expires_at: int | None = None
    grant_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    reason: str = ""

    def record(self) -> dict[str, Any]:
        """The Grant command. Raises BadField with the first wrong field."""
        record = {
            "grant_id": self.grant_id,
            "account_id": self.account_id,
            "credit_type": self.credit_type,
            "credits": self.credits,
            "granted_at": self.granted_at,
            "expires_at": self.expires_at,
            "reason": self.reason,
        }
        raise_on_bad_field(Command.GRANT, record)
        return record


@dataclass(frozen=True)
class GrantResult:
    """What became of it. `first`: for a repeat, the rows of the first grant of that id that ClickHouse has."""

    decided: Decided
    first: list[dict[str, Any]]

    @property
    def is_repeated(self) -> bool:
        """Whether the account had accepted a grant of this id before."""
        return self.decided.is_repeated

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return self.decided.as_json() | {"repeated": self.is_repeated, "first": self.first}


def grant_credits(pipeline: Pipeline, order: GrantOrder, seconds: float) -> GrantResult:
    """Sends the grant and waits up to `seconds` for its decision. Raises BadField, LogError, NotDecided."""
    (decided,) = submit_and_wait(pipeline, Command.GRANT, [order.record()], seconds)
    return GrantResult(decided, _first(pipeline, decided) if decided.is_repeated else [])


def _first(pipeline: Pipeline, decided: Decided) -> list[dict[str, Any]]:
    return rows_or_empty(
        pipeline.sql,
        "SELECT changed_at, credit_type, status, credits, expires_at, balance_after FROM grants "  # noqa: S608 - quoted
        f"WHERE account_id = {literal(decided.record['account_id'])} AND grant_id = {literal(decided.own_id)} "
        "ORDER BY source_offset, position",
    )
