"""The fields of a billed line that can be asked for, grouped by and filtered by; and the columns they are read from."""

from __future__ import annotations

from collections.abc import Mapping

TIME = "toUnixTimestamp64Milli(occurred_at)"
"""When a line's request happened, in ms."""
LINE_KEY = "account_id, day, event_id, line, occurred_at"
"""What tells lines apart, as the table's order does: rows that are equal in it are one row that was loaded again."""
ATTRIBUTES = "attributes."
"""What an attribute's name begins with where a field is named: `attributes.team`."""

EVENT_FIELDS = (
    "account_id", "event_id", "endpoint", "channel", "outcome", "request_id", "actor", "user_id", "ip", "domain",
    "plan",
)  # fmt: skip
"""Fields of the event: the same in all lines of one."""
LINE_FIELDS = (
    "line", "decision", "charge", "feature", "action", "credit_type", "price_version", "unit_credits",
    "owner_event_id", "hold_id",
)  # fmt: skip
"""Fields that may differ between the lines of one event."""
GROUPED = frozenset((*EVENT_FIELDS, *LINE_FIELDS))
"""What usage can be grouped by, beside `attributes.NAME`."""

COLUMNS: Mapping[str, str] = {
    "occurred_ms": TIME,
    "window_ends_ms": "toUnixTimestamp64Milli(window_ends_at)",
    **dict.fromkeys((*EVENT_FIELDS, *LINE_FIELDS, "units", "credits", "balance_after"), ""),
    "quantities": "mapFromArrays(quantity_names, quantity_values)",
    "attributes": "mapFromArrays(attribute_names, attribute_values)",
    "grant_ids": "",
    "grant_credits": "",
    "source_partition": "",
    "source_offset": "",
}
"""Every column of a line that is read, with its expression where it is none of the table's own. Times in ms."""


SELECTED = ", ".join(f"{expression} AS {name}" if expression else name for name, expression in COLUMNS.items())
"""The columns as a SELECT names them. No name is one of the table's for something else: WHERE would mean the other."""
