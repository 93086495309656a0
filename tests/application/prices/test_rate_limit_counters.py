"""Reading what was counted in Redis: what is wrong is said, and a Redis that is away hides nothing but the counts."""

from __future__ import annotations

import socket

import pytest

from application.errors import Misconfigured
from application.prices.rate_limit_counters import RedisCounters
from metering.book import RateLimit


def test_an_address_that_is_none_of_redis_is_refused() -> None:
    with pytest.raises(Misconfigured, match="rate_limits_redis"):
        RedisCounters("memory://")


def test_without_redis_nothing_is_known_and_the_log_says_so(caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        counters = RedisCounters(f"redis://127.0.0.1:{free.getsockname()[1]}/0")
        assert counters.count(RateLimit("search", {}, 5, 60_000, {}), 5, "acme") is None
    assert "cannot be read from Redis" in caplog.text
