"""How threads of one process share the interpreter."""

from __future__ import annotations

import sys

SWITCH_SECONDS = 0.001
"""How long a thread that works may keep the interpreter from those that wait for messages and answers. What comes in
waits so long a few times: with Python's own 5 ms, longer than it takes to decide it."""


def switch_often() -> None:
    """Call it in processes in which a thread works while others wait for messages."""
    sys.setswitchinterval(SWITCH_SECONDS)
