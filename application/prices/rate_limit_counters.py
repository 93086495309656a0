"""What accounts have used of the price book's rate limits, where services count them in Redis.

The counters are the client's (docs/client.md): the `limits` library's, by account and name of the limit, in its sliding
windows. Here they are only read.
"""

from __future__ import annotations

import logging
from typing import Any, NamedTuple

from application.errors import Misconfigured
from metering.book import RateLimit

logger = logging.getLogger("creditmeter.http")

NAMESPACE = "creditmeter"
"""What the client's counters begin with."""


class Count(NamedTuple):
    """Requests `used` and `remaining` in the present window; `reset_at`: when it has all of them again, in ms."""

    used: int
    remaining: int
    reset_at: int


class RedisCounters:
    """Counters at a Redis. Raises Misconfigured where the library is missing, or the address is none of Redis."""

    def __init__(self, url: str) -> None:
        try:
            from limits import RateLimitItemPerSecond  # noqa: PLC0415 -- an extra
            from limits.storage import storage_from_string  # noqa: PLC0415
            from limits.strategies import SlidingWindowCounterRateLimiter  # noqa: PLC0415
        except ImportError as error:
            raise Misconfigured("rate_limits_redis needs: pip install 'creditmeter[redis]'") from error
        if not url.startswith(("redis://", "rediss://", "redis+", "rediss+")):
            raise Misconfigured("rate_limits_redis: should be redis://HOST:PORT/0, or rediss://")
        self._item: Any = RateLimitItemPerSecond
        self._limiter: Any = SlidingWindowCounterRateLimiter(storage_from_string(url))

    def count(self, limit: RateLimit, allowed: int, account_id: str) -> Count | None:
        """What the account has used; None where Redis does not answer, which is logged. Blocks: call it in a thread."""
        item = self._item(allowed, limit.per // 1_000, namespace=NAMESPACE)
        try:
            stats = self._limiter.get_window_stats(item, account_id, limit.name)
        except Exception as error:  # noqa: BLE001 -- whatever the client of Redis raises: limits are shown without it
            logger.warning("the rate limit %s cannot be read from Redis: %s", limit.name, type(error).__name__)
            return None
        remaining = max(0, min(allowed, int(stats.remaining)))
        return Count(allowed - remaining, remaining, int(stats.reset_time * 1_000))
