"""Events for the demo: a few days of a website pixel and a small API, the same for the same seed.

They hold what real producers send too: events that come again, subjects seen again within and beyond 24 hours, late
and much too late events, events of tomorrow, events with wrong fields, and messages that are no events at all.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator
from itertools import accumulate
from typing import Any

START = 1_767_571_200_000
"""2026-01-05T00:00:00Z: after the pixel book's first version begins."""
RECORDED_AT = START + 10 * 86_400_000
"""A time of recording (ms) at which the same events are in the future as on any later day."""
DAYS = 4

_MINUTE, _HOUR, _DAY = 60_000, 3_600_000, 86_400_000
_YEAR_2100 = 4_102_444_800_000
_RECENT = 5_000

# Endpoint, channel, weight.
_CALLS = (
    ("/pixel/hit", "js", 45),
    ("/v1/ip-lookup", "api", 20),
    ("/v1/company-enrichment", "api", 9),
    ("track-email-open", "email", 9),
    ("/v1/contact-enrichment", "api", 6),
    ("track-email-click", "email", 5),
    ("track-form-submit", "js", 4),
    ("/v1/nobody-priced-this", "api", 2),
)
_CALL_WEIGHTS = tuple(accumulate(weight for _, _, weight in _CALLS))
_OUTCOMES = ("processed", "invalid", "unauthenticated", "rate_limited", "blocked", "failed")
_OUTCOME_WEIGHTS = tuple(accumulate((955, 15, 8, 12, 5, 5)))

# Out of 10,000 events.
_REPEATS, _LATE, _TOO_LATE, _WRONG, _FUTURE, _POISON = 300, 100, 4, 25, 4, 2


def demo_events(seed: int, events: int = 200_000, accounts: int = 300) -> Iterator[dict[str, Any] | bytes]:
    """`events` things that a producer sends: request events with all their fields, or the bytes of a poison message.

    Times (ms) run from START over DAYS days. Not one is drawn from a clock.
    """
    rng = random.Random(seed)  # noqa: S311 -- a demo, and the same each time
    crowd = _Crowd(rng, accounts)
    recent: deque[dict[str, Any]] = deque(maxlen=_RECENT)
    for number in range(events):
        fate = rng.randrange(10_000)
        if fate < _POISON:
            yield _poison(rng)
            continue
        fate -= _POISON
        if fate < _REPEATS and recent:
            yield dict(recent[rng.randrange(len(recent))])
            continue
        fate -= _REPEATS
        at = START + number * DAYS * _DAY // events + rng.randrange(-2_000, 2_000)
        event = crowd.event(f"e{number:06d}", max(at, START))
        _bend(rng, event, fate)
        recent.append(event)
        yield dict(event)


def _bend(rng: random.Random, event: dict[str, Any], fate: int) -> None:
    """Makes one in some events late, too late, of the future, or wrong."""
    if fate < _LATE:
        event["occurred_at"] -= rng.randrange(_MINUTE, 3 * _DAY)
        return
    fate -= _LATE
    if fate < _TOO_LATE:
        event["occurred_at"] -= 36 * _DAY + rng.randrange(_DAY)
        return
    fate -= _TOO_LATE
    if fate < _FUTURE:
        event["occurred_at"] = _YEAR_2100 + rng.randrange(_HOUR)
        return
    fate -= _FUTURE
    if fate < _WRONG:
        field, value = rng.choice(
            (
                ("event_id", ""),
                ("occurred_at", event["occurred_at"] // 1_000),
                ("endpoint", "/" + "x" * 300),
                ("ip", "999.1.1.1"),
                ("domain", "nowhere"),
                ("quantities", {"results": -1}),
            )
        )
        event[field] = value


class _Crowd:
    """Accounts of very different size, each with visitors and companies of its own that come back."""

    def __init__(self, rng: random.Random, accounts: int) -> None:
        self._rng = rng
        self._accounts = [f"account-{number:03d}" for number in range(accounts)]
        self._weights = list(accumulate(1 / (rank + 4) for rank in range(accounts)))

    def event(self, event_id: str, at: int) -> dict[str, Any]:
        """One good event of some account at this time (ms)."""
        rng = self._rng
        number = rng.choices(range(len(self._accounts)), cum_weights=self._weights)[0]
        endpoint, channel, _ = rng.choices(_CALLS, cum_weights=_CALL_WEIGHTS)[0]
        visitor = min(int(rng.expovariate(1 / 150)), 2_000)
        is_visit, is_company = channel != "api", endpoint in {"/pixel/hit", "/v1/company-enrichment"}
        return {
            "event_id": event_id,
            "account_id": self._accounts[number],
            "occurred_at": at,
            "endpoint": endpoint,
            "channel": channel,
            "outcome": rng.choices(_OUTCOMES, cum_weights=_OUTCOME_WEIGHTS)[0],
            "request_id": f"r-{event_id}" if channel == "api" else None,
            "actor": f"key-{rng.randrange(3)}" if channel == "api" else None,
            "user_id": f"visitor-{visitor}" if is_visit else None,
            "ip": None if rng.random() < 0.01 else _address(number, visitor, rng),
            "domain": f"company-{visitor % 40}.example" if is_company and visitor % 3 else None,
            "plan": None,
            "quantities": {"results": rng.randrange(4)} if channel == "api" else {},
            "attributes": {"page": f"/p/{rng.randrange(50)}"} if endpoint == "/pixel/hit" else {},
        }


def _address(account: int, visitor: int, rng: random.Random) -> str:
    """A visitor's address; now and then from elsewhere, or the same one as IPv6 writes it."""
    elsewhere = 100 if rng.random() < 0.05 else 0
    address = f"10.{account % 200}.{visitor // 250 + elsewhere}.{visitor % 250}"
    return f"::ffff:{address}" if rng.random() < 0.02 else address


def _poison(rng: random.Random) -> bytes:
    """Bytes that are no command: noise, noise behind a framing's first bytes, or text."""
    noise = rng.randbytes(rng.randrange(1, 200))
    return rng.choice((noise, b"\xc3\x01" + noise, b"\x00" + noise, b'{"event_id": "this is JSON, not Avro"}'))
