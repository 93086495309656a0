"""The file that keeps the outcome of a re-rating: its scope, its totals, and each correction.

One JSON object a line: the plan first, then every correction with its events. `prices publish --rerated` reads the
first line: a book that changes the past may be published where its whole effect on the past has been looked at.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from application.errors import Misconfigured
from application.wording import shown_time
from metering.windows import parse_any_instant
from replay.rerating.partition import Rerate
from replay.rerating.run import Money, RerateResult
from replay.rerating.tallies import Changes


@dataclass(frozen=True, slots=True)
class RerateScope:
    """What a re-rating was about: the book, the log, the range (ms), and the accounts (None: all).

    `log_ends` are the offsets before which each partition was read.
    """

    book_id: str
    log_id: str
    start: int
    end: int
    accounts: tuple[str, ...] | None
    log_ends: Mapping[int, int]

    def covers(self, spans: Sequence[tuple[int, int]]) -> bool:
        """Whether the range holds every one of these stretches of time, start to before end (ms)."""
        return all(self.start <= start and end <= self.end for start, end in spans)

    def has_read(self, partition: int, offset: int) -> bool:
        """Whether this command of the log was there already."""
        return offset < self.log_ends.get(partition, 0)


def plan_json(asked: Rerate, outcome: RerateResult, log_id: str, net: str) -> dict[str, Any]:
    """The outcome as plain data."""
    return {
        "plan_id": asked.plan_id,
        "book_id": asked.book_id,
        "log_id": log_id,
        "from": shown_time(asked.start),
        "to": shown_time(asked.end),
        "accounts": None if asked.accounts is None else sorted(asked.accounts),
        "net": net,
        "log_ends": {str(partition): end for partition, end in outcome.ends.items()},
        "events": outcome.tallies.events,
        "kept_refusals": outcome.tallies.kept_refusals,
        "totals": {name: _money(outcome.money[name]) for name in sorted(outcome.money)},
        "refunds": outcome.refunds,
        "grants": outcome.grants,
        "decisions": _changes(outcome.tallies.decisions),
        "after_effects": _changes(outcome.tallies.after),
        "overlaps": [
            {"from": shown_time(overlap.start), "to": shown_time(overlap.end)} for overlap in sorted(outcome.overlaps)
        ],
    }


def write_plan(path: Path, plan: dict[str, Any], corrections: Path) -> None:
    """Writes the file, whole or not at all; `corrections` holds one a line. Raises OSError."""
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        with unfinished.open("wb") as out, corrections.open("rb") as lines:
            out.write(json.dumps({"type": "plan", **plan}, ensure_ascii=False).encode() + b"\n")
            shutil.copyfileobj(lines, out)
            out.flush()
            os.fsync(out.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def read_plan(path: Path) -> RerateScope:
    """What a plan file says it is about. Raises Misconfigured."""
    try:
        with path.open(encoding="utf-8") as lines:
            data = json.loads(lines.readline())
        accounts = {"plan": data["accounts"]}[data["type"]]
        start, end = (parse_any_instant(data[name]) for name in ("from", "to"))
        ends = {int(partition): int(offset) for partition, offset in data["log_ends"].items()}
        return RerateScope(
            data["book_id"], data["log_id"], start, end, None if accounts is None else tuple(accounts), ends
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Misconfigured(f"{path}: not the plan of a re-rating (`creditmeter rerate --plan`): {error}") from error


def _money(money: Money) -> dict[str, int]:
    return {
        "was": money.was, "would_be": money.would_be, "difference": money.difference, "refunds": money.refunds,
        "grants": money.grants, "not_collected": money.not_collected,
    }  # fmt: skip


def _changes(changes: Changes) -> list[dict[str, Any]]:
    return [
        {"charge": charge, "was": was, "would_be": would, "lines": change.lines,
         "credits_was": change.was, "credits_would_be": change.would}
        for (charge, was, would), change in sorted(changes.items())
    ]  # fmt: skip
