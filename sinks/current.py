"""One account now, read quickly however long its history is and however many accounts there are.

`current_rows` keeps what counts of an account together: one statement reads it. The views `balances`, `accounts` and
`holds` say the same of all accounts at once. What takes long is asked only of an account that has been silent since a
grant of it ended, and of one whose open grants were not drawn on in one order.

Outputs that are not loaded yet can be given beside: they are made into the same rows, and of each name the highest
version counts, wherever it was read. So it does not matter whether an output that is given is loaded already.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sinks.inserts import BALANCE, CURRENT, Insert, inserts_of
from sinks.packed import unpacked
from sinks.parameters import Parameters
from sinks.rows import LAST_TIME, Record

Rows = Callable[[str, Parameters], Sequence[Mapping[str, Any]]]
"""Runs one reading statement, its placeholders bound, and returns its rows by column name."""

_ACCOUNT = "{account:String}"
# The condition stands before the columns: a row that is not wanted is not read.
_PACKED = f"SELECT packed FROM {CURRENT} PREWHERE account_id = {_ACCOUNT}"  # noqa: S608 - ours alone
_ACCOUNT_NOW = f"{_PACKED} AND NOT (kind = 'hold' AND ends <= fromUnixTimestamp64Milli({{now:Int64}}))"
_SETTINGS = f"{_PACKED} AND kind = 'settings'"
_DRAWN = f"SELECT grant_id, drawn FROM grant_draws WHERE account_id = {_ACCOUNT}"  # noqa: S608 - ours alone

Unloaded = Mapping[str, Sequence[Record]]
"""Batches by the name of their record, each without what is of other accounts, in the order of their sources."""
NOTHING: Unloaded = {}


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
    """A grant that can be drawn from, used up or not. `credits`: as granted; `expires_at` in ms, None for never.

    `remaining`: what can still be drawn from it; None where that is not known here (see `grant_remains`).
    """

    grant_id: str
    credit_type: str
    credits: int
    remaining: int | None
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


def current_account(rows: Rows, account_id: str, now: int, unloaded: Unloaded = NOTHING) -> CurrentAccount:
    """The account as it is at `now` (ms), by what is loaded and what is not yet. Raises what `rows` raises."""
    bound = {"account": account_id}
    read = _unpacked(rows(_ACCOUNT_NOW, {**bound, "now": now}))
    newest = sorted(_newest([*read, *_rows_of(unloaded)]), key=lambda row: (row["ends"], row["id"]))
    balances = [row for row in newest if row["kind"] == BALANCE]
    is_open = {"held", "drawn"}
    holds = [_hold(row) for row in newest if row["kind"] == "hold" and row["status"] in is_open and _counts(row, now)]
    grants = [row for row in newest if row["kind"] == "grant" and row["status"] == "applied"]
    # Those that ended before the account was heard of last were forfeited then, or had nothing left.
    heard_at = max((row["at"] for row in balances), default=0)
    lapsing = [row for row in grants if not _counts(row, now) and row["ends"] > heard_at]
    open_grants = [row for row in grants if _counts(row, now)]
    last = _last_balances(balances)
    remains = grant_remains([*lapsing, *open_grants], balances, {name: one[0] for name, one in last.items()})
    gone: dict[str, int] = defaultdict(int)
    if any(row["id"] not in remains for row in lapsing):
        # By what is loaded: of an account that is heard of again, or whose last lines are loaded, it is exact.
        drawn = {row["grant_id"]: int(row["drawn"]) for row in rows(_DRAWN, bound)}
        remains |= {row["id"]: max(0, _opened(row) - drawn.get(row["id"], 0)) for row in lapsing}
    for row in lapsing:
        gone[row["credit_types"][0]] += remains[row["id"]]
    settings = next((_settings(row) for row in newest if row["kind"] == "settings"), CurrentSettings())
    return CurrentAccount(
        _balances(last, holds, gone),
        settings,
        [_grant(row, remains.get(row["id"])) for row in open_grants],
        holds,
        next((row["source_partition"] for row in newest), None),
        max((row["source_offset"] for row in newest), default=-1),
    )


def settings_rows(rows: Rows, account_id: str) -> Sequence[Mapping[str, Any]]:
    """What is loaded of the account's settings, for `current_settings`. Raises what `rows` raises."""
    return rows(_SETTINGS, {"account": account_id})


def current_settings(loaded: Iterable[Mapping[str, Any]], unloaded: Unloaded = NOTHING) -> CurrentSettings:
    """The settings in force, by rows of `settings_rows` and by what is not loaded yet."""
    more = [row for row in _rows_of(unloaded) if row["kind"] == "settings"]
    return next(map(_settings, _newest((*_unpacked(loaded), *more))), CurrentSettings())


