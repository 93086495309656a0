"""Removes rows that can no longer matter, so that the size of a state follows what is live and not history.

Nothing here decides anything: the state machine treats a forgotten row as absent whether it is still there or not. So
an account is swept seldom: when its stream time has moved by half an accept_window since the last sweep. Rows that are
forgotten but still there stay below about half of the live ones, and each row is looked at a few times in its life.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from metering.account import BEGINNING, Account
from metering.claims import is_forgotten
from metering.state import State
from metering.store import ACCOUNT, CLAIM, COMMAND_ID, EVENT, HOLD, Value


class Sweeper:
    """Sweeps the accounts of one `State`, a few rows at a time.

    Positions are kept in memory only: after a restart an unfinished sweep begins again at the account's next command.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._positions: dict[str, bytes] = {}

    def sweep(self, budget: int) -> int:
        """Looks at up to about ``budget`` rows of accounts that are due; returns how many rows it removed.

        Call it between the last `apply` and the write: removals go with the same write.
        """
        state = self._state
        half = state.accept_window // 2
        for account_id in state.touched:
            account = state.account(account_id)
            if account.swept_at == BEGINNING:
                account.swept_at = account.stream_time
            elif account.stream_time - account.swept_at > half:
                self._positions.setdefault(account_id, b"")
        removed = 0
        for account_id in list(self._positions):
            if budget <= 0:
                break
            looked, gone = self._sweep_account(state.account(account_id), budget)
            budget -= looked
            removed += gone
        return removed

    def _sweep_account(self, account: Account, budget: int) -> tuple[int, int]:
        """(rows looked at, rows removed) of one account, going on where the last call stopped."""
        state = self._state
        looked = removed = 0
        after = self._positions[account.account_id]
        for prefix in (account.claim_prefix, account.event_prefix, account.hold_prefix):
            if after > prefix and not after.startswith(prefix):
                continue
            for key, value in state.store.scan(prefix, after):
                looked += 1
                after = key
                if not state.is_changed(key):
                    removed += self._forget(account, prefix, key, value)
                if looked >= budget:
                    self._positions[account.account_id] = after
                    return looked, removed
        for balance in account.balances.values():
            removed += balance.forget_used_up(account.floor)
        account.swept_at = account.stream_time
        state.touch(account.account_id)
        del self._positions[account.account_id]
        return looked, removed

    def _forget(self, account: Account, prefix: bytes, key: bytes, value: Value) -> bool:
        """Removes the row where it is forgotten, and forgotten owners from a claim that is not."""
        if prefix != account.claim_prefix:
            is_open = prefix == account.hold_prefix and key[len(prefix) :].decode() in account.holds.by_id
            if value[0] < account.floor and not is_open:
                self._state.put(key, None)
                return True
            return False
        kept = [owner for owner in value if not is_forgotten(owner, account.floor)]
        if len(kept) < len(value):
            self._state.put(key, kept or None)
        return not kept


def live_rows(
    table: bytes,
    rows: Iterable[tuple[bytes, Value]],
    floor_of: Callable[[bytes], int],
    is_open: Callable[[bytes], bool],
) -> Iterator[tuple[bytes, Any]]:
    """The rows of one table without what clean-up takes away sooner or later: what two states of one log have alike.

    ``floor_of`` returns the floor (ms) of a key's account, ``is_open`` whether a key's hold is open. A row of the first
    format comes in the present one, with None for what it lacks.
    """
    for key, value in rows:
        if table == ACCOUNT:
            stream_time, floor, _swept_at, plan, on_empty, alert_below, arrivals, balances, *holds = value
            kept = {
                name: [debt, [grant for grant in grants if _matters(grant, floor)]]
                for name, (debt, grants) in balances.items()
            }
            yield key, [stream_time, floor, plan, on_empty, alert_below, arrivals, kept, holds[0] if holds else []]
        elif table == EVENT:
            if value[0] >= floor_of(key):
                yield key, [value[0], value[1] if len(value) > 1 else [], *(value[2:] or _NOT_KEPT)]
        elif table == HOLD:
            if value[0] >= floor_of(key) or is_open(key):
                yield key, value
        elif table == CLAIM:
            owners = [owner for owner in value if not is_forgotten(owner, floor_of(key))]
            if owners:
                yield key, owners
        elif table == COMMAND_ID:
            yield key, value if isinstance(value, list) else _NOT_KEPT
        else:
            yield key, value


def is_same_row(table: bytes, one: Any, other: Any) -> bool:
    """Whether two rows of `live_rows` say the same. A place or digest that only one of them has is not compared."""
    if table in (EVENT, COMMAND_ID) and one is not None and other is not None:
        first = len(one) - len(_NOT_KEPT)
        if _NOT_KEPT in (one[first:], other[first:]):
            return bool(one[:first] == other[:first])
    return bool(one == other)


_NOT_KEPT = [None, None, None]
"""Offset, index and digest of a command that was accepted by a version which kept none."""


def _matters(grant: list[Any], floor: int) -> bool:
    """Whether clean-up has to keep a packed grant: a used-up one that nothing can be returned to may go."""
    expires_at, _arrival, _grant_id, left, _reason, drawn_until = grant
    return bool(left) or expires_at is not None or drawn_until >= floor
