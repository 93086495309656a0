"""The company's own entries of a row's menu: links into its own application."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from application.configuration.page_actions import ATTRIBUTE, RowAction


def action_links(actions: Sequence[RowAction], fields: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Label and URL of each action whose placeholders all have a value in the row. Values are percent-encoded."""
    for action in actions:
        values = {name: _value(fields, name) for name in action.names}
        if all(values.values()):
            url = action.template
            for name, value in values.items():
                url = url.replace(f"{{{name}}}", quote(value, safe=""))
            yield action.label, url


def _value(fields: Mapping[str, Any], name: str) -> str:
    value = fields["attributes"].get(name.removeprefix(ATTRIBUTE)) if name.startswith(ATTRIBUTE) else fields.get(name)
    return "" if value is None else str(value)
