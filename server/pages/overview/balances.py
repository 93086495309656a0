"""Each credit type's card, and the line of its balance with the day on which it runs out at the present rate."""

from __future__ import annotations

from dataclasses import dataclass, replace
from zoneinfo import ZoneInfo

from application.accounts.burn_down import BurnDown, Rate, burn_down, closing_balances, left_in_grants
from application.accounts.standing import AccountStanding, CreditsOfType
from application.usage.aggregation import AggregationQuery, aggregate
from application.usage.history import UsageReader
from application.usage.measures import Measure
from application.usage.query import Filters
from application.usage.scope import UsageScope
from metering.windows import DAY_MS
from server.pages import times
from server.pages.lines import Line, LineChart
from sinks.current import CurrentGrant

RATE_DAYS = 7
"""The present rate is that of so many days before now."""
_PAST_DAYS, _MOST_AHEAD = 30, 60


@dataclass(frozen=True, slots=True)
class OpenGrantRow:
    """A grant that can be drawn from; `left` as far as balances tell."""

    grant: CurrentGrant
    left: int


@dataclass(frozen=True, slots=True)
class CreditCard:
    """One credit type. `ahead` and `line` are None where they would show more than may be seen."""

    name: str
    credits: CreditsOfType
    grants: list[OpenGrantRow]
    rate: Rate | None
    ahead: BurnDown | None
    line: LineChart | None

    @property
    def title(self) -> str:
        """`Credits`, `Phone credits`."""
        return "Credits" if self.name in {"credit", "credits"} else f"{self.name.capitalize()} credits"

    @property
    def next_end(self) -> OpenGrantRow | None:
        """The grant that ends next with something left."""
        return next((row for row in self.grants if row.grant.expires_at is not None and row.left), None)

    @property
    def used_share(self) -> int:
        """Of what was granted this period, how much was used, in percent; 0 where nothing was granted."""
        return min(100, self.credits.used * 100 // self.credits.granted) if self.credits.granted else 0


def credit_cards(
    reader: UsageReader, scope: UsageScope, standing: AccountStanding, now: int, zone: ZoneInfo
) -> list[CreditCard]:  # fmt: skip
    """A card for each credit type. What the account spends is left out for a member who sees one actor alone."""
    is_whole = scope.actor is None
    rates = _rates(reader, scope, now) if is_whole else {}
    balances = closing_balances(reader.store, standing.account_id, now - _PAST_DAYS * DAY_MS) if is_whole else {}
    cards = []
    for name, credits_ in standing.credits.items():
        grants = [grant for grant in standing.grants if grant.credit_type == name]
        left = left_in_grants(credits_.balance, [(grant.credits, grant.expires_at) for grant in grants])
        rows = [OpenGrantRow(grant, open_.left) for grant, open_ in zip(_by_end(grants), left, strict=False)]
        card = CreditCard(name, credits_, rows, None, None, None)
        if is_whole:
            rate = rates.get(name, Rate(0, RATE_DAYS * DAY_MS))
            ahead = burn_down(now, left, rate)
            line = _line(balances.get(name, {}), credits_.balance, ahead, now, zone)
            card = replace(card, rate=rate, ahead=ahead, line=line)
        cards.append(card)
    return cards


def _by_end(grants: list[CurrentGrant]) -> list[CurrentGrant]:
    """In the order of `left_in_grants`."""
    ends = [(grant.expires_at is not None, -(grant.expires_at or 0)) for grant in grants]
    order = sorted(range(len(grants)), key=ends.__getitem__)
    return [grants[at] for at in reversed(order)]


def _rates(reader: UsageReader, scope: UsageScope, now: int) -> dict[str, Rate]:
    """Credits used less those given back, of the days before now."""
    filters = Filters(now - RATE_DAYS * DAY_MS, now)
    query = AggregationQuery(scope, filters, group_by=("credit_type",), measures=(Measure.NET,))
    return {
        str(cell.group["credit_type"]): Rate(max(0, value), RATE_DAYS * DAY_MS)
        for cell in aggregate(reader, query).cells
        if isinstance(value := cell.values[Measure.NET], int)
    }


def _line(closing: dict[int, int], balance: int, ahead: BurnDown, now: int, zone: ZoneInfo) -> LineChart | None:
    """The balance at the end of each UTC day, then as it will be at the present rate."""
    if not closing:
        return None
    today = now // DAY_MS
    first = min(closing)
    past: list[int | None] = []
    last = closing[first]
    for number in range(first, today):
        last = closing.get(number, last)
        past.append(last)
    days_ahead = _MOST_AHEAD if ahead.runs_out_at is None else min(_MOST_AHEAD, ahead.runs_out_at // DAY_MS - today + 1)
    expected: list[int | None] = [_at(ahead, (today + day) * DAY_MS) for day in range(1, days_ahead + 1)]
    labels = [times.date((first + at) * DAY_MS, zone) for at in range(len(past) + 1 + len(expected))]
    blank: list[int | None] = [None]
    lines = [Line("Balance", 0, [*past, balance, *blank * len(expected)])]
    if ahead.runs_out_at is not None or expected:
        lines.append(Line("At the present rate", 6, [*blank * len(past), balance, *expected], is_expected=True))
    return LineChart(labels, lines)


def _at(ahead: BurnDown, ms: int) -> int:
    """The expected balance at an instant: between two points in proportion to time."""
    before = ahead.points[0]
    for point in ahead.points[1:]:
        if point[0] >= ms:
            span = point[0] - before[0]
            return point[1] if not span else before[1] + (point[1] - before[1]) * (ms - before[0]) // span
        before = point
    return before[1]
