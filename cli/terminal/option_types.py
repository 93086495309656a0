"""Times, durations and amounts as options of a command."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import click


class _Parsed(click.ParamType):
    """A text that a function turns into ms, with its own sentence about what is wrong."""

    def __init__(self, name: str, parse: Callable[[str], int]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        try:
            return self._parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


_AMOUNT = re.compile(r"(.+)=(-?[0-9]{1,30})", re.DOTALL)


def amounts_by_type(_ctx: click.Context, _param: click.Parameter, texts: tuple[str, ...]) -> dict[str, int]:
    """A callback for an option `TYPE=N` that may be given several times: credits by credit type.

    A credit type may hold an = itself. Raises BadParameter with every mistake.
    """
    amounts: dict[str, int] = {}
    mistakes = []
    for text in texts:
        match = _AMOUNT.fullmatch(text)
        if match is None:
            mistakes.append(f"{text!r} is not like credit=100")
        elif match[1] in amounts:
            mistakes.append(f"{match[1]!r} is given twice")
        else:
            amounts[match[1]] = int(match[2])
    if mistakes:
        raise click.BadParameter("; ".join(mistakes))
    return amounts


def _duration(text: str) -> int:
    from metering.windows import parse_duration

    return parse_duration(text)


def _instant(text: str) -> int:
    """RFC 3339, or a day alone: its first moment in UTC."""
    from metering.windows import parse_instant

    return parse_instant(f"{text}T00:00:00Z" if len(text) == len("2026-01-31") else text)


def _instant_or_now(text: str) -> int:
    from streams import clock

    return clock.now_ms() if text == "now" else _instant(text)


INSTANT = _Parsed("time", _instant)
"""`2026-01-31T12:00:00Z`, or `2026-01-31` for its first moment (UTC); converted to ms."""
INSTANT_OR_NOW = _Parsed("time or now", _instant_or_now)
"""As INSTANT, or `now`; converted to ms."""
DURATION = _Parsed("duration", _duration)
"""`30d`, `24h`, `5m`, `30s`; converted to ms."""
