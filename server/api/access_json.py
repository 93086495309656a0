"""Records of access as answers: times as RFC 3339, and never a digest or revision."""

from __future__ import annotations

from typing import Any

from metering.windows import format_instant
from server.messages.access import INNER, is_time
from streams.access.records import ChangeRecord, Thing


def shown(record: Thing | ChangeRecord, **further: int | None) -> dict[str, Any]:
    """The record's fields; `further` are times (ms) beside them."""
    fields = record.fields() | further
    return {
        name: format_instant(value) if is_time(name) and value is not None else value
        for name, value in fields.items()
        if name not in INNER
    }