def grant_remains(
    grants: Sequence[Mapping[str, Any]], balances: Iterable[Mapping[str, Any]], totals: Mapping[str, int]
) -> dict[str, int]:
    """What remains of each grant, by its id, where the balances say it; absent where they do not.

    `totals`: the balances with these grants in them. What remains of all of a type is its balance, nothing where that
    is debt. Charges draw on the grant that
    ends first. So where grants came in the order in which they end, the ones that end last are untouched as far as the
    balance reaches. A refund gives back to the grants that its line drew on, or as a grant of its own: after one it is
    known only where nothing is left.
    """
    refunded = {row["credit_types"][0] for row in balances if _is_refunded(row)}
    by_type: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in sorted(grants, key=lambda row: (row["ends"], row["source_offset"])):
        by_type[row["credit_types"][0]].append(row)
    remains: dict[str, int] = {}
    for name, rows in by_type.items():
        total = max(0, totals.get(name, 0))
        arrivals = [row["source_offset"] for row in rows]
        is_plain = arrivals == sorted(arrivals) or total == sum(map(_opened, rows))
        if not total or (is_plain and name not in refunded):
            for row in reversed(rows):
                remains[row["id"]] = min(total, _opened(row))
                total -= remains[row["id"]]
    return remains


def _unpacked(rows: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [unpacked(row["packed"]) for row in rows]


def _rows_of(unloaded: Unloaded) -> list[Mapping[str, Any]]:
    """The account's outputs as they would be read once they are loaded."""
    rows: list[Mapping[str, Any]] = []
    for name, batches in unloaded.items():
        for insert in inserts_of(name, batches):
            if insert.table == CURRENT:
                rows += _by_row(insert)
    return rows


def _counts(row: Mapping[str, Any], now: int) -> bool:
    """Whether a grant or hold is not over."""
    ends: int = row["ends"]
    return ends > now


def _by_row(insert: Insert) -> list[dict[str, Any]]:
    return [dict(zip(insert.columns, values, strict=True)) for values in zip(*insert.columns.values(), strict=True)]


def _newest(rows: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Of each row's versions the highest."""
    newest: dict[tuple[str, int, str], Mapping[str, Any]] = {}
    for row in rows:
        key = row["kind"], row["ends"], row["id"]
        if key not in newest or row["version"] > newest[key]["version"]:
            newest[key] = row
    return list(newest.values())


def _last_balances(balances: Iterable[Mapping[str, Any]]) -> dict[str, tuple[int, int]]:
    """By credit type, the balance after the last output, and the offset of its source."""
    last: dict[str, tuple[int, bool, int]] = {}
    for row in balances:
        # Of one message that charged and forfeited, the lowest balance is the last: see the view last_balances.
        now = row["source_offset"], _is_refunded(row), -row["balance_after"]
        name = row["credit_types"][0]
        last[name] = max(last.get(name, (-1, False, 0)), now)
    return {name: (-minus, offset) for name, (offset, _, minus) in last.items()}


def _is_refunded(balance: Mapping[str, Any]) -> bool:
    """Whether a balance is one that a refund left."""
    return bool(balance["status"] == "refund_rows")


def _balances(
    last: Mapping[str, tuple[int, int]], holds: Iterable[CurrentHold], gone: Mapping[str, int]
) -> dict[str, CurrentBalance]:
    held: dict[str, int] = defaultdict(int)
    for hold in holds:
        for name, amount in hold.remaining.items():
            held[name] += amount
    return {
        name: CurrentBalance(balance - gone.get(name, 0), held.get(name, 0), offset)
        for name in sorted(last.keys() | held.keys())
        for balance, offset in (last.get(name, (0, -1)),)
    }


def _opened(row: Mapping[str, Any]) -> int:
    """What a grant left open on arrival: its credits less the debt that it filled."""
    credits_: int = row["amounts"][0]
    after: int = row["balance_after"]
    return credits_ - max(0, min(credits_, credits_ - after))


def _hold(row: Mapping[str, Any]) -> CurrentHold:
    asked = _amounts(row["credit_types"], row["amounts"])
    charged = _amounts(row["charged_types"], row["charged_amounts"])
    return CurrentHold(row["id"], asked, charged, row["ends"], row["reason"])


def _grant(row: Mapping[str, Any], remaining: int | None) -> CurrentGrant:
    ends = row["ends"]
    return CurrentGrant(
        row["id"], row["credit_types"][0], row["amounts"][0], remaining, None if ends == LAST_TIME else ends,
        row["reason"],
    )  # fmt: skip


def _settings(row: Mapping[str, Any]) -> CurrentSettings:
    plan = None if row["plan"] is None else (row["plan"], row["plan_started_at"], row["plan_ends_at"])
    return CurrentSettings(plan, row["status"], _amounts(row["credit_types"], row["amounts"]), row["reason"])


def _amounts(types: Sequence[str], amounts: Sequence[int]) -> dict[str, int]:
    return dict(zip(types, amounts, strict=True))
