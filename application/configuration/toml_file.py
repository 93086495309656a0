"""Reading `creditmeter.toml`: settings by name, each with the line that it stands on.

A table is a prefix: `[clickhouse]` with `host = "…"` is the setting `clickhouse_host`, and so is the plain key.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

_TABLE = re.compile(r"\s*+\[([A-Za-z0-9_.\-\"' \t]++)\]\s*+(?:#.*)?$")
_KEY = re.compile(r"\s*+([A-Za-z0-9_\-\"'][A-Za-z0-9_.\-\"' ]*+)\s*+=")


class Entry(NamedTuple):
    """One setting of the file: what it says, and the line (from 1) where it says so; 0 where that is not known."""

    value: Any
    line: int


class ConfigFileError(ValueError):
    """The file is not there, not text, or not TOML; the message says which, and where."""


def read_config_file(path: Path) -> dict[str, Entry]:
    """Every key of the file by its full name (`clickhouse_host`). Raises ConfigFileError."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigFileError(f"{path}: there is no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigFileError(f"{path}: cannot be read as text: {error}") from error
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigFileError(f"{path}: is not TOML: {error}") from error
    lines = _lines(text)
    return {name: Entry(value, _line_of(name, lines)) for name, value in _flatten(tree)}


def _flatten(tree: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    settings: list[tuple[str, Any]] = []
    for key, value in tree.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict) and value:
            settings.extend(_flatten(value, f"{name}_"))
        else:
            settings.append((name, value))
    return settings


def _lines(text: str) -> dict[str, int]:
    """The first line of each `[table]` and `key =`. tomllib keeps no positions; this is enough to point at one."""
    lines: dict[str, int] = {}
    table = ""
    for number, line in enumerate(text.splitlines(), 1):
        if opened := _TABLE.match(line):
            table = _joined(opened.group(1))
            lines.setdefault(table, number)
        elif assigned := _KEY.match(line):
            key = _joined(assigned.group(1))
            lines.setdefault(f"{table}_{key}" if table else key, number)
    return lines


def _joined(dotted: str) -> str:
    return "_".join(part.strip().strip("\"'") for part in dotted.split("."))


def _line_of(name: str, lines: dict[str, int]) -> int:
    """The line of `name`, or of the inline table that it stands in."""
    while name:
        if name in lines:
            return lines[name]
        name = name.rpartition("_")[0]
    return 0
