"""Seeded traffic for simulations: every command type, repeats, late events, poison, several accounts a partition.

A seed's messages together bring about every decision, reject_reason, status of grants and holds, kind of alert and
dead letter; repeats with the same content and with another; events that draw on holds of all kinds; and refunds that
fill debt, go back to grants, are forfeited, or become a grant of their own.
"""

from __future__ import annotations

import random
from typing import Any

from schemas.codec import Codec
from schemas.price_book import book_id
from streams.log.partitioner import partition_of

START = 1_767_225_600_000  # 2026-01-01T00:00:00Z
HOUR = 3_600_000
FAR_FUTURE = 4_102_444_800_000  # 2100-01-01T00:00:00Z: ahead of any broker's clock, too

BOOK = """
price_lock: plan_period
limits: {accept_window: 3d, future_skew: 5m}
versions:
  - version: "one"
    effective_from: 2025-12-01T00:00:00Z
    charges:
      - {charge: page, when: {channel: js}, credits: 1}
      - {charge: lookup, when: {endpoint: /lookup}, credits: 20, plans: {big: 15}, unique: {by: [ip], within: 24h}}
      - {charge: company, when: {endpoint: /company*}, credits: 10, unique: {by: [domain], within: ever}}
      - {charge: mail, when: {endpoint: /person}, per: emails, credits: 3, credit_type: email}
      - {charge: gratis, when: {endpoint: /gratis}, credits: 0}
"""
SECOND_BOOK = (
    BOOK
    + """
  - version: "two"
    effective_from: 2026-01-03T00:00:00Z
    charges:
      - {charge: page, when: {channel: js}, credits: 2}
      - {charge: lookup, when: {endpoint: /lookup}, credits: 25, unique: {by: [ip], within: 7d}}
      - {charge: mail, when: {endpoint: /person}, per: emails, credits: 4, credit_type: email}
"""
)


def book_command(text: str, published_at: int) -> dict[str, Any]:
    return {"book_id": book_id(text), "yaml": text, "published_at": published_at}


def event(event_id: str, account_id: str, **fields: Any) -> dict[str, Any]:
    """A good request event at the traffic's beginning, with these fields instead of its own."""
    return {
        "event_id": event_id, "account_id": account_id, "occurred_at": START, "endpoint": "/other", "channel": "js",
        "outcome": "processed", "request_id": None, "actor": None, "user_id": None, "ip": None, "domain": None,
        "plan": None, "hold_id": None, "keeps_hold": False, "quantities": {}, "attributes": {},
    } | fields  # fmt: skip


