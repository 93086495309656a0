"""How large the trials are that gain only by their length: modest in every run, longer where somebody asks for it."""

from __future__ import annotations

import os

SIZE = int(os.environ.get("CREDITMETER_TEST_SIZE", "1"))


def times_size(modest: int) -> int:
    """That many examples, kills, seeds or events, times CREDITMETER_TEST_SIZE."""
    return modest * SIZE
