"""Rate limits of the price book: what is counted, what is refused, what is recorded of it."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from creditmeter_client import Outcome, Usage
from creditmeter_client.middleware import RateLimit, RateLimits, rate_limits_of_book
from creditmeter_client.middleware.breaker import Breaker, BreakerPolicy
from creditmeter_client.middleware.refused_calls import WINDOW, RefusedCalls

from application.prices.rate_limit_counters import RedisCounters
from local.redis import RedisServer
from metering.book import RateLimit as BookRateLimit
from tests.client.middleware.apps import Served, answering, call_asgi, get, get_wsgi, scope_of, wsgi_answering
from tests.client.scripted import NOW

CALLS = int(os.environ.get("CREDITMETER_TEST_CALLS", "1000"))
CLIENT = Path(__file__).parents[3] / "client"
# A day, so that no test meets the end of a window.
DAILY = RateLimit("people", {"endpoint": ("/v1/people*",)}, 5, 86_400, {"pro": 50, "team": 20, "tiny": 1})


def test_beyond_the_limit_a_call_is_429_with_what_a_client_needs_to_know() -> None:
    served = Served(answering(b"{}"), rate_limits=RateLimits([DAILY]))
    answers = [get(served.asgi) for _ in range(7)]
    assert [answer.status for answer in answers] == [200] * 5 + [429] * 2
    refused = answers[-1]
    (retry_after,) = refused.header("retry-after")
    assert 1 <= int(retry_after) <= 86_400
    assert refused.header("ratelimit-policy") == ['"people";q=5;w=86400']
    assert refused.header("ratelimit") == [f'"people";r=0;t={retry_after}']
    problem = json.loads(refused.body)
    assert (problem["status"], problem["limit"], problem["plan"]) == (429, "people", "team")
    assert get(served.asgi, x_account="globex").status == 200
    assert get(served.asgi, "/v1/free").status == 200
    served.close()


def test_answers_within_the_limit_are_not_touched() -> None:
    served = Served(answering(b"[]"), rate_limits=RateLimits([DAILY]))
    alone = get(served.app)
    assert get(served.asgi).headers == alone.headers
    served.close()


def test_a_plan_has_its_own_number() -> None:
    limits = RateLimits([DAILY])
    for plan, allowed in (("pro", 50), ("tiny", 1), (None, 5), ("other", 5)):
        usage = Usage(f"of {plan}", "/v1/people", plan=plan)
        assert [limits.check(usage, 0.0) is None for _ in range(allowed + 1)] == [True] * allowed + [False]


def test_only_what_matches_is_counted() -> None:
    rule = RateLimit("r", {"channel": ("api",), "attributes.mode": ("deep", "de*")}, 1, 86_400)
    assert rule.matches(Usage("a", "/x", attributes={"mode": "deeper"}))
    assert not rule.matches(Usage("a", "/x", attributes={"mode": "fast"}))
    assert not rule.matches(Usage("a", "/x"))
    assert not rule.matches(Usage("a", "/x", channel="js", attributes={"mode": "deep"}))


def test_many_refused_calls_make_few_events_and_a_true_count() -> None:
    served = Served(answering(b"{}"), rate_limits=RateLimits([DAILY]))

    async def run() -> list[int]:
        return [(await call_asgi(served.asgi, scope_of())).status for _ in range(CALLS + 5)]

    assert Counter(asyncio.run(run())) == {200: 5, 429: CALLS}
    served.close()
    events = [event for event in served.transport.events if event.fields["outcome"] == "rate_limited"]
    assert sum(event.fields["quantities"]["refused"] for event in events) == CALLS
    assert len(events) < CALLS / 10
    assert len(served.transport.events) == len(events) + 5


def test_there_is_one_event_for_ten_seconds() -> None:
    refused = RefusedCalls(lambda: NOW)
    counts = []
    for tenth in range(1_000):  # a hundred seconds, ten calls in each
        refused.note(Usage("acme", "/x"), Outcome.RATE_LIMITED, tenth / 10)
        counts += [event.fields["quantities"]["refused"] for event in refused(tenth / 10)]
    counts += [event.fields["quantities"]["refused"] for event in refused(float("inf"))]
    assert sum(counts) == 1_000
    assert len(counts) <= 100 / WINDOW + 1


def test_a_child_does_not_record_what_its_parent_has_counted() -> None:
    served = Served(answering(b"{}"), rate_limits=RateLimits([DAILY]))
    for _ in range(8):
        get(served.asgi)
    served.meter._after_fork()
    served.close()
    assert [event for event in served.transport.events if event.fields["outcome"] == "rate_limited"] == []


def test_many_kinds_of_calls_take_bounded_memory() -> None:
    refused = RefusedCalls(lambda: NOW)
    events = [
        event for number in range(25_000) for event in refused.note(Usage("a", f"/{number}"), Outcome.BLOCKED, 0.0)
    ]
    events += refused(float("inf"))
    assert len(events) == 25_000
    assert len(refused._counts) == 0


def test_wsgi_refuses_in_the_same_way() -> None:
    served = Served(wsgi_answering(b"{}"), rate_limits=RateLimits([DAILY]))
    assert [get_wsgi(served.wsgi).status for _ in range(6)] == [200] * 5 + [429]
    served.close()


def test_the_book_says_them() -> None:
    entries = [
        {"name": "search", "when": {"endpoint": "/v1/search*"}, "requests": 60, "per": "1m", "plans": {"pro": 600}},
        {"name": "all", "requests": 5, "per": "2d"},
    ]
    assert rate_limits_of_book(entries) == [
        RateLimit("search", {"endpoint": ("/v1/search*",)}, 60, 60, {"pro": 600}),
        RateLimit("all", {}, 5, 172_800, {}),
    ]


@pytest.mark.parametrize(
    "wrong", [{"per": "1 week"}, {"requests": 0}, {"requests": "x"}, {"name": None}, {"plans": {"a": 0}}]
)
def test_a_wrong_entry_is_named(wrong: dict[str, object]) -> None:
    entry = {"name": "r", "requests": 1, "per": "1m", **wrong}
    if entry["name"] is None:
        del entry["name"]
    with pytest.raises(ValueError, match="entry 2"):
        rate_limits_of_book([{"name": "r", "requests": 1, "per": "1m"}, entry])


def test_an_address_that_is_none_of_redis_is_refused() -> None:
    with pytest.raises(ValueError, match="Redis"):
        RateLimits([], redis_url="memory://")


def test_without_redis_calls_are_let_in_and_the_log_says_so(caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    limits = RateLimits([DAILY], redis_url=f"redis://127.0.0.1:{port}/0")
    assert [limits.check(Usage("acme", "/v1/people"), 0.0) for _ in range(6)] == [None] * 6
    assert "can't be counted" in caplog.text


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """An installed redis-server, else the one of the system's package, unpacked in the cache."""
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.mark.slow
def test_two_processes_over_redis_keep_one_limit(redis: RedisServer) -> None:
    program = textwrap.dedent(
        """
        import sys
        from creditmeter_client import Usage
        from creditmeter_client.middleware import RateLimit, RateLimits
        limits = RateLimits([RateLimit("shared", {}, 100, 86_400)], redis_url=sys.argv[1], timeout=60.0)
        print(sum(limits.check(Usage("acme", "/x"), 0.0) is None for _ in range(80)))
        """
    )
    command = [sys.executable, "-c", program, redis.url]
    paths = {**os.environ, "PYTHONPATH": str(CLIENT)}
    both = [subprocess.Popen(command, env=paths, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert sum(int(process.communicate(timeout=120)[0]) for process in both) == 100


@pytest.mark.slow
def test_the_servers_count_is_the_clients(redis: RedisServer) -> None:
    limits = RateLimits([RateLimit("daily", {}, 5, 86_400)], redis_url=redis.url)
    counters = RedisCounters(redis.url)
    limit = BookRateLimit("daily", {}, 5, 86_400_000, {})
    before = counters.count(limit, 5, "counted")
    assert before is not None
    assert (before.used, before.remaining) == (0, 5)
    for _ in range(3):
        assert limits.check(Usage("counted", "/x"), time.time()) is None
    after = counters.count(limit, 5, "counted")
    assert after is not None
    assert (after.used, after.remaining, after.reset_at > 1_700_000_000_000) == (3, 2, True)
    other = counters.count(limit, 5, "another")
    assert other is not None
    assert other.used == 0


@pytest.mark.slow
def test_a_redis_that_hangs_holds_up_few_requests_and_is_asked_again(
    redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    limits = RateLimits([RateLimit("hanging", {}, 1, 86_400)], redis_url=redis.url)
    limits._breaker = Breaker(BreakerPolicy(failures=3, pause=0.5))
    usage = Usage("acme", "/x")
    os.kill(redis.pid, signal.SIGSTOP)
    try:
        assert [limits.check(usage, 0.0) for _ in range(200)] == [None] * 200
        assert 3 <= caplog.text.count("can't be counted") < 100  # the others did not ask
    finally:
        os.kill(redis.pid, signal.SIGCONT)
    deadline = time.monotonic() + 60
    while limits.check(usage, 0.0) is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.slow
def test_a_redis_that_was_killed_counts_again_when_it_is_back(redis: RedisServer) -> None:
    limits = RateLimits([RateLimit("killed", {}, 2, 86_400)], redis_url=redis.url, timeout=60.0)
    usage = Usage("acme", "/x")
    assert [limits.check(usage, 0.0) is None for _ in range(3)] == [True, True, False]
    redis.kill()
    assert limits.check(usage, 0.0) is None
    redis.restart()  # its counters are gone
    assert [limits.check(usage, 0.0) is None for _ in range(3)] == [True, True, False]
