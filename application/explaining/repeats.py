"""How a repeat differs from the event it repeats: shows a producer that it uses one id for several events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_SHOWN = 4
_LONGEST_VALUE = 60


def differing_fields(repeat: Mapping[str, Any], accepted: Mapping[str, Any]) -> list[str]:
    """`quantities.results 1000 instead of 1`, for each field in which a repeat differs from the accepted event.

    Both in plain form; maps entry by entry. Empty where they say the same.
    """
    new, old = dict(_entries(repeat)), dict(_entries(accepted))
    names = [name for name in dict.fromkeys([*old, *new]) if old.get(name) != new.get(name)]
    return [f"{name} {_shown(new.get(name))} instead of {_shown(old.get(name))}" for name in names]


def repeat_sentence(where: str, repeat: Mapping[str, Any], accepted: Mapping[str, Any] | None) -> str:
    """What came again, and whether it was the same event. `accepted` None: the event that it repeats is not at hand."""
    differences = [] if accepted is None else differing_fields(repeat, accepted)
    if not differences:
        what = "The same event" if accepted is not None else "An event of this id"
        return f"{what} came again at {where}: a repeat costs nothing and changes nothing."
    more = f", and {len(differences) - _SHOWN} more fields" if len(differences) > _SHOWN else ""
    return (
        f"Another event under the same id came at {where}, with {', '.join(differences[:_SHOWN])}{more}: an id counts "
        "once, so that it was taken for a repeat and not charged. Its producer must give each event an id of its own."
    )


def _entries(event: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in event.items():
        if isinstance(value, Mapping):
            yield from ((f"{name}.{key}", inner) for key, inner in value.items())
        else:
            yield name, value


def _shown(value: Any) -> str:
    if value is None:
        return "nothing"
    text = str(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"
