"""Seeded traffic for simulations: every command type, repeats, late events, poison, several accounts a partition."""

from __future__ import annotations

import random
from typing import Any

from schemas.codec import Codec
from schemas.price_book import book_id
from streams.partitioner import partition_of

START = 1_767_225_600_000  # 2026-01-01T00:00:00Z
HOUR = 3_600_000

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
"""
SECOND_BOOK = (
    BOOK
    + """
  - version: "two"
    effective_from: 2026-01-03T00:00:00Z
    charges:
      - {charge: page, when: {channel: js}, credits: 2}
      - {charge: lookup, when: {endpoint: /lookup}, credits: 25, unique: {by: [ip], within: 7d}}
"""
)


def book_command(text: str, published_at: int) -> dict[str, Any]:
    return {"book_id": book_id(text), "yaml": text, "published_at": published_at}


class Traffic:
    """Messages for every partition, (partition, timestamp, value), in the order in which they are produced."""

    def __init__(self, seed: int, partitions: int, codec: Codec, accounts: int = 6) -> None:
        self.random = random.Random(seed)
        self.partitions = partitions
        self.codec = codec
        self.accounts = [f"account-{n}" for n in range(accounts)]
        self.sent: list[dict[str, Any]] = []
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
        kind = self.random.choices(("events", "grant", "refund", "account", "poison"), (70, 8, 12, 6, 4))[0]
        partition = self.random.randrange(self.partitions)
        if kind == "poison":
            return partition, self.now, self.random.randbytes(self.random.randrange(40))
        own = [a for a in self.accounts if partition_of(a, self.partitions) == partition] or self.accounts
        if kind == "events":
            events = [self._event(self.random.choice(own)) for _ in range(self.random.randrange(5))]
            return partition, self.now, self.codec.encode("RequestBatch", {"events": events})
        name, record = getattr(self, f"_{kind}")(self.random.choice(own))
        return partition, self.now, self.codec.encode(name, record)

    def _event(self, account_id: str) -> dict[str, Any]:
        if self.sent and self.random.random() < 0.15:
            return dict(self.random.choice(self.sent), account_id=account_id)
        self.serial += 1
        late = self.random.choice((0, 0, 0, HOUR, 30 * HOUR, 80 * HOUR))
        event = {
            "event_id": f"event-{self.serial}" if self.random.random() < 0.97 else "",
            "account_id": account_id,
            "occurred_at": self.now - late,
            "endpoint": self.random.choice(("/lookup", "/company/x", "/person", "/other")),
            "channel": self.random.choice(("js", "api")),
            "outcome": self.random.choice(("processed",) * 6 + ("invalid", "failed")),
            "request_id": None,
            "actor": None,
            "user_id": None,
            "ip": self.random.choice((None, "192.0.2.1", "192.0.2.2", "::ffff:192.0.2.1")),
            "domain": self.random.choice((None, "example.com", "www.Example.com.", "example.org")),
            "plan": None,
            "quantities": {"emails": self.random.randrange(3)},
            "attributes": {},
        }
        self.sent.append(event)
        return event

    def _grant(self, account_id: str) -> tuple[str, dict[str, Any]]:
        self.serial += 1
        return "Grant", {
            "grant_id": f"grant-{self.serial}",
            "account_id": account_id,
            "credit_type": self.random.choice(("credit", "credit", "email")),
            "credits": self.random.randrange(1, 80),
            "granted_at": self.now,
            "expires_at": self.random.choice((None, self.now + HOUR, self.now + 40 * HOUR)),
            "reason": "simulation",
        }

    def _refund(self, account_id: str) -> tuple[str, dict[str, Any]]:
        self.serial += 1
        event_id = self.random.choice(self.sent)["event_id"] if self.sent else "event-1"
        return "RefundRequest", {
            "refund_id": f"refund-{self.random.randrange(self.serial) if self.random.random() < 0.1 else self.serial}",
            "account_id": account_id,
            "event_id": event_id or "event-1",
            "charge": self.random.choice((None, None, "lookup", "page")),
            "credits": self.random.choice((None, None, 1, 7)),
            "reason": "",
            "requested_at": self.now,
        }

    def _account(self, account_id: str) -> tuple[str, dict[str, Any]]:
        self.serial += 1
        plan = {"name": self.random.choice(("big", "small")), "started_at": self.now - 50 * HOUR, "ends_at": None}
        return "AccountUpdate", {
            "update_id": f"update-{self.serial}",
            "account_id": account_id,
            "plan": self.random.choice((None, plan)),
            "on_empty": self.random.choice(("allow", "reject")),
            "alert_below": {"credit": 20},
            "at": self.now,
        }
