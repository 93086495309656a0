"""Embedded stores that begin with the schema in them, as copies of one: each migration anew takes most of a second."""

from __future__ import annotations

import hashlib
import importlib.metadata
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

from local.cache import cache_folder, fetch_once
from sinks.folder import ID_NAME, LOCK_NAME
from sinks.migrate import migrations

ROOT = Path(__file__).parents[1]
MAKE = """
import sys
from pathlib import Path
from sinks.embedded import EmbeddedSink
from sinks.migrate import migrate
sink = EmbeddedSink(Path(sys.argv[1]))
migrate(sink)
sink.close()
"""


def with_schema(folder: Path) -> Path:
    """The folder, where nothing was: now an empty store to which every migration has been applied, with no id yet.

    A store that is there stays as it is. Raises OSError where the folder cannot be made.
    """
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix="store-") as scratch:
            copy = Path(scratch) / "copy"
            shutil.copytree(_migrated(), copy, symlinks=True, ignore=shutil.ignore_patterns(ID_NAME, LOCK_NAME))
            copy.rename(folder)
    return folder


@cache
def _migrated() -> Path:
    """A store in the cache that nobody opens. Other migrations and another engine have their own."""
    seen = importlib.metadata.version("chdb-core"), [step.checksum for step in migrations()]
    return fetch_once(cache_folder() / f"test-store-{hashlib.sha256(repr(seen).encode()).hexdigest()[:16]}", _make)


def _make(folder: Path) -> None:
    """In a process of its own: one process can hold only one store."""
    subprocess.run([sys.executable, "-c", MAKE, str(folder)], cwd=ROOT, check=True)
