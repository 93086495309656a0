"""What a credit is: prices, subjects, windows, balances, and the account's state machine.

Standard library, `idna` and the compiler's types of integers only, no clock, no I/O. Start at `metering.machine.apply`.
"""

import metering.compiled  # noqa: F401 - first of all: it decides how the modules below are loaded
from metering.book import Book, Charge, Unique, Version
from metering.cleanup import Sweeper
from metering.machine import apply
from metering.records import Command, DeadLetterReason, Decision, Kind, Output
from metering.state import State
from metering.store import MemoryStore, Store

__all__ = [
    "Book", "Charge", "Command", "DeadLetterReason", "Decision", "Kind", "MemoryStore", "Output", "State", "Store",
    "Sweeper", "Unique", "Version", "apply",
]  # fmt: skip
