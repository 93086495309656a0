"""Dead letters as ClickHouse has them, newest first, without reading the log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from application.errors import ErrorCode, UseCaseError
from application.usage.conditions import Bound
from application.usage.store import UsageStore
from application.wording import shown_time
from streams.log.place import Place


class BadPlace(UseCaseError):
    """What is given as the place of a listed dead letter is none."""

    code = ErrorCode.INVALID


@dataclass(frozen=True, slots=True)
class LetterFilters:
    """Which are listed; None: any. `before`: the `next` of an earlier list."""

    account_id: str | None = None
    reason: str | None = None
    command: str | None = None
    own_id: str | None = None
    before: str | None = None


@dataclass(frozen=True, slots=True)
class LetterList:
    """The letters, newest first; `next` goes into `LetterFilters.before` for those behind, None at the end."""

    letters: list[dict[str, Any]]
    next: str | None


def listed_letters(store: UsageStore, filters: LetterFilters, limit: int) -> LetterList:
    """Up to `limit` of them. Raises BadPlace, Failed."""
    bound = Bound()
    wanted = {
        "account_id": filters.account_id, "reason": filters.reason, "command": filters.command, "id": filters.own_id,
    }  # fmt: skip
    conditions = [f"{name} = {bound.bind(value, 'String')}" for name, value in wanted.items() if value is not None]
    if filters.before is not None:
        at, partition, offset, position = _place(filters.before)
        conditions.append(
            "(toUnixTimestamp64Milli(recorded_at), source_partition, source_offset, toInt64(position)) < "
            f"({bound.bind(at, 'Int64')}, {bound.bind(partition, 'Int64')}, {bound.bind(offset, 'Int64')}, "
            f"{bound.bind(position, 'Int64')})"
        )
    rows = store.rows(
        f"""SELECT reason, field, detail, command, account_id, id, index, producer, size,
            toUnixTimestamp64Milli(recorded_at) AS recorded_ms, source_partition, source_offset, position
        FROM dead_letter_rows FINAL WHERE {" AND ".join(conditions) or "1"}
        ORDER BY recorded_at DESC, source_partition DESC, source_offset DESC, position DESC
        LIMIT {bound.bind(limit, "Int64")}""",  # noqa: S608 -- names of our own; values are bound
        bound.parameters,
    )
    following = None
    if len(rows) == limit:
        last = rows[-1]
        following = ".".join(
            str(last[name]) for name in ("recorded_ms", "source_partition", "source_offset", "position")
        )
    return LetterList([_shown(row) for row in rows], following)


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    at = int(row["recorded_ms"])
    names = ("reason", "field", "detail", "command", "account_id", "id", "index", "producer", "size")
    return {
        "place": str(Place(int(row["source_partition"]), int(row["source_offset"]), row["index"])),
        "recorded_at": shown_time(at),
        **{name: row[name] for name in names},
    }


def _place(text: str) -> tuple[int, int, int, int]:
    try:
        at, partition, offset, position = (int(part) for part in text.split(".") if len(part) < 20)
    except ValueError as error:
        raise BadPlace("before should be the `next` of an earlier list") from error
    return at, partition, offset, position
