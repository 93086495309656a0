"""What is wrong with a field of a command, in words that every front says alike; `metering.mistakes` has them."""

from __future__ import annotations

from metering.mistakes import CHECKS, allowed_values, first_mistake, mistake

__all__ = ["CHECKS", "allowed_values", "first_mistake", "mistake"]
