"""Compares a repeat with the event it repeats: shows a producer that it uses one id for several events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from application.commands.repeats import differing_fields, shortened


def repeat_sentence(where: str, repeat: Mapping[str, Any], accepted: Mapping[str, Any] | None) -> str:
    """What came again, and whether it was the same event. `accepted` None: the event that it repeats is not at hand."""
    differences = [] if accepted is None else differing_fields(repeat, accepted)
    if not differences:
        what = "The same event" if accepted is not None else "An event of this id"
        return f"{what} came again at {where}: a repeat costs nothing and changes nothing."
    return (
        f"Another event under the same id came at {where}, with {shortened(differences)}: an id counts "
        "once, so that it was taken for a repeat and not charged. Its producer must give each event an id of its own."
    )
