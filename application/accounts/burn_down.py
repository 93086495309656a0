"""When an account's credits run out at the present rate, and what its balance was on the days before.

Pure but for `closing_balances`, which reads a row a day. The future is an estimate: the rate stays as it is, and grants
are drawn in the order in which they end (SPEC 4).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from application.usage.conditions import Bound, day
from application.usage.store import UsageStore
from metering.windows import DAY_MS


@dataclass(frozen=True, slots=True)
class Rate:
    """Credits spent in a time of so many ms."""

    credits: int
    span_ms: int

    @property
    def a_day(self) -> int:
        """Rounded to whole credits."""
        return (self.credits * DAY_MS * 2 + self.span_ms) // (2 * self.span_ms) if self.span_ms > 0 else 0


@dataclass(frozen=True, slots=True)
class OpenGrant:
    """What a grant still has: `left` credits until `expires_at` (ms), None for never."""

    left: int
    expires_at: int | None


@dataclass(frozen=True, slots=True)
class BurnDown:
    """`runs_out_at` (ms): None where it lasts. `points`: (ms, balance), from now on; two at one where a grant ends.

    `lapsing`: credits that end unused with their grants.
    """

    runs_out_at: int | None
    points: tuple[tuple[int, int], ...]
    lapsing: int


def left_in_grants(balance: int, grants: Sequence[tuple[int, int | None]]) -> list[OpenGrant]:
    """Shares a balance out to grants (credits, expires_at): those that end last keep theirs longest. First end first.

    What is beyond the grants never ends.
    """
    rest, left = max(balance, 0), []
    for credits_, expires_at in sorted(grants, key=lambda grant: (grant[1] is not None, -(grant[1] or 0))):
        kept = min(credits_, rest)
        rest -= kept
        left.append(OpenGrant(kept, expires_at))
    return [*reversed(left), *([OpenGrant(rest, None)] if rest else [])]


def burn_down(now: int, grants: Sequence[OpenGrant], rate: Rate) -> BurnDown:
    """The balance from `now` (ms) on, drawing the grants in their order."""
    at, balance, lapsing = now, sum(grant.left for grant in grants), 0
    points = [(at, balance)]
    for grant in grants:
        used, ends = grant.left, grant.expires_at
        done = at + used * rate.span_ms // rate.credits if rate.credits > 0 else None
        if ends is not None and (done is None or done > ends):
            until = max(ends, at)
            used = (until - at) * rate.credits // rate.span_ms if rate.credits > 0 else 0
            lost = grant.left - used
            points += [(until, balance - used), (until, balance - used - lost)]
            lapsing += lost
            at, balance = until, balance - used - lost
        elif done is None:
            if grant.left:
                return BurnDown(None, tuple(points), lapsing)
        else:
            at, balance = done, balance - used
            points.append((at, balance))
    return BurnDown(at, tuple(points), lapsing)


def closing_balances(store: UsageStore, account_id: str, from_ms: int) -> dict[str, dict[int, int]]:
    """By credit type, the balance after the last output of each UTC day that has any, by the day's number since 1970.

    Outputs count to the day of their own time, so that a late event changes its day's. Raises TooMuch, Failed.
    """
    bound = Bound()
    where = f"account_id = {bound.bind(account_id, 'String')} AND day >= {day(bound, from_ms)}"
    tables = (("billed_rows", 0), ("grant_rows", 0), ("refund_rows", 1))  # of one message a refund comes last
    rows = " UNION ALL ".join(
        f"SELECT day, toString(assumeNotNull(credit_type)) AS type, assumeNotNull(balance_after) AS amount, "  # noqa: S608 -- bound
        f"source_offset AS at_offset, {step} AS step, toInt64(position) AS place FROM {table} "
        f"WHERE {where} AND isNotNull(credit_type) AND isNotNull(balance_after)"
        for table, step in tables
    )
    sql = (
        "SELECT type, toInt64(toInt32(day)) AS number, argMax(amount, (at_offset, step, place)) AS closing "  # noqa: S608 -- bound
        f"FROM ({rows}) GROUP BY type, number ORDER BY type, number"
    )
    answer = store.rows(sql, bound.parameters)
    balances: dict[str, dict[int, int]] = {}
    for row in answer:
        balances.setdefault(row["type"], {})[int(row["number"])] = int(row["closing"])
    return balances
