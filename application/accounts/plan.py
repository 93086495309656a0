"""An account's plan now, for whoever asks at every request."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from application.accounts.unloaded import UnloadedOutputs
from application.prices.price_list import AccountPlan
from application.usage.store import UsageStore
from sinks.current import NOTHING, current_settings, settings_rows
from streams import clock

FRESH_SECONDS = 1.0
"""How long what was read of an account's settings is used again. What is decided meanwhile is laid over it."""
MOST_ACCOUNTS = 10_000
"""Of so many accounts what was read is kept; those read longest ago go first."""


class _Read(NamedTuple):
    """The rows of an account's settings, and when they were read, by the monotonic clock."""

    at: float
    rows: Sequence[Mapping[str, Any]]


class AccountPlans:
    """The plans of the settings in force. Its method may be called from any thread.

    ClickHouse is asked for an account once a second at most. Outputs of the last minute are laid over what it said, so
    that a plan which was just decided counts at once; without them an answer may be a second old.
    """

    def __init__(self, store: UsageStore, monotonic: Callable[[], float] = clock.monotonic) -> None:
        self._store = store
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._read: OrderedDict[str, _Read] = OrderedDict()

    def of(self, account_id: str, outputs: UnloadedOutputs | None = None) -> AccountPlan | None:
        """The account's plan; None where there is none. Raises Failed."""
        loaded = self._loaded(account_id)
        plan = current_settings(loaded, NOTHING if outputs is None else outputs.settings_of(account_id)).plan
        return None if plan is None else AccountPlan(*plan)

    def _loaded(self, account_id: str) -> Sequence[Mapping[str, Any]]:
        now = self._monotonic()
        with self._lock:
            kept = self._read.get(account_id)
        if kept is not None and now - kept.at < FRESH_SECONDS:
            return kept.rows
        rows = settings_rows(self._store.rows, account_id)
        with self._lock:
            self._read[account_id] = _Read(now, rows)
            self._read.move_to_end(account_id)
            if len(self._read) > MOST_ACCOUNTS:
                self._read.popitem(last=False)
        return rows
