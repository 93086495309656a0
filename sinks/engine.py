"""chDB, loaded in UTC: the engine reads the machine's time zone once, while it is imported."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def _in_utc() -> Iterator[None]:
    """TZ is UTC for the time of the import: an unknown zone or a rule (``NPT-5:45``) makes the engine fail to load."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = "UTC"
    try:
        yield
    finally:
        if before is None:
            del os.environ["TZ"]
        else:
            os.environ["TZ"] = before
        time.tzset()  # the engine has made the C library read TZ


with _in_utc():
    from chdb import ChdbError
    from chdb.state.sqlitelike import Connection, connect

__all__ = ["ChdbError", "Connection", "connect"]
