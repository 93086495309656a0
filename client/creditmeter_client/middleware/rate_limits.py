"""The rate limits of the price book, kept with the `limits` library (`pip install 'creditmeter-client[rate-limits]'`).

Counters are in Redis where an address is given: then all processes keep one limit. Else they are in memory, and each
process keeps its own.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from creditmeter_client.clock import SystemClock
from creditmeter_client.errors import MeterError
from creditmeter_client.middleware.breaker import Breaker
from creditmeter_client.usage import Usage

logger = logging.getLogger(__name__)

NAMESPACE = "creditmeter"
_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_PERIOD = re.compile(r"([1-9][0-9]*)([smhd])")


@dataclass(frozen=True)
class RateLimit:
    """How many requests an account may make in `per` seconds where `when` matches (SPEC 2, `rate_limits`).

    `when`: by field (endpoint, channel, plan, attributes.NAME) the values that match, a trailing * being a prefix.
    `plans`: other numbers for these plans.
    """

    name: str
    when: Mapping[str, tuple[str, ...]]
    requests: int
    per: int
    plans: Mapping[str, int] = field(default_factory=dict)

    def matches(self, usage: Usage) -> bool:
        return all(_is_one_of(_field(usage, name), values) for name, values in self.when.items())

    def requests_of(self, plan: str | None) -> int:
        return self.plans.get(plan, self.requests) if plan is not None else self.requests


@dataclass(frozen=True)
class Refusal:
    """A limit that is used up. `retry_after` in whole seconds, at least 1; `plan`: one that would allow more."""

    limit: RateLimit
    allowed: int
    retry_after: int
    plan: str | None

    def headers(self) -> dict[str, str]:
        """Retry-After, and the RateLimit fields of draft-ietf-httpapi-ratelimit-headers."""
        name = re.sub(r"[^ !#-\[\]-~]", "_", self.limit.name)
        return {
            "retry-after": str(self.retry_after),
            "ratelimit-policy": f'"{name}";q={self.allowed};w={self.limit.per}',
            "ratelimit": f'"{name}";r=0;t={self.retry_after}',
        }


class RateLimits:
    """Counts and refuses. Blocks for Redis, where there is one; the ASGI middleware calls it in a thread then.

    A Redis that does not answer within `timeout` seconds limits nothing. After five failures in a row it is left alone,
    and tried again every five seconds, so that requests don't wait for it.
    """

    def __init__(self, rules: Iterable[RateLimit], *, redis_url: str | None = None, timeout: float = 0.25) -> None:
        """Raises MeterError where the library is missing, ValueError for an address that is none of Redis."""
        try:
            from limits import RateLimitItemPerSecond  # noqa: PLC0415 -- an extra
            from limits.storage import storage_from_string  # noqa: PLC0415
            from limits.strategies import SlidingWindowCounterRateLimiter  # noqa: PLC0415
        except ImportError as error:
            raise MeterError("rate limits need: pip install 'creditmeter-client[rate-limits]'") from error
        if redis_url is not None and not redis_url.startswith(("redis://", "rediss://", "redis+", "rediss+")):
            raise ValueError(f"{redis_url!r} is no address of Redis: write redis://HOST:PORT/0")
        self.is_shared = redis_url is not None
        self._rules = tuple(rules)
        self._item: Callable[..., Any] = RateLimitItemPerSecond
        times = {"socket_timeout": timeout, "socket_connect_timeout": timeout} if self.is_shared else {}
        self._limiter: Any = SlidingWindowCounterRateLimiter(storage_from_string(redis_url or "memory://", **times))
        self._breaker = Breaker()
        self._clock = SystemClock()

    def check(self, usage: Usage, now: float) -> Refusal | None:
        """Counts one request against every limit that matches; the first that is used up. `now`: epoch seconds.

        When Redis does not answer the request is let in, and an error is logged: a limit is no reason to be down.
        """
        for rule in self._rules:
            if rule.matches(usage) and self._breaker.may_wait(self._clock.monotonic()):
                try:
                    refusal = self._count(rule, usage, now)
                except Exception as error:  # noqa: BLE001 -- whatever the storage raises
                    self._let_in(rule, error)
                    continue
                self._breaker.note(self._clock.monotonic(), answered=True)
                if refusal is not None:
                    return refusal
        return None

    def _count(self, rule: RateLimit, usage: Usage, now: float) -> Refusal | None:
        allowed = rule.requests_of(usage.plan)
        item = self._item(allowed, rule.per, namespace=NAMESPACE)
        if self._limiter.hit(item, usage.account_id, rule.name):
            return None
        reset = self._limiter.get_window_stats(item, usage.account_id, rule.name).reset_time
        wait = max(1, min(rule.per, math.ceil(reset - now)))
        return Refusal(rule, allowed, wait, _larger_plan(rule, allowed))

    def _let_in(self, rule: RateLimit, error: Exception) -> None:
        self._breaker.note(self._clock.monotonic(), answered=False)
        logger.error("the rate limit %s can't be counted, so requests are let in: %s", rule.name, error)


def rate_limits_of_book(entries: Iterable[Mapping[str, Any]]) -> list[RateLimit]:
    """The rules in a price book's `rate_limits`, as YAML or JSON gives them. Raises ValueError naming the entry."""
    return [_rule(number, entry) for number, entry in enumerate(entries, 1)]


def _rule(number: int, entry: Mapping[str, Any]) -> RateLimit:
    try:
        period = _PERIOD.fullmatch(str(entry["per"]))
        requests = int(entry["requests"])
        plans = {str(plan): int(count) for plan, count in (entry.get("plans") or {}).items()}
        when = {
            str(name): (values,) if isinstance(values, str) else tuple(map(str, values))
            for name, values in (entry.get("when") or {}).items()
        }
        name = str(entry["name"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"rate_limits, entry {number}: {error!r}") from error
    if period is None:
        raise ValueError(f"rate_limits, entry {number}: per must be like 30s, 1m, 1h or 1d, not {entry['per']!r}")
    if min(requests, *plans.values(), requests) < 1:
        raise ValueError(f"rate_limits, entry {number}: requests must be at least 1")
    return RateLimit(name, when, requests, int(period[1]) * _UNITS[period[2]], plans)


def _field(usage: Usage, name: str) -> str | None:
    if name.startswith("attributes."):
        return usage.attributes.get(name.partition(".")[2])
    value = getattr(usage, name, None)
    return value if isinstance(value, str) else None


def _is_one_of(value: str | None, patterns: tuple[str, ...]) -> bool:
    return value is not None and any(
        value.startswith(pattern[:-1]) if pattern.endswith("*") else value == pattern for pattern in patterns
    )


def _larger_plan(rule: RateLimit, allowed: int) -> str | None:
    larger = {plan: count for plan, count in rule.plans.items() if count > allowed}
    return min(larger, key=larger.__getitem__) if larger else None
