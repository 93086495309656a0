"""What `account show` shows: the account's state at the log's end, and its newest lines."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

from application.accounts.opening import OpenedReplay, opened_replay
from application.errors import ErrorCode, Failed
from application.pipeline import Pipeline
from metering.account import Account
from metering.holds import Hold
from metering.overview import BalanceView, ClaimsView, balances_at, claims_of, ids_of, is_known, open_holds_at
from metering.records import Kind, Record
from replay.recent_lines import Tail, newest_lines
from streams import clock


@dataclass(frozen=True, slots=True)
class AccountOverview:
    """An account at the instant `at` (ms), by which grants and holds are shown as over.

    It is true up to `offset` of `place`, the log's partition; `base` is where the replay began.
    """

    account: Account
    place: str
    offset: int
    base: str
    at: int
    balances: dict[str, BalanceView]
    holds: list[Hold]
    claims: ClaimsView
    ids: dict[str, int]
    tail: Tail

    @property
    def plan(self) -> dict[str, Any] | None:
        """The account's plan, and whether it counts for a request of this instant."""
        plan = self.account.plan
        if plan is None:
            return None
        counts = self.account.plan_for(self.at, None)[0] is not None
        return {"name": plan[0], "started_at": plan[1], "ends_at": plan[2], "counts": counts}


def read_account(pipeline: Pipeline, account_id: str, claims: int, lines: int) -> AccountOverview:
    """The account now, with its newest claims and lines. Raises Failed for an unknown account."""
    with opened_replay(pipeline, account_id) as opened:
        replay = opened.replay
        applied = replay.applied
        newest: deque[Record] = deque(maxlen=lines)
        with opened.progress() as progress:
            for step in replay.commands(opened.stop, progress):
                newest.extend(record for kind, record in replay.apply(step) if kind is Kind.BILLED)
        replay.flush()
        state = replay.state
        account = state.account(account_id)
        if not is_known(account):
            raise Failed(
                f"{account_id}: no such account: {replay.place} holds no command of it that was accepted, up to offset "
                f"{replay.applied}. See the spelling, and `creditmeter dead-letters list --account {account_id}`",
                ErrorCode.NOT_FOUND,
            )
        at = clock.now_ms()
        with pipeline.notices.waiting("counting claims and ids"):
            counted = claims_of(state, account, claims), ids_of(state, account)
        tail = _with_older(opened, newest, lines, applied)
        return AccountOverview(
            account,
            replay.place,
            replay.applied,
            replay.base.name,
            at,
            balances_at(account, at),
            open_holds_at(account, at),
            *counted,
            tail,
        )


def _with_older(opened: OpenedReplay, newest: deque[Record], count: int, up_to: int) -> Tail:
    """The replay's own lines, and before them those that were billed up to the base."""
    replay, pipeline = opened.replay, opened.pipeline
    missing = count - len(newest)
    if missing <= 0 or up_to < 0:
        return Tail(list(newest), is_whole=True)
    log = pipeline.own_output(pipeline.names.billed)
    older = newest_lines(log, pipeline.codec, replay.partition, replay.account_id, missing, up_to)
    return Tail([*older.lines, *newest], older.is_whole)
