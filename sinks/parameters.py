"""Values bound to a statement's placeholders, ``{name:Type}``: they never become part of its text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

Parameter = str | int | Sequence[str] | Sequence[int]
"""A text, a whole number, or a list of either."""
Parameters = Mapping[str, Parameter]
"""By the placeholder's name."""

_ESCAPES = str.maketrans(
    {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\0": "\\0", "\b": "\\b", "\f": "\\f", "'": "\\'"}
)


def engine_texts(parameters: Parameters) -> dict[str, str]:
    """The parameters as the engine reads them: escaped text, lists in brackets with quoted items."""
    return {name: _engine_text(value) for name, value in parameters.items()}


def _engine_text(value: Parameter) -> str:
    if isinstance(value, str):
        return value.translate(_ESCAPES)
    if isinstance(value, int):
        return str(int(value))
    items = (f"'{item.translate(_ESCAPES)}'" if isinstance(item, str) else str(int(item)) for item in value)
    return f"[{','.join(items)}]"


def driver_values(parameters: Parameters) -> dict[str, str | int | list[str] | list[int]]:
    """The parameters as clickhouse-driver takes them, which escapes them itself: its lists are lists."""
    return {
        name: value if isinstance(value, (str, int)) else list(value)  # type: ignore[misc]
        for name, value in parameters.items()
    }
