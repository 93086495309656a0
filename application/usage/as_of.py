"""The instant that an answer is of: how far the store had loaded the log, wholly, when a walk began.

Rows are stored before the position that says they are complete, and a row of a line or refund never changes. So all
rows up to such a position stay the same for ever, and every page of a walk that keeps to it is of one instant, however
much is loaded meanwhile, late requests included: a late line has an old time and a new position. What came after it is
what lies between two of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from application.errors import ErrorCode, UseCaseError
from application.usage.scope import UsageScope
from application.usage.store import UsageStore
from streams.loading.positions import NOT_KNOWN, TABLE
from streams.log.partitioner import partition_of
from streams.log.topics import TopicNames


class BadAsOf(UseCaseError):
    """What is given as an instant is none."""

    code = ErrorCode.INVALID

    def __init__(self) -> None:
        super().__init__("this is no as_of of an answer")


class Reached(NamedTuple):
    """The last input offset whose lines are loaded, and whose refunds are. A refund's line is always among them."""

    lines: int
    refunds: int


NOTHING = Reached(-1, -1)
_PARTITIONS = 10_000
"""More than a topic has."""


@dataclass(frozen=True, slots=True)
class AsOf:
    """By source partition, how far both are; a partition that is absent has nothing.

    `is_whole`: whether all rows up to there are in the store. Where no position tells, the newest row counts, and rows
    beside it may still come.
    """

    reached: Mapping[int, Reached]
    is_whole: bool = field(default=True, compare=False)

    def __str__(self) -> str:
        """`<partition>.<lines>.<refunds>`, joined with `_`."""
        return "_".join(f"{partition}.{at.lines}.{at.refunds}" for partition, at in sorted(self.reached.items()))

    @classmethod
    def parsed(cls, text: str) -> AsOf:
        """Raises BadAsOf."""
        reached: dict[int, Reached] = {}
        try:
            for part in text.split("_") if text else ():
                partition, lines, refunds = map(_whole, part.split("."))
                if not 0 <= partition < _PARTITIONS:
                    raise BadAsOf
                reached[partition] = Reached(lines, refunds)
        except ValueError as error:
            raise BadAsOf from error
        if str(cls(reached)) != text:
            raise BadAsOf
        return cls(reached)

    def is_after(self, other: AsOf) -> bool:
        """Whether nothing of the other instant is missing in this one, which is of the same partitions."""
        return self.reached.keys() == other.reached.keys() and all(
            at.lines >= other.reached[partition].lines and at.refunds >= other.reached[partition].refunds
            for partition, at in self.reached.items()
        )

    def lines(self) -> list[int]:
        """How far lines are, by partition from 0 on."""
        return [at.lines for at in self._dense()]

    def refunds(self) -> list[int]:
        """How far refunds are, by partition from 0 on."""
        return [at.refunds for at in self._dense()]

    def _dense(self) -> list[Reached]:
        return [self.reached.get(partition, NOTHING) for partition in range(max(self.reached, default=0) + 1)]


def _whole(text: str) -> int:
    """An offset: -1 or more, within a long."""
    number = int(text) if text.isascii() and len(text) < 20 else -2
    if not -1 <= number < 2**63:
        raise ValueError(text)
    return number


_POSITIONS = f"SELECT topic, log_partition, source_offset FROM {TABLE} FINAL WHERE topic IN {{topics:Array(String)}}"
_GREATEST = "SELECT source_partition, max(source_offset) AS reached FROM {table} {whose}GROUP BY source_partition"


@dataclass(frozen=True, slots=True)
class Positions:
    """Reads how far the store is. `partitions`: how many the input topic has."""

    store: UsageStore
    names: TopicNames
    partitions: int

    def now(self, scope: UsageScope) -> AsOf:
        """The present instant of what is in scope. Raises Failed.

        Where a loader of an earlier version wrote the positions last, or rows came without one, the newest row counts
        until the next is loaded.
        """
        topics = {self.names.billed: "billed_rows", self.names.refunds: "refund_rows"}
        reached: dict[str, dict[int, int]] = {table: {} for table in topics.values()}
        for row in self.store.rows(_POSITIONS, {"topics": list(topics)}):
            if int(row["source_offset"]) != NOT_KNOWN:
                reached[topics[row["topic"]]][int(row["log_partition"])] = int(row["source_offset"])
        account = scope.account_id
        wanted = range(self.partitions) if account is None else (partition_of(account, self.partitions),)
        lines, refunds = reached["billed_rows"], reached["refund_rows"]
        is_whole = True
        if any(partition not in lines or partition not in refunds for partition in wanted):
            # A partition without a refund has no position of refunds: its lines need not be looked through for that.
            seen = {} if lines.keys() >= set(wanted) else self._greatest("billed_rows", scope)
            refunded = self._greatest("refund_rows", scope)
            unknown = {*(seen.keys() | refunded) - lines.keys(), *refunded.keys() - refunds.keys()}
            is_whole = unknown.isdisjoint(wanted)
            # A refund is answered among the billed lines, too, without a line of its own.
            lines = seen | {place: max(seen.get(place, -1), offset) for place, offset in refunded.items()} | lines
            refunds = refunded | refunds
        at = {
            partition: Reached(lines.get(partition, -1), min(refunds.get(partition, -1), lines.get(partition, -1)))
            for partition in wanted
        }
        return AsOf(at, is_whole)

    def _greatest(self, table: str, scope: UsageScope) -> dict[int, int]:
        if scope.account_id is None:
            rows = self.store.rows(_GREATEST.format(table=table, whose=""), {})
        else:
            whose = "WHERE account_id = {account:String} "
            rows = self.store.rows(_GREATEST.format(table=table, whose=whose), {"account": scope.account_id})
        return {int(row["source_partition"]): int(row["reached"]) for row in rows}


@dataclass(frozen=True, slots=True)
class _Pinned(Positions):
    """Gives one instant, whatever is loaded meanwhile."""

    as_of: AsOf
    scope: UsageScope

    def now(self, scope: UsageScope) -> AsOf:
        if scope.account_id != self.scope.account_id:
            raise ValueError("the instant was asked for of another account")
        return self.as_of


def pinned(positions: Positions, scope: UsageScope) -> Positions:
    """The present instant of what is in scope, for all that is asked from now on. Raises Failed."""
    return _Pinned(positions.store, positions.names, positions.partitions, positions.now(scope), scope)
