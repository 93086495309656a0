"""The benchmark's price book written straight down, with state in whatever keeps rows by key.

Plain Faust and Quix Streams decide with it. It imports the standard library alone, for Quix Streams runs with libraries
of its own.
"""

from __future__ import annotations

import ipaddress
from typing import Any, Protocol

DAY = 86_400_000
ACCEPT_WINDOW = 35 * DAY
VERSION = "2026-01"

# (endpoint, channel) -> charge, feature, action, credits, subjects of the 24 hours' window
PRICES: dict[tuple[str, str], list[tuple[str, str, str, int, tuple[str, ...]]]] = {
    ("/pixel/hit", "js"): [
        ("pageview", "Pixel", "Pageview", 1, ()),
        ("pixel-lookup", "Identification", "IP to company lookup", 20, ("user_id", "ip")),
    ],
    ("/v1/ip-lookup", "api"): [("ip-lookup", "Identification", "IP to company lookup", 20, ("ip",))],
}


class Rows(Protocol):
    """A dictionary, or a store that is read and written like one."""

    def get(self, key: Any, default: Any = None, /) -> Any: ...
    def __setitem__(self, key: Any, value: Any, /) -> None: ...


class Meter:
    """The state, and what one event does to it.

    ``seen``: (account, event id) -> ms. ``claims``: (account, charge, subjects...) -> (ms, event id) of who paid.
    ``balances``: account -> credits. ``stream_time``: account -> ms, the newest of its events.
    """

    def __init__(self, seen: Rows, claims: Rows, balances: Rows, stream_time: Rows) -> None:
        self.seen = seen
        self.claims = claims
        self.balances = balances
        self.stream_time = stream_time

    def rate(self, event: dict[str, Any]) -> list[dict[str, Any]]:
        """The event's lines; none for a repeat and for one that is too late."""
        account, event_id, at = event["account_id"], event["event_id"], event["occurred_at"]
        now = self.stream_time[account] = max(self.stream_time.get(account, at), at)
        if at < now - ACCEPT_WINDOW or self.seen.get((account, event_id)) is not None:
            return []
        self.seen[account, event_id] = at
        lines = []
        for number, price in enumerate(PRICES.get((event["endpoint"], event["channel"]), ())):
            charge, feature, action, credits_, subjects = price
            owner = ends_at = None
            if subjects:
                values = [str(ipaddress.ip_address(event[s])) if s == "ip" else event[s] for s in subjects]
                owner = self.claims.get((account, charge, *values))
                if owner is not None and abs(at - owner[0]) >= DAY:
                    owner = None
                if owner is None:
                    self.claims[account, charge, *values] = (at, event_id)
                ends_at = (owner[0] if owner else at) + DAY
            cost = 0 if owner else credits_
            balance = self.balances[account] = self.balances.get(account, 0) - cost
            lines.append(
                {
                    **event,
                    "line": number,
                    "decision": "duplicate" if owner else "charged",
                    "charge": charge,
                    "feature": feature,
                    "action": action,
                    "credit_type": "credit",
                    "price_version": VERSION,
                    "units": 1,
                    "unit_credits": credits_,
                    "credits": cost,
                    "owner_event_id": owner[1] if owner else None,
                    "window_ends_at": ends_at,
                    "balance_after": balance,
                    "grants_used": [],
                }
            )
        return lines
