"""A whole re-rating: every partition in turn in a scratch folder, then the outcome of each of its accounts."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from replay.account import ReplaySource
from replay.rerating.corrections import AccountCorrections, Correction, Netting, Overlap, Row
from replay.rerating.partition import PartitionRerating, ProgressCallback, Rerate, Stores
from replay.rerating.tallies import Tallies
from streams.log.partitioner import partition_of
from streams.state.rocks import RocksState
from streams.state.rocks_folder import RocksFolder, RocksLimits
from streams.state.store import Identity

_MIB = 1 << 20
_LIMITS = RocksLimits(cache_bytes=96 * _MIB, buffer_bytes=64 * _MIB)


@dataclass(slots=True)
class Money:
    """One credit type, in credits. `was` is net of refunds and adjustment grants."""

    was: int = 0
    would_be: int = 0
    refunds: int = 0
    grants: int = 0
    not_collected: int = 0

    @property
    def difference(self) -> int:
        return self.would_be - self.was


@dataclass(slots=True)
class RerateResult:
    """The result of a re-rating. `ends` are the offsets before which each partition was read."""

    ends: dict[int, int]
    tallies: Tallies = field(default_factory=Tallies)
    money: dict[str, Money] = field(default_factory=dict)
    refunds: int = 0
    grants: int = 0
    overlaps: set[Overlap] = field(default_factory=set)

    def of(self, credit_type: str) -> Money:
        """The totals of a credit type."""
        return self.money.setdefault(credit_type, Money())


@dataclass(frozen=True, slots=True)
class Listener:
    """Callbacks: for each row and each correction, and for the progress of the replay."""

    row: Callable[[Row], None]
    correction: Callable[[Correction], None]
    progress: ProgressCallback = lambda _partition, _offset: None


def partitions_of(asked: Rerate, partitions: int) -> list[int]:
    """The partitions that hold anything of what is asked."""
    if asked.accounts is None:
        return list(range(partitions))
    return sorted({partition_of(account_id, partitions) for account_id in asked.accounts})


def run_rerating(
    source: ReplaySource, asked: Rerate, ends: dict[int, int], scratch: Path, netting: Netting, at: int,
    listener: Listener,
) -> RerateResult:  # fmt: skip
    """Re-rates the partitions in `ends`, each up to its offset. `at` (ms) is when corrections are asked for.

    Raises LogError, StateError. Nothing is sent.
    """
    outcome = RerateResult(dict(ends))
    for partition, stop in ends.items():
        place = scratch / str(partition)
        folder = RocksFolder(place, _LIMITS)
        states: list[RocksState] = []
        try:
            for name in ("actual", "shadow", "ledger"):
                states.append(folder.open(Identity(name, partition)))  # noqa: PERF401 -- those opened must be closed
            rerating = PartitionRerating(source, asked, partition, Stores(*states), listener.progress)
            rerating.run(stop)
            outcome.tallies.add(rerating.tallies)
            settle(asked, rerating, netting, at, outcome, listener)
        finally:
            for state in states:
                state.close()
            shutil.rmtree(place, ignore_errors=True)
    return outcome


def settle(
    asked: Rerate, rerating: PartitionRerating, netting: Netting, at: int, outcome: RerateResult, listener: Listener
) -> None:
    """Adds the result of a partition, account by account."""
    for account_id in rerating.ledger.accounts():
        account = AccountCorrections(asked, rerating.ledger, rerating.actual, account_id, netting, at)
        outcome.overlaps |= account.overlaps
        _note_rows(outcome, account.rows, listener)
        for credit_type, credits_ in account.not_collected.items():
            outcome.of(credit_type).not_collected += credits_
        for correction in account.corrections():
            money = outcome.of(correction.credit_type)
            if correction.command == "refund":
                outcome.refunds += 1
                money.refunds += correction.record["credits"]
            else:
                outcome.grants += 1
                money.grants += correction.record["credits"]
            listener.correction(correction)


def _note_rows(outcome: RerateResult, rows: Iterable[Row], listener: Listener) -> None:
    for row in rows:
        money = outcome.of(row.credit_type)
        money.was += row.was
        money.would_be += row.would_be
        if row.difference:
            listener.row(row)
