"""`python -m local`: says how the tests get Kafka, ClickHouse, Redis and Chromium; exit code 1 where they cannot.

With `--fetch`, what they need is fetched now, so that no test has to wait for it. Addresses come from
CREDITMETER_TEST_BOOTSTRAP_SERVERS and CREDITMETER_TEST_CLICKHOUSE, as in the tests.
"""

import os
import sys
from collections.abc import Sequence

from local import chromium, clickhouse, jars, packages, redis
from local.broker import prepare_broker
from local.cache import cache_folder, print_progress
from local.choose import NoService, Way
from local.process import ServerFailed
from local.shared import CLICKHOUSE_ADDRESS, KAFKA_ADDRESS
from local.start import clickhouse_way, kafka_way

_ELSEWHERE = {Way.ADDRESS: "at the address given in {variable}", Way.DOCKER: "in a Docker container"}


def main(arguments: Sequence[str]) -> int:
    """Prints one line for each service, on standard error, and returns the exit code."""
    if arguments not in ([], ["--fetch"]):
        print_progress("usage: python -m local [--fetch]")
        return 2
    failures = 0
    for prepare in (_kafka, _clickhouse, _redis, _chromium):
        try:
            prepare(fetch=bool(arguments))
        except (NoService, ServerFailed) as error:
            print_progress(str(error))
            failures += 1
    return 1 if failures else 0


def _kafka(*, fetch: bool) -> None:
    way = kafka_way(os.environ.get(KAFKA_ADDRESS))
    if way in _ELSEWHERE:
        source = _ELSEWHERE[way].format(variable=KAFKA_ADDRESS)
    else:
        source = f"by this machine's Java, with the broker's jars {_in_cache(fetched=jars.fetched())}"
    print_progress(f"Kafka: {source}")
    if fetch and way is Way.LOCAL:
        prepare_broker()


def _clickhouse(*, fetch: bool) -> None:
    way = clickhouse_way(os.environ.get(CLICKHOUSE_ADDRESS))
    if way in _ELSEWHERE:
        source = _ELSEWHERE[way].format(variable=CLICKHOUSE_ADDRESS)
    elif way is Way.LOCAL:
        source = "by this machine's clickhouse-server"
    else:
        in_cache = _in_cache(fetched=packages.fetched(clickhouse.PACKAGE))
        source = f"by the system's package {clickhouse.PACKAGE} {in_cache}"
    print_progress(f"ClickHouse: {source}")
    if fetch and way is Way.PACKAGE:
        clickhouse.fetched_program()


def _chromium(*, fetch: bool) -> None:
    if chromium.installed() is not None:
        source = "this machine's"
    else:
        in_cache = _in_cache(fetched=packages.fetched(*chromium.PACKAGES))
        source = f"the system's package {in_cache}"
    print_progress(f"Chromium: {source}")
    if fetch:
        chromium.browser()


def _redis(*, fetch: bool) -> None:
    if redis.installed_program() is not None:
        print_progress("Redis: by this machine's redis-server")
        return
    in_cache = _in_cache(fetched=packages.fetched(redis.PACKAGE))
    print_progress(f"Redis: by the system's package {redis.PACKAGE} {in_cache}")
    if fetch:
        try:
            redis.fetched_program()
        except ServerFailed as error:
            print_progress(f"{error}\nOnly the tests of rate limits that processes share need it, and will fail.")


def _in_cache(*, fetched: bool) -> str:
    return f"in {cache_folder()}" if fetched else f"to be fetched into {cache_folder()} (once, without root)"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
