"""The setting `page_actions`: entries that a company adds to the menu of a row in History, as links of its own."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

ATTRIBUTE = "attributes."
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_FIELDS = frozenset(
    {
        "account_id", "event_id", "request_id", "actor", "user_id", "ip", "domain", "feature", "action", "charge",
        "endpoint", "credit_type", "refund_id", "hold_id",
    }
)  # fmt: skip
_LONGEST_LABEL = 60


@dataclass(frozen=True, slots=True)
class RowAction:
    """`template`: a URL with fields of the row in braces; `names`: those fields."""

    label: str
    template: str

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(_PLACEHOLDER.findall(self.template)))


def row_actions(text: str) -> tuple[RowAction, ...]:
    """Reads `Open in CRM = https://crm.example.com/?q={domain}; …`. Raises ValueError with what is allowed."""
    actions = []
    for part in filter(None, (part.strip() for part in text.split(";"))):
        label, equals, template = (piece.strip() for piece in part.partition("="))
        if not equals or not 1 <= len(label) <= _LONGEST_LABEL:
            raise ValueError(
                f"should be LABEL = URL, separated by semicolons; a label has 1 to {_LONGEST_LABEL} characters"
            )
        action = RowAction(label, template)
        _check(action)
        actions.append(action)
    return tuple(actions)


def _check(action: RowAction) -> None:
    plain = _PLACEHOLDER.sub("x", action.template)
    parts = urlsplit(plain)
    if parts.scheme not in {"http", "https"} or not parts.netloc or not plain.isascii() or " " in plain:
        raise ValueError(f"{action.label}: the URL should begin with https:// or http://, without spaces")
    if "{" in action.template.partition("://")[2].partition("/")[0]:
        raise ValueError(f"{action.label}: the host should be fixed: no field may stand in it")
    for name in action.names:
        is_attribute = name.startswith(ATTRIBUTE) and len(name) > len(ATTRIBUTE)
        if name not in _FIELDS and not is_attribute:
            allowed = ", ".join(sorted(_FIELDS))
            raise ValueError(f"{action.label}: {{{name}}} should be one of {allowed}, or attributes.NAME")
