"""What is wrong with the fields of a key, member, link or webhook: all mistakes at once, each with its field."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from application.access.identity import Role, scope_problem
from application.errors import ErrorCode, UseCaseError
from metering.records import MAX_ID

LONGEST_NAME = 200
_CONTROL = {"Cc", "Cs"}


class BadAccessFields(UseCaseError):
    """Fields are wrong: nothing was written. `mistakes`: (field, what is allowed) of each."""

    code = ErrorCode.INVALID

    def __init__(self, mistakes: Sequence[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{field}: {text}" for field, text in mistakes))
        self.mistakes = tuple(mistakes)


def raise_on_mistakes(fields: Mapping[str, Any], now: int) -> None:
    """Checks the fields that are given: role, account_id, actor, name, email, description, expires_at (ms).

    `now` in ms. Raises BadAccessFields with all mistakes.
    """
    checks: Mapping[str, Callable[[Any], bool]] = {
        "account_id": _is_id,
        "actor": _is_id,
        "name": _is_line,
        "email": _is_line,
        "description": _is_line,
        "expires_at": lambda at: at > now,
    }
    mistakes = [
        (field, _ALLOWED[field])
        for field, check in checks.items()
        if fields.get(field) is not None and not check(fields[field])
    ]
    if "role" in fields:
        try:
            role = Role(fields["role"])
        except ValueError:
            mistakes.append(("role", _ALLOWED["role"]))
        else:
            problem = scope_problem(role, fields.get("account_id"), fields.get("actor"))
            mistakes += [("role", problem)] if problem is not None else []
    if mistakes:
        raise BadAccessFields(mistakes)


def _is_id(value: str) -> bool:
    return 1 <= len(value) <= MAX_ID and not _has_control(value)


def _is_line(value: str) -> bool:
    return len(value) <= LONGEST_NAME and not _has_control(value)


def _has_control(text: str) -> bool:
    return any(unicodedata.category(character) in _CONTROL for character in text)


_ALLOWED = {
    "role": f"one of {', '.join(Role)}",
    "account_id": f"1 to {MAX_ID} characters, no control characters",
    "actor": f"1 to {MAX_ID} characters, no control characters",
    "name": f"at most {LONGEST_NAME} characters, no control characters",
    "email": f"at most {LONGEST_NAME} characters, no control characters",
    "description": f"at most {LONGEST_NAME} characters, no control characters",
    "expires_at": "a time later than now",
}
