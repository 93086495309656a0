"""The newest rows of an account, each as one text: `packed`, a column of `current_rows`.

What a statement over a few rows costs is the number of its columns: one text takes two thirds of the time of seventeen.
The engine makes it of the row's other columns when the row is stored (migration 0014); the audit compares both.
"""

from __future__ import annotations

import json
from typing import Any

_COLUMNS = (
    "kind", "id", "ends", "status", "credit_types", "amounts", "charged_types", "charged_amounts", "balance_after",
    "plan", "plan_started_at", "plan_ends_at", "reason", "at", "source_partition", "source_offset", "version",
)  # fmt: skip


def unpacked(text: str) -> dict[str, Any]:
    """The row's columns by name, numbers as int, times in ms."""
    return dict(zip(_COLUMNS, json.loads(text), strict=True))


_TIMES = frozenset({"ends", "at", "plan_started_at", "plan_ends_at"})
_TEXTS = frozenset({"kind", "id", "status", "credit_types", "charged_types", "plan", "reason"})
_NULLABLE = frozenset({"plan", "plan_started_at", "plan_ends_at"})


def _json_of(name: str) -> str:
    """SQL of a column's JSON. Numbers go by toString: a setting says whether toJSONString puts them in quotes."""
    if name in _TEXTS:
        json_of = f"toJSONString({name})"
    else:
        json_of = f"toString({f'toUnixTimestamp64Milli({name})' if name in _TIMES else name})"
    return f"ifNull({json_of}, 'null')" if name in _NULLABLE else json_of


PACKING = "concat('[', " + ", ',', ".join(map(_json_of, _COLUMNS)) + ", ']')"
"""The SQL of `packed`, as migration 0014 has it."""
