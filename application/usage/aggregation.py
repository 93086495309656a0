"""Usage added up: by time, and by any field or attribute. Gaps are filled with 0."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import pairwise

from application.usage.as_of import AsOf
from application.usage.buckets import Granularity, TooManyBuckets, UnknownZone, starts, zone_of
from application.usage.conditions import Bound, line_conditions, of_refunds, refund_source, refunds_alone
from application.usage.cursors import question_digest
from application.usage.fields import ATTRIBUTES, GROUPED, LINE_KEY, TIME
from application.usage.history import UsageReader
from application.usage.kept_sums import Counts, Group, KeptSum
from application.usage.measures import OF_REFUNDS, Measure, Value, line_columns, value_of
from application.usage.query import LONGEST, REFUNDED, BadQuery, Filters
from application.usage.scope import UsageScope
from application.usage.store import Row, UsageStore
from metering.windows import DAY_MS
from streams import clock

MOST_CELLS = 10_000
MOST_GROUPS = 8
"""Fields that can be grouped by at once."""


@dataclass(frozen=True, slots=True)
class AggregationQuery:
    """What is asked for. With a granularity, `filters` have both times."""

    scope: UsageScope
    filters: Filters = field(default_factory=Filters)
    granularity: Granularity = Granularity.NONE
    time_zone: str = "UTC"
    group_by: tuple[str, ...] = ()
    measures: tuple[Measure, ...] = (Measure.CREDITS,)

    @property
    def digest(self) -> bytes:
        """Stands for all that is asked for, but not for the instant of the answer."""
        return question_digest(
            self.scope, self.filters, granularity=self.granularity, time_zone=self.time_zone, group_by=self.group_by,
            measures=self.measures,
        )  # fmt: skip

    def bucket_starts(self) -> list[int]:
        """Checks everything; the first instant of each bucket. Raises BadQuery with all mistakes."""
        mistakes: list[tuple[str, str]] = []
        try:
            self.filters.check()
        except BadQuery as error:
            mistakes += error.mistakes
        filters = self.filters
        if self.granularity is not Granularity.NONE:
            times = (("from", filters.from_ms), ("to", filters.to_ms))
            mistakes += [(name, "needed with a granularity") for name, value in times if value is None]
        mistakes += _mistakes(self)
        if mistakes:
            raise BadQuery(mistakes)
        if filters.from_ms is None or filters.to_ms is None:
            return [filters.from_ms or 0]
        try:
            return starts(filters.from_ms, filters.to_ms, self.granularity, zone_of(self.time_zone), MOST_CELLS)
        except TooManyBuckets as error:
            reason = f"at most {MOST_CELLS:,} cells: ask for a shorter time, or for longer buckets"
            raise BadQuery([("granularity", reason)]) from error


@dataclass(frozen=True, slots=True)
class Cell:
    """One bucket (from `start` to before `end`, ms; None: without a bound) and group, with its measures."""

    start: int | None
    end: int | None
    group: dict[str, str | int | None]
    values: dict[Measure, Value]


@dataclass(frozen=True, slots=True)
class Aggregation:
    """The cells by bucket, then by group."""

    query: AggregationQuery
    as_of: AsOf
    cells: list[Cell]


def aggregate(reader: UsageReader, query: AggregationQuery) -> Aggregation:
    """Adds up, what was answered before only since then. Raises BadQuery, TooMuch, Failed."""
    bucket_starts = query.bucket_starts()
    begun, as_of = clock.monotonic(), reader.positions.now(query.scope)
    kept = reader.sums.before(query.digest, as_of)
    if kept is None or kept.as_of != as_of:
        since = None if kept is None else kept.as_of
        counts = _counted(reader.store, query, as_of, since, bucket_starts)
        if kept is None:
            kept = KeptSum(as_of, counts, begun)
        else:
            kept = replace(kept, as_of=as_of, counts=_together(kept.counts, counts))
        reader.sums.keep(query.digest, kept)
    return Aggregation(query, as_of, _cells(query, bucket_starts, kept.counts))


def _counted(
    store: UsageStore, query: AggregationQuery, as_of: AsOf, since: AsOf | None, bucket_starts: list[int]
) -> Counts:
    """What the measures are made of, up to the instant; of what came after `since` where it is given."""
    counts: dict[tuple[int, Group], dict[str, int]] = defaultdict(dict)
    columns = line_columns(query.measures, query.group_by, query.filters)
    if columns:
        _add(counts, query, _lines(store, query, as_of, since, bucket_starts, columns), columns)
    filters = of_refunds(query.filters)
    if filters is not None and OF_REFUNDS & set(query.measures):
        _add(counts, query, _refunds(store, query, filters, as_of, since, bucket_starts), ("refunded",))
    return dict(counts)


def _together(first: Counts, second: Counts) -> Counts:
    """Both added up: they are of different messages, and so of different events."""
    counts = {key: dict(numbers) for key, numbers in first.items()}
    for key, numbers in second.items():
        own = counts.setdefault(key, {})
        for name, number in numbers.items():
            own[name] = own.get(name, 0) + number
    return counts


def _lines(
    store: UsageStore, query: AggregationQuery, as_of: AsOf, since: AsOf | None, bucket_starts: list[int],
    columns: dict[str, str],
) -> list[Row]:  # fmt: skip
    bound = Bound()
    source = "billed_rows FINAL"
    where = line_conditions(bound, query.scope, query.filters, as_of, since)
    if since is not None:
        # FINAL would read the rows around the new ones to look for doubles, which are all among the new ones.
        source, where = f"(SELECT * FROM billed_rows WHERE {where} LIMIT 1 BY {LINE_KEY})", "1"
    measures = [f"{expression} AS {name}" for name, expression in columns.items()]
    on_days = all(at % DAY_MS == 0 for at in bucket_starts[1:])
    time = f"toInt64(toInt32(day)) * {DAY_MS}" if on_days else TIME
    selected = [_bucket(bound, time, bucket_starts), *_groups(bound, query.group_by, _hidden(query)), *measures]
    return store.rows(f"SELECT {', '.join(selected)} FROM {source} WHERE {where} {_grouped(query)}", bound.parameters)


def _refunds(
    store: UsageStore, query: AggregationQuery, filters: Filters, as_of: AsOf, since: AsOf | None,
    bucket_starts: list[int],
) -> list[Row]:  # fmt: skip
    """By the refund's own time, and the fields of its line; its decision is `refunded`, as in the history."""
    bound = Bound()
    source = refunds_alone(bound, query.scope, filters, as_of, since, query.group_by)
    if source is None:
        source = refund_source(bound, query.scope, filters, as_of, since)
    groups = _groups(bound, query.group_by, _hidden(query) | {"decision": f"'{REFUNDED}'"})
    selected = [_bucket(bound, "requested_ms", bucket_starts), *groups, "sum(refunded) AS refunded_sum"]
    rows = store.rows(f"SELECT {', '.join(selected)} FROM {source} {_grouped(query)}", bound.parameters)
    return [row | {"refunded": row["refunded_sum"]} for row in rows]


