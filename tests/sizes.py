"""How large the trials are that gain only by their length: modest in every run, longer where somebody asks for it."""

from __future__ import annotations

import os

SIZE = int(os.environ.get("CREDITMETER_TEST_SIZE", "1"))
PROFILE = os.environ.get("CREDITMETER_TEST_HYPOTHESIS", "everyday")
"""Of hypothesis: `everyday`, `quick`, with a quarter of its examples, or `thorough`, which looks for new ones."""


def times_size(modest: int) -> int:
    """That many examples, kills, seeds or events, times CREDITMETER_TEST_SIZE."""
    return modest * SIZE


def examples(everyday: int) -> int:
    """That many generated examples, a quarter of them in quick runs."""
    return max(1, everyday // 4) if PROFILE == "quick" else everyday
