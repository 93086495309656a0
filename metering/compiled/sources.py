"""Which modules are compiled, and what a build notes about their sources.

`setup.py` runs this file by itself, before anything is installed: it imports only the standard library.
"""

from __future__ import annotations

import hashlib
import json
import sysconfig
from pathlib import Path

MODULES = (
    "metering.account",
    "metering.balances",
    "metering.book",
    "metering.charging",
    "metering.claims",
    "metering.cleanup",
    "metering.holding",
    "metering.holds",
    "metering.machine",
    "metering.records",
    "metering.refunds",
    "metering.state",
    "metering.store",
    "metering.subjects",
    "metering.validation",
    "metering.windows",
    "schemas.columns",
    "schemas.plans",
    "schemas.walking",
    "schemas.wire",
    "streams.rating.deciding",
    "streams.rating.outputs",
    "streams.rating.partition",
    "streams.rating.slices",
)
"""What every event goes through, once or more."""

GROUP = "metering.compiled.hot"
"""mypyc puts the code of all modules into one library, so that they call each other directly."""

NOTE = "metering/compiled/built.json"
"""Written by a build: for which Python, and from which sources."""

OPTIONS = (
    "--config-file=",
    "--explicit-package-bases",
    "--strict",
    "--no-warn-unused-ignores",
    "--ignore-missing-imports",
    "--follow-imports=silent",
)
"""mypy's options for a build. Other packages may be installed beside it or not: a first `pip install` builds without
them, so that nothing may hang on their types, and the types of other modules of ours are another check's."""

SUFFIX = str(sysconfig.get_config_var("EXT_SUFFIX"))
"""How the name of an extension module for this Python ends."""


def source_of(module: str) -> str:
    """The path of a module's source, from the folder that holds the packages."""
    return f"{module.replace('.', '/')}.py"


def extensions() -> list[str]:
    """The paths of all that a build makes, from the folder that holds the packages."""
    return [f"{module.replace('.', '/')}{SUFFIX}" for module in (*MODULES, f"{GROUP}__mypyc")]


def note_of(root: Path) -> str:
    """The note of a build from the sources under ``root`` as they are now. Raises OSError where one is missing."""
    digests = {module: hashlib.sha256((root / source_of(module)).read_bytes()).hexdigest() for module in MODULES}
    return json.dumps({"python": SUFFIX, "sources": digests}, indent=1) + "\n"


def changed(root: Path, note: str) -> list[str]:
    """The modules whose sources under ``root`` are not those that the note's build saw; all of them for a bad note."""
    try:
        built, now = json.loads(note), json.loads(note_of(root))
        if built["python"] != now["python"]:
            return list(MODULES)
        before = dict(built["sources"])
    except (ValueError, KeyError, TypeError):
        return list(MODULES)
    names = {*before, *now["sources"]}
    return sorted(name for name in names if before.get(name) != now["sources"].get(name))
