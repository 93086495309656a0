"""Python's garbage collector, set up for processes that make many objects, few of which are garbage to collect.

`collect_rarely` is for a process that does one thing for good (a worker, a loader); `collecting_rarely` for a command.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_THRESHOLDS = (200_000, 50, 100)
"""New objects between two collections, then how many of these come before one of the older generations.

A group makes about as many objects; they live until it is done, without cycles, so that looking through them every 700
objects (the default) finds nothing and takes a fifth of the time.
"""


def collect_rarely() -> None:
    """Call it when all is imported and made: what is there now is left out of every later collection."""
    gc.set_threshold(*_THRESHOLDS)
    gc.collect()
    gc.freeze()


@contextmanager
def collecting_rarely() -> Iterator[None]:
    """Collects as rarely while the block runs: for a command whose process does other things before and after."""
    before = gc.get_threshold()
    gc.set_threshold(*_THRESHOLDS)
    try:
        yield
    finally:
        gc.set_threshold(*before)
