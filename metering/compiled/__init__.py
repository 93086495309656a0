"""Decides, before a hot module is imported, whether it runs compiled or as its Python source.

The modules of `sources.MODULES` are ordinary Python. Where a C compiler is at hand, installing creditmeter also makes
extension modules of them by mypyc, which Python then prefers. `metering` imports this package before its own modules.
It lets the extensions be used only where they were built, for this Python, from exactly the sources that are there;
else every one of these modules is loaded from its source. Both ways give the same bytes.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from metering.compiled.sources import MODULES, NOTE, changed, extensions, source_of

SWITCH = "CREDITMETER_INTERPRETED"
"""The environment variable that, set to anything but 0, has all modules loaded from their sources."""

ROOT = Path(__file__).parents[2]


class Mode(NamedTuple):
    """How the hot modules run. ``reason``: why they are interpreted; empty where they are compiled.

    ``is_stale``: they were compiled, and a source was changed since.
    """

    is_compiled: bool
    reason: str = ""
    is_stale: bool = False

    @property
    def word(self) -> str:
        """`compiled` or `interpreted`."""
        return "compiled" if self.is_compiled else "interpreted"

    def __str__(self) -> str:
        return f"{self.word}: {self.reason}" if self.reason else self.word


def mode_of(root: Path, switch: str = "") -> Mode:
    """How modules under ``root`` are to run, with ``switch`` in the environment variable."""
    if switch not in {"", "0"}:
        return Mode(is_compiled=False, reason=f"{SWITCH} is set")
    try:
        note = (root / NOTE).read_text(encoding="utf-8")
    except OSError:
        return Mode(is_compiled=False, reason="no extension modules were built here, docs/speed.md says how")
    names = changed(root, note)
    if len(names) == len(MODULES):
        reason = "the extension modules were built for another version or another Python; `make venv` builds them anew"
        return Mode(is_compiled=False, reason=reason, is_stale=True)
    if names:
        reason = f"{', '.join(names)} changed after the build; `make venv` builds the extension modules anew"
        return Mode(is_compiled=False, reason=reason, is_stale=True)
    missing = [path for path in extensions() if not (root / path).exists()]
    if missing:
        return Mode(is_compiled=False, reason=f"{missing[0]} is missing; `make venv` builds it", is_stale=True)
    return Mode(is_compiled=True)


class SourceFinder(MetaPathFinder):
    """Loads the hot modules from their sources, past any extension modules beside them."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """As importlib's; None for every other module."""
        del path, target
        if fullname not in MODULES:
            return None
        return spec_from_file_location(fullname, self._root / source_of(fullname))


MODE = mode_of(ROOT, os.environ.get(SWITCH, ""))
"""How the hot modules run in this process."""

if not MODE.is_compiled:
    sys.meta_path.insert(0, SourceFinder(ROOT))
