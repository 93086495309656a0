"""One account now, read quickly however long its history is and however many accounts there are.

`latest_balance_rows` and `current_rows` keep what counts of an account together: a statement each reads it. The views
`balances`, `accounts` and `holds` say the same of all accounts at once. What takes long is asked only of an account
that has been silent since a grant of it ended.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sinks.parameters import Parameters
from sinks.rows import LAST_TIME

Rows = Callable[[str, Parameters], Sequence[Mapping[str, Any]]]
"""Runs one reading statement, its placeholders bound, and returns its rows by column name."""

_ACCOUNT = "{account:String}"
_CURRENT = f"""
SELECT kind, id, toUInt8(ends > now64(3)) AS counts, toUnixTimestamp64Milli(ends) AS ends_at, status, credit_types,
    amounts, charged_types, charged_amounts, balance_after, plan, toUnixTimestamp64Milli(plan_started_at) AS plan_began,
    toUnixTimestamp64Milli(plan_ends_at) AS plan_ended, reason, source_partition, source_offset, version
FROM current_rows
WHERE account_id = {_ACCOUNT} AND (kind != 'hold' OR ends > now64(3))"""  # noqa: S608 - ours alone
_BALANCES = f"""
SELECT credit_type, origin, balance_after, toUnixTimestamp64Milli(at) AS at_ms, source_partition, source_offset, version
FROM latest_balance_rows WHERE account_id = {_ACCOUNT}"""  # noqa: S608 - ours alone
_DRAWN = f"SELECT grant_id, drawn FROM grant_draws WHERE account_id = {_ACCOUNT}"  # noqa: S608 - ours alone


@dataclass(frozen=True, slots=True)
class CurrentBalance:
    """Credits of one type as the tables have them now, without grants and holds that are over by the clock.

    `source_offset`: the last input message that is in `balance`, -1 where there is none.
    """

    balance: int
    held: int
    source_offset: int

    @property
    def available(self) -> int:
        """What a hold, or an event of an account that rejects, may still use (SPEC 11)."""
        return self.balance - self.held


@dataclass(frozen=True, slots=True)
class CurrentGrant:
    """A grant that can be drawn from, used up or not. `credits`: as granted; `expires_at` in ms, None for never."""

    grant_id: str
    credit_type: str
    credits: int
    expires_at: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class CurrentHold:
    """An open hold; by credit type, in credits: asked, and charged so far. `expires_at` in ms."""

    hold_id: str
    credits: Mapping[str, int]
    charged: Mapping[str, int]
    expires_at: int
    reason: str

    @property
    def remaining(self) -> dict[str, int]:
        """What it still sets aside."""
        return {name: max(0, asked - self.charged.get(name, 0)) for name, asked in self.credits.items()}


@dataclass(frozen=True, slots=True)
class CurrentSettings:
    """The last update's settings; `plan` with its times in ms, None for no plan."""

    plan: tuple[str, int, int | None] | None = None
    on_empty: str = "allow"
    alert_below: Mapping[str, int] = field(default_factory=dict)
    update_id: str | None = None


@dataclass(frozen=True, slots=True)
class CurrentAccount:
    """What counts of an account now: balances by credit type in order of name, grants and holds by their ends.

    `source_partition` is None for an account without rows: it is not known, or nothing of it is loaded yet.
    """

    balances: dict[str, CurrentBalance]
    settings: CurrentSettings
    grants: list[CurrentGrant]
    holds: list[CurrentHold]
    source_partition: int | None
    source_offset: int


