"""The view of an account that people are shown: balances, holds, claims and ids, read from its state. Decides nothing.

What is forgotten by its time is left out, whether clean-up has removed it yet or not.
"""

from __future__ import annotations

import heapq
from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from metering.account import BEGINNING, Account
from metering.balances import OpenGrant
from metering.book import Unique
from metering.claims import Owner, describe_claim_key, is_forgotten
from metering.holds import Hold
from metering.state import State

_EVENTS, _COMMANDS = "events", {b"r": "refunds", b"g": "grants", b"u": "account updates"}


@dataclass(frozen=True, slots=True)
class BalanceView:
    """One credit type at an instant, open grants in order of use.

    `over`: credits of grants whose time has passed, forfeited by the next command; neither in `balance` nor `grants`.
    `held`: credits that open holds set aside (SPEC 11).
    """

    balance: int
    debt: int
    over: int
    grants: list[OpenGrant]
    held: int = 0

    @property
    def available(self) -> int:
        """The balance less what open holds set aside."""
        return self.balance - self.held


class ClaimView(NamedTuple):
    """A charged unique subject: by name, the event that was charged, and until when it is free (None: for ever)."""

    charge: str
    subject: dict[str, str]
    owner_event_id: str
    owner_at: int
    window_ends_at: int | None


@dataclass(slots=True)
class ClaimsView:
    """How many claims are kept by charge, and the newest ones."""

    by_charge: Counter[str] = field(default_factory=Counter)
    newest: list[ClaimView] = field(default_factory=list)


def is_known(account: Account) -> bool:
    """Whether the account has ever accepted a command."""
    return account.stream_time != BEGINNING


def balances_at(account: Account, at: int) -> dict[str, BalanceView]:
    """By credit type in order of name, as of `at` (ms): grants and holds past their time are gone."""
    views = {}
    held = {name: account.holds.set_aside_at(name, at) for name in account.holds.set_aside}
    for name, amount in held.items():
        if amount and name not in account.balances:
            views[name] = BalanceView(0, 0, 0, [], amount)
    for name, balance in account.balances.items():
        is_open = [grant.expires_at is None or grant.expires_at > at for grant in balance.grants]
        grants = [grant for grant, still in zip(balance.grants, is_open, strict=True) if still]
        left = sum(grant.left for grant in grants)
        over = balance.amount + balance.debt - left
        views[name] = BalanceView(left - balance.debt, balance.debt, over, grants, held.get(name, 0))
    return dict(sorted(views.items()))


def open_holds_at(account: Account, at: int) -> list[Hold]:
    """The account's holds that are open at `at` (ms), in order of expiry, then arrival."""
    return sorted((hold for hold in account.holds.by_id.values() if hold.expires_at > at), key=lambda hold: hold.order)


def claims_of(state: State, account: Account, newest: int) -> ClaimsView:
    """Counts the account's claims, and shows the `newest` by their owners' time. Write the state's changes first."""
    floor = account.horizon(state.accept_window)
    windows = _windows(state, account)
    seen: list[tuple[int, bytes, Owner]] = []
    view = ClaimsView()
    for key, owners in state.store.scan(account.claim_prefix):
        tail = key[len(account.claim_prefix) :]
        live = [owner for owner in owners if not is_forgotten(owner, floor)]
        if not live:
            continue
        view.by_charge[_charge_of(tail)] += 1
        for owner in live:
            if len(seen) < newest:
                heapq.heappush(seen, (owner[0], tail, owner))
            elif newest:
                heapq.heappushpop(seen, (owner[0], tail, owner))
    for _, tail, owner in sorted(seen, reverse=True):
        charge, subject = describe_claim_key(tail)
        view.newest.append(ClaimView(charge, subject, owner[1], owner[0], _ends_at(owner, windows.get(charge))))
    return view


def ids_of(state: State, account: Account) -> dict[str, int]:
    """How many ids are remembered, by kind of command. Write the state's changes first."""
    floor = account.horizon(state.accept_window)
    counts = Counter({_EVENTS: sum(1 for _, event in state.store.scan(account.event_prefix) if event[0] >= floor)})
    for tag, name in _COMMANDS.items():
        counts[name] = sum(1 for _ in state.store.scan(account.id_prefix + tag))
    return dict(counts)


def _charge_of(tail: bytes) -> str:
    return tail[4 : 4 + int.from_bytes(tail[:4], "big")].decode()


def _windows(state: State, account: Account) -> dict[str, Unique]:
    """How each charge is unique by the prices that an event of the present would have."""
    at = account.stream_time
    version = None if state.book is None else state.book.version_for(at, account.plan_for(at, None)[1])
    return (
        {}
        if version is None
        else {charge.charge: charge.unique for charge in version.charges if charge.unique is not None}
    )


def _ends_at(owner: Owner, unique: Unique | None) -> int | None:
    """When the owner's window ends, by today's prices; where they say nothing, by those it was charged at."""
    if unique is not None:
        return unique.window.ends_at(owner[0])
    at: int = owner[0]
    return None if owner[2] is None else at + int(owner[2])
