"""One account's balances now, read quickly however long its history is and however many accounts there are.

The view `balances` shows the same for all accounts at once. Here every table is asked for the rows of one account,
which stand together; what takes long is asked only of an account that has been silent since a grant of it ended.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

Rows = Callable[[str], Sequence[tuple[Any, ...]]]
"""Runs one reading statement and returns its rows."""

_LATEST = """
SELECT toString(credit_type), toUInt8(origin = 'refund_rows') AS step, argMax(balance_after, version) AS amount,
    max(source_offset) AS at_offset
FROM latest_balance_rows WHERE account_id = {account} GROUP BY credit_type, origin"""
_HELD = "SELECT credit_type, credits FROM held_credits WHERE account_id = {account}"
_LAPSING = "SELECT credit_type, grant_id, opened FROM lapsing_grants WHERE account_id = {account}"
_DRAWN = "SELECT grant_id, drawn FROM grant_draws WHERE account_id = {account}"


@dataclass(frozen=True, slots=True)
class Balance:
    """Credits of one type as the tables have them now, without grants and holds that are over by the clock.

    `source_offset`: the last input message that is in `balance`, -1 where there is none.
    """

    balance: int
    held: int
    source_offset: int

    @property
    def available(self) -> int:
        """What a hold, or an event of an account that rejects, may still use (SPEC 11)."""
        return self.balance - self.held


def account_balances(rows: Rows, account_id: str) -> dict[str, Balance]:
    """By credit type in order of name; empty for an account without rows. Raises what `rows` raises."""
    account = "'" + account_id.replace("\\", "\\\\").replace("'", "\\'") + "'"
    last: dict[str, tuple[int, int, int]] = {}
    for credit_type, step, amount, offset in rows(_LATEST.format(account=account)):
        # Of one message that charged and forfeited, the lowest balance is the last: see the view last_balances.
        last[credit_type] = max(last.get(credit_type, (-1, 0, 0)), (offset, step, -amount))
    held: dict[str, int] = defaultdict(int, rows(_HELD.format(account=account)))
    gone: dict[str, int] = defaultdict(int)
    if lapsing := rows(_LAPSING.format(account=account)):
        drawn: dict[str, int] = dict(rows(_DRAWN.format(account=account)))
        for credit_type, grant_id, opened in lapsing:
            gone[credit_type] += max(0, opened - drawn.get(grant_id, 0))
    return {
        name: Balance(-minus - gone[name], held[name], offset)
        for name in sorted(last.keys() | held.keys())
        for offset, _, minus in (last.get(name, (-1, 0, 0)),)
    }
