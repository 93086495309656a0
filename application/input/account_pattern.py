"""The regular expression that finds the payer in a request's path.

The expression comes from a command line, the paths from strangers. RE2 matches in linear time for any of both.
"""

from __future__ import annotations

from typing import Any

import re2

_LONGEST_SHOWN = 200
_WHAT_RE2_LACKS = ("(?=", "(?!", "(?<=", "(?<!", "(?>", "(?(")


class AccountPatternError(ValueError):
    """The pattern cannot be used; the message says why."""


class AccountPattern:
    """Finds the group `account` in a path."""

    def __init__(self, text: str) -> None:
        """Raises AccountPatternError."""
        options = re2.Options()
        options.log_errors = False
        try:
            self._pattern: Any = re2.compile(text, options)
        except re2.error as error:
            raise AccountPatternError(_explained(text, error)) from error
        if "account" not in self._pattern.groupindex:
            raise AccountPatternError("needs a group named account, like '^/t/(?P<account>[^/]+)/'")

    def find(self, path: str) -> str | None:
        """The account in `path`; None where there is none or an empty one."""
        match = self._pattern.search(path)
        return (match["account"] or None) if match else None


def _explained(text: str, error: Exception) -> str:
    reason = error.args[0] if error.args else "unknown mistake"
    if isinstance(reason, bytes):
        reason = reason.decode("utf-8", "replace")
    if any(piece in text for piece in _WHAT_RE2_LACKS) or any(f"\\{digit}" in text for digit in "123456789"):
        return f"uses what RE2 does not know, such as lookaheads and backreferences: {reason[:_LONGEST_SHOWN]}"
    return f"is not a regular expression: {reason[:_LONGEST_SHOWN]}"