def current_account(rows: Rows, account_id: str) -> CurrentAccount:
    """The account as it is loaded now. Raises what `rows` raises."""
    bound = {"account": account_id}
    newest = sorted(
        _newest(rows(_CURRENT, bound), ("kind", "ends_at", "id")), key=lambda row: (int(row["ends_at"]), row["id"])
    )
    balances = _newest(rows(_BALANCES, bound), ("credit_type", "origin"))
    holds = [_hold(row) for row in newest if row["kind"] == "hold" and row["status"] in {"held", "drawn"}]
    grants = [row for row in newest if row["kind"] == "grant" and row["status"] == "applied"]
    # Those that ended before the account was heard of last were forfeited then, or had nothing left.
    heard_at = max((int(row["at_ms"]) for row in balances), default=0)
    lapsing = [row for row in grants if not int(row["counts"]) and int(row["ends_at"]) > heard_at]
    gone: dict[str, int] = defaultdict(int)
    if lapsing:
        drawn = {row["grant_id"]: int(row["drawn"]) for row in rows(_DRAWN, bound)}
        for row in lapsing:
            gone[row["credit_types"][0]] += max(0, _opened(row) - drawn.get(row["id"], 0))
    settings = next((_settings(row) for row in newest if row["kind"] == "settings"), CurrentSettings())
    open_grants = [_grant(row) for row in grants if int(row["counts"])]
    return CurrentAccount(
        _balances(balances, holds, gone),
        settings,
        open_grants,
        holds,
        next((int(row["source_partition"]) for row in (*balances, *newest)), None),
        max((int(row["source_offset"]) for row in (*balances, *newest)), default=-1),
    )


def _newest(rows: Iterable[Mapping[str, Any]], names: Sequence[str]) -> list[Mapping[str, Any]]:
    """Of each name the row with the highest version."""
    newest: dict[tuple[Any, ...], Mapping[str, Any]] = {}
    for row in rows:
        key = tuple(row[name] for name in names)
        if key not in newest or int(row["version"]) > int(newest[key]["version"]):
            newest[key] = row
    return list(newest.values())


def _balances(
    balances: Iterable[Mapping[str, Any]], holds: Iterable[CurrentHold], gone: Mapping[str, int]
) -> dict[str, CurrentBalance]:
    last: dict[str, tuple[int, bool, int]] = {}
    for row in balances:
        # Of one message that charged and forfeited, the lowest balance is the last: see the view last_balances.
        now = int(row["source_offset"]), row["origin"] == "refund_rows", -int(row["balance_after"])
        last[row["credit_type"]] = max(last.get(row["credit_type"], (-1, False, 0)), now)
    held: dict[str, int] = defaultdict(int)
    for hold in holds:
        for name, amount in hold.remaining.items():
            held[name] += amount
    return {
        name: CurrentBalance(-minus - gone.get(name, 0), held.get(name, 0), offset)
        for name in sorted(last.keys() | held.keys())
        for offset, _, minus in (last.get(name, (-1, False, 0)),)
    }


def _opened(row: Mapping[str, Any]) -> int:
    """What a grant left open on arrival: its credits less the debt that it filled."""
    credits_ = int(row["amounts"][0])
    return credits_ - max(0, min(credits_, credits_ - int(row["balance_after"])))


def _hold(row: Mapping[str, Any]) -> CurrentHold:
    asked = _amounts(row["credit_types"], row["amounts"])
    charged = _amounts(row["charged_types"], row["charged_amounts"])
    return CurrentHold(row["id"], asked, charged, int(row["ends_at"]), row["reason"])


def _grant(row: Mapping[str, Any]) -> CurrentGrant:
    ends = int(row["ends_at"])
    return CurrentGrant(
        row["id"], row["credit_types"][0], int(row["amounts"][0]), None if ends == LAST_TIME else ends, row["reason"]
    )


def _settings(row: Mapping[str, Any]) -> CurrentSettings:
    ended = row["plan_ended"]
    plan = None if row["plan"] is None else (row["plan"], int(row["plan_began"]), None if ended is None else int(ended))
    return CurrentSettings(plan, row["status"], _amounts(row["credit_types"], row["amounts"]), row["reason"])


def _amounts(types: Sequence[str], amounts: Sequence[Any]) -> dict[str, int]:
    return dict(zip(types, map(int, amounts), strict=True))