def _hidden(query: AggregationQuery) -> dict[str, str]:
    """Which event has paid before may be another actor's: see `rows.without_others`."""
    if query.scope.actor is None:
        return {}
    return {"owner_event_id": "if(owner_event_id = event_id, owner_event_id, NULL)"}


def _bucket(bound: Bound, time: str, bucket_starts: list[int]) -> str:
    if len(bucket_starts) == 1:
        return f"toInt64({bound.bind(bucket_starts[0], 'Int64')}) AS bucket"
    return f"roundDown({time}, {bound.bind(bucket_starts, 'Array(Int64)')}) AS bucket"


def _groups(bound: Bound, group_by: tuple[str, ...], instead: dict[str, str] | None = None) -> list[str]:
    return [f"{_expression(bound, name, instead or {})} AS group_{at}" for at, name in enumerate(group_by)]


def _expression(bound: Bound, name: str, instead: dict[str, str]) -> str:
    if name.startswith(ATTRIBUTES):
        attribute = bound.bind(name.removeprefix(ATTRIBUTES), "String")
        value = f"attribute_values[indexOf(attribute_names, {attribute})]"
        return f"if(has(attribute_names, {attribute}), toNullable({value}), NULL)"
    return instead.get(name, name)


def _grouped(query: AggregationQuery) -> str:
    names = ["bucket", *(f"group_{at}" for at in range(len(query.group_by)))]
    return f"GROUP BY {', '.join(names)} LIMIT {MOST_CELLS + 1}"


def _add(
    counts: dict[tuple[int, Group], dict[str, int]], query: AggregationQuery, rows: list[Row], columns: Iterable[str]
) -> None:
    if len(rows) > MOST_CELLS:
        raise _too_many_cells()
    for row in rows:
        group = tuple(row[f"group_{at}"] for at in range(len(query.group_by)))
        counts[int(row["bucket"]), group] |= {name: int(row[name]) for name in columns}


def _cells(query: AggregationQuery, bucket_starts: list[int], counts: Counts) -> list[Cell]:
    groups = sorted({group for _, group in counts}, key=_order) if query.group_by else [()]
    if len(groups) * len(bucket_starts) > MOST_CELLS:
        raise _too_many_cells()
    filters = query.filters
    spans = list(pairwise([*bucket_starts, filters.to_ms]))
    return [
        Cell(
            filters.from_ms if at == 0 else start,
            end,
            dict(zip(query.group_by, group, strict=True)),
            {measure: value_of(measure, counts.get((start or 0, group), {})) for measure in query.measures},
        )
        for at, (start, end) in enumerate(spans)
        for group in groups
    ]


def _order(group: Group) -> tuple[tuple[bool, int, str], ...]:
    """Nothing first, then numbers, then texts."""
    return tuple(
        (value is not None, value if isinstance(value, int) else 0, value if isinstance(value, str) else "")
        for value in group
    )


def _too_many_cells() -> BadQuery:
    reason = f"at most {MOST_CELLS:,} cells (buckets times groups): ask for fewer fields, or for a shorter time"
    return BadQuery([("group_by", reason)])


def _mistakes(query: AggregationQuery) -> list[tuple[str, str]]:
    mistakes = []
    try:
        zone_of(query.time_zone)
    except UnknownZone:
        mistakes.append(("time_zone", "a name of the IANA time zone database, such as Europe/Berlin"))
    if len(query.group_by) > MOST_GROUPS or len(set(query.group_by)) < len(query.group_by):
        mistakes.append(("group_by", f"at most {MOST_GROUPS} fields, each once"))
    for name in query.group_by:
        attribute = name.removeprefix(ATTRIBUTES) if name.startswith(ATTRIBUTES) else None
        is_attribute = (
            attribute and len(attribute) <= LONGEST and attribute.encode("utf-8", "replace").decode() == attribute
        )
        if name not in GROUPED and not is_attribute:
            mistakes.append(("group_by", f"{name[:80]!r} is none of {', '.join(sorted(GROUPED))}, or {ATTRIBUTES}NAME"))
    if not query.measures or len(set(query.measures)) < len(query.measures):
        mistakes.append(("measures", "at least one, each once"))
    return mistakes