class Traffic:
    """Messages for every partition, (partition, timestamp, value), in the order in which they are produced."""

    def __init__(self, seed: int, partitions: int, codec: Codec, accounts: int = 6) -> None:
        self.random = random.Random(seed)
        self.partitions = partitions
        self.codec = codec
        self.accounts = [f"account-{n}" for n in range(accounts)]
        self.sent: dict[str, list[dict[str, Any]]] = {account_id: [] for account_id in self.accounts}
        self.held: dict[str, list[str]] = {account_id: [] for account_id in self.accounts}
        self.refunded: dict[str, list[str]] = {account_id: [] for account_id in self.accounts}
        self.now = START
        self.serial = 0

    def messages(self, count: int) -> list[tuple[int, int, bytes]]:
        first = self.codec.encode("PriceBook", book_command(BOOK, self.now))
        made = [(partition, self.now, first) for partition in range(self.partitions)]
        for number in range(count):
            self.now += self.random.choice((1, 1_000, 60_000, HOUR, 5 * HOUR))
            if number == count // 2:
                second = self.codec.encode("PriceBook", book_command(SECOND_BOOK, self.now))
                made += [(partition, self.now, second) for partition in range(self.partitions)]
            made.append(self._message())
        return made

    def _message(self) -> tuple[int, int, bytes]:
        kinds = ("events", "grant", "refund", "account", "price_book", "poison", "hold")
        kind = self.random.choices(kinds, (56, 12, 20, 8, 1, 3, 14))[0]
        partition = self.random.randrange(self.partitions)
        if kind == "poison":
            return partition, self.now, self.random.randbytes(self.random.randrange(40))
        if self.random.random() < 0.02:  # a producer that partitions in another way
            own = self.accounts
        else:
            own = [a for a in self.accounts if partition_of(a, self.partitions) == partition] or self.accounts
        if kind == "events":
            events = [self._event(self.random.choice(own)) for _ in range(self.random.randrange(5))]
            return partition, self.now, self.codec.encode("RequestBatch", {"events": events})
        name, record = getattr(self, f"_{kind}")(self.random.choice(own))
        return partition, self.now, self.codec.encode(name, record)

    def _event(self, account_id: str) -> dict[str, Any]:
        sent = self.sent[account_id]
        if sent and self.random.random() < 0.12:
            again = self.random.choice(sent[-40:])
            return again if self.random.random() < 0.8 else again | {"user_id": "another"}
        self.serial += 1
        late = self.random.choice((0, 0, 0, 0, 0, HOUR, HOUR, 30 * HOUR, 80 * HOUR))
        event = {
            "event_id": f"event-{self.serial}" if self.random.random() < 0.97 else "",
            "account_id": account_id,
            "occurred_at": self.now - late if self.random.random() < 0.98 else FAR_FUTURE,
            "endpoint": self.random.choice(("/lookup", "/lookup", "/company/x", "/person", "/gratis", "/other")),
            "channel": self.random.choice(("js", "js", "api")),
            "outcome": self.random.choice(("processed",) * 8 + ("invalid", "failed")),
            "request_id": None,
            "actor": None,
            "user_id": None,
            "ip": self.random.choice((None, "192.0.2.1", "192.0.2.1", "192.0.2.2", "::ffff:192.0.2.1", "2001:db8::7")),
            "domain": self.random.choice((None, "example.com", "www.Example.com.", "example.org", "example.net")),
            "plan": None,
            "hold_id": self._open_hold(account_id),
            "keeps_hold": self.random.random() < 0.5,
            "quantities": {"emails": self.random.randrange(4)},
            "attributes": {},
        }
        sent.append(event)
        return event

    def _open_hold(self, account_id: str) -> str | None:
        """One of the account's last holds, or of another account's, or none."""
        if self.random.random() < 0.6:
            return None
        held = self.held[account_id if self.random.random() < 0.95 else self.random.choice(self.accounts)]
        return self.random.choice(held[-3:]) if held else None

    def _hold(self, account_id: str) -> tuple[str, dict[str, Any]]:
        """Some are over on arrival, some outlast everything, some come again while they are open or after."""
        self.serial += 1
        held, held_at = self.held[account_id], self.now - self.random.choice((0, 0, 0, 2 * HOUR, 80 * HOUR))
        again = held and self.random.random() < 0.1
        held.append(self.random.choice(held[-5:]) if again else f"hold-{self.serial}")
        asked = {"credit": self.random.choice((1, 20, 45, 45, 200))}
        if self.random.random() < 0.3:
            asked["email"] = self.random.choice((3, 9))
        return "Hold", {
            "hold_id": held[-1],
            "account_id": account_id,
            "credits": asked,
            "held_at": held_at,
            "expires_at": held_at + self.random.choice((1, HOUR, 10 * HOUR, 100 * HOUR, 720 * HOUR)),
            "reason": "simulation",
        }

    def _grant(self, account_id: str) -> tuple[str, dict[str, Any]]:
        """Some expire at the same time, some are over on arrival, some come twice, some are nothing."""
        self.serial += 1
        together = START + (self.now - START + 40 * HOUR) // (20 * HOUR) * (20 * HOUR)
        granted_at = self.now - self.random.choice((0, 0, 0, 2 * HOUR))
        over = granted_at + HOUR
        return "Grant", {
            "grant_id": f"grant-{self._serial_or_old()}",
            "account_id": account_id,
            "credit_type": self.random.choice(("credit", "credit", "email")),
            "credits": self.random.choice((0, 1, 7, 20, 45, 100, 200)),
            "granted_at": granted_at,
            "expires_at": self.random.choice((None, over, together, together)),
            "reason": "simulation",
        }

    def _refund(self, account_id: str) -> tuple[str, dict[str, Any]]:
        """Mostly of what the account did lately; of anything, of something refunded before, and of nothing at all."""
        self.serial += 1
        sent, refunded = self.sent[account_id], self.refunded[account_id]
        what = self.random.choices(("late", "any", "again", "unknown"), (70, 8, 15, 7))[0]
        event_id = ""
        if what == "again" and refunded:
            event_id = self.random.choice(refunded[-10:])
        elif what != "unknown" and sent:
            priced = [event for event in sent[-12:] if event["endpoint"] not in ("/gratis", "/other")]
            event_id = self.random.choice(priced if what == "late" and priced else sent)["event_id"]
        event_id = event_id or "event-of-nobody"
        refunded.append(event_id)
        return "RefundRequest", {
            "refund_id": f"refund-{self._serial_or_old()}",
            "account_id": account_id,
            "event_id": event_id,
            "charge": self.random.choice((None, None, None, "lookup", "page", "mail", "company")),
            "credits": self.random.choice((None, None, None, 1, 1, 7, 1_000)),
            "reason": "",
            "requested_at": self.now,
        }

    def _account(self, account_id: str) -> tuple[str, dict[str, Any]]:
        self.serial += 1
        started_at = self.now - 50 * HOUR
        plan = {
            "name": self.random.choice(("big", "small")),
            "started_at": started_at,
            "ends_at": self.random.choice((None, started_at + 60 * HOUR)),
        }
        return "AccountUpdate", {
            "update_id": f"update-{self._serial_or_old()}",
            "account_id": account_id,
            "plan": self.random.choice((None, plan, plan)),
            "on_empty": self.random.choice(("allow", "reject")),
            "alert_below": self.random.choice(({}, {"credit": 20}, {"credit": 50, "email": 10})),
            "at": self.now,
        }

    def _price_book(self, _account_id: str) -> tuple[str, dict[str, Any]]:
        """The first book once more: a repeat, or a return to it that nobody should publish, yet the log may hold."""
        return "PriceBook", book_command(BOOK, self.now)

    def _serial_or_old(self) -> int:
        return self.random.randrange(self.serial) if self.random.random() < 0.08 else self.serial
