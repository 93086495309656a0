"""Where an account stands, for its own people: credits by type, this period's grants and use, plan and settings.

No replay. Credits, settings, open grants and holds are those of the last decision, loaded or not; what was granted,
used and refunded in the period is what is loaded, and `as_of` says how far.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from application.accounts.snapshot import AccountSnapshot, account_snapshot
from application.accounts.unloaded import UnloadedOutputs
from application.errors import ErrorCode, Failed
from application.prices.price_list import AccountPlan
from application.usage.aggregation import AggregationQuery, aggregate
from application.usage.as_of import AsOf
from application.usage.history import UsageReader
from application.usage.measures import Measure
from application.usage.query import Filters
from application.usage.scope import UsageScope
from application.wording import shown_time
from sinks.current import CurrentGrant
from streams.log.partitioner import partition_of

_GRANTED = """SELECT credit_type, sum(credits) AS credits FROM grant_rows FINAL
WHERE account_id = {account:String} AND status = 'applied'
    AND day >= toDate32(fromUnixTimestamp64Milli({start:Int64}, 'UTC'))
    AND changed_at >= fromUnixTimestamp64Milli({start:Int64}, 'UTC')
    AND changed_at < fromUnixTimestamp64Milli({end:Int64}, 'UTC')
GROUP BY credit_type"""


@dataclass(frozen=True, slots=True)
class CreditsOfType:
    """Credits of one type. `granted`, `used` and `refunded` are of this period."""

    balance: int
    held: int
    available: int
    granted: int
    used: int
    refunded: int


@dataclass(frozen=True, slots=True)
class AccountStanding:
    """An account at the instant `at`; times in ms. `period`: the plan's month, else the UTC month."""

    account_id: str
    as_of: AsOf
    at: int
    period: tuple[int, int]
    credits: dict[str, CreditsOfType]
    grants: Sequence[CurrentGrant]
    plan: AccountPlan | None
    on_empty: str
    marks: dict[str, int]

    def as_plain(self) -> dict[str, Any]:
        """For programs."""
        plan = self.plan
        return {
            "account_id": self.account_id,
            "as_of": str(self.as_of),
            "at": shown_time(self.at),
            "period": {"start": shown_time(self.period[0]), "end": shown_time(self.period[1])},
            "credits": {
                name: {field: getattr(credit, field) for field in CreditsOfType.__slots__}
                for name, credit in self.credits.items()
            },
            "grants": [
                {
                    "grant_id": grant.grant_id, "credit_type": grant.credit_type, "credits": grant.credits,
                    "remaining": grant.remaining, "expires_at": _shown(grant.expires_at), "reason": grant.reason,
                }
                for grant in self.grants
            ],
            "plan": plan
            and {"name": plan.name, "started_at": shown_time(plan.started_at), "ends_at": _shown(plan.ends_at)},
            "on_empty": self.on_empty,
            "alert_below": self.marks,
        }  # fmt: skip


def available_credits(
    reader: UsageReader, scope: UsageScope, primary: str | None, outputs: UnloadedOutputs | None = None
) -> int:
    """Available credits of the primary type now; where none is named, of the only type. Raises Failed."""
    balances = _snapshot(reader, scope, outputs).balances
    if primary is None and len(balances) > 1:
        raise Failed(
            "this account has several credit types: set primary_credit_type to the one that is meant",
            ErrorCode.CONFLICT,
        )
    chosen = primary if primary is not None else next(iter(balances), None)
    balance = None if chosen is None else balances.get(chosen)
    return 0 if balance is None else balance.available


def _snapshot(reader: UsageReader, scope: UsageScope, outputs: UnloadedOutputs | None) -> AccountSnapshot:
    if scope.account_id is None:
        raise ValueError("a standing is one account's")
    partition = partition_of(scope.account_id, reader.positions.partitions)
    return account_snapshot(reader.store, scope.account_id, partition, outputs)


def account_standing(
    reader: UsageReader, scope: UsageScope, now: int, outputs: UnloadedOutputs | None = None
) -> AccountStanding:
    """The account at `now` (ms). Use is that of the scope's actor where it has one. Raises Failed."""
    snapshot = _snapshot(reader, scope, outputs)
    store, account = reader.store, snapshot.account_id
    settings = snapshot.settings
    plan = None if settings.plan is None else AccountPlan(*settings.plan)
    period = period_of(now, plan)
    used = AggregationQuery(
        scope, Filters(*period), group_by=("credit_type",), measures=(Measure.CREDITS, Measure.REFUNDED)
    )
    answer = aggregate(reader, used)
    sums: dict[str, dict[Measure, int]] = defaultdict(dict)
    for cell in answer.cells:
        name = cell.group["credit_type"]
        if isinstance(name, str):
            sums[name] = {measure: value for measure, value in cell.values.items() if isinstance(value, int)}
    window: dict[str, str | int] = {"account": account, "start": period[0], "end": period[1]}
    granted = {row["credit_type"]: int(row["credits"]) for row in store.rows(_GRANTED, window)}
    balances = snapshot.balances
    credits_ = {
        name: CreditsOfType(
            balances[name].balance if name in balances else 0,
            balances[name].held if name in balances else 0,
            balances[name].available if name in balances else 0,
            granted.get(name, 0),
            sums[name].get(Measure.CREDITS, 0),
            sums[name].get(Measure.REFUNDED, 0),
        )
        for name in sorted(balances.keys() | granted.keys() | sums.keys())
    }
    return AccountStanding(
        account, answer.as_of, now, period, credits_, snapshot.grants, plan, settings.on_empty,
        dict(settings.alert_below),
    )  # fmt: skip


def period_of(at: int, plan: AccountPlan | None) -> tuple[int, int]:
    """The month that `at` (ms) lies in: the plan's, counted from its beginning, else the UTC month.

    A plan that began on the 31st has months that begin on the last day where there is no 31st.
    """
    moment = datetime.fromtimestamp(at // 1000, UTC)
    if plan is None or not plan.counts(at):
        first = moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        return _ms(first), _ms(_months_after(first, 1))
    began = datetime.fromtimestamp(plan.started_at // 1000, UTC)
    months = (moment.year - began.year) * 12 + moment.month - began.month
    rest = plan.started_at % 1000
    if _ms(_months_after(began, months)) + rest > at:
        months -= 1
    return _ms(_months_after(began, months)) + rest, _ms(_months_after(began, months + 1)) + rest


def _months_after(began: datetime, months: int) -> datetime:
    year, month = began.year + (began.month - 1 + months) // 12, (began.month - 1 + months) % 12 + 1
    day = began.day
    while True:
        try:
            return began.replace(year=year, month=month, day=day)
        except ValueError:
            day -= 1


def _ms(moment: datetime) -> int:
    return round(moment.timestamp()) * 1000


def _shown(ms: int | None) -> str | None:
    return None if ms is None else shown_time(ms)
