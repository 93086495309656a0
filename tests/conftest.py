"""What every test may ask for: a Kafka broker, a ClickHouse server, and the same examples in every run.

A test that asks for a service carries its marker, and a service that cannot be had fails the test with the reason.
"""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import settings

from local.choose import NoService
from local.process import ServerFailed
from local.shared import CLICKHOUSE_ADDRESS, KAFKA_ADDRESS, SharedClickHouse, SharedKafka
from local.start import Broker, ClickHouse, start_clickhouse, start_kafka
from metering.compiled import MODE

pytest_plugins = ["tests.command"]  # fixtures that run `creditmeter`, for cli, application and stories

Server = TypeVar("Server")
ROOT = Path(__file__).parents[1]

# Fixture -> the marker that a test which uses it must carry.
NEEDS = {
    "kafka": "kafka",
    "rated": "kafka",
    "own_kafka": "kafka",
    "clickhouse_server": "clickhouse_server",
    "own_clickhouse": "clickhouse_server",
}

# Files with tests on services that take half a minute and more, the longest first (`--durations=60` shows them).
LONGEST = (
    "stories/test_restored_log.py", "stories/test_up.py", "stories/test_real_broker.py", "stories/test_bad_input.py",
    "stories/test_real_crashes.py", "stories/test_bad_surroundings.py", "stories/test_real_store.py",
    "stories/test_demo.py", "stories/test_kills.py", "stories/test_strays.py", "cli/bills/test_audit.py",
    "streams/shell/test_shell.py", "streams/loading/test_continuity.py", "stories/test_access_log_bill.py",
    "stories/test_client_losses.py", "stories/test_accepted.py",
)  # fmt: skip

# What of the environment is for the tests themselves, and no setting of somebody's installation.
FOR_TESTS = ("CREDITMETER_TEST_", "CREDITMETER_INTERPRETED", "CREDITMETER_SIMULATIONS", "CREDITMETER_SEED")

# Hundreds of processes are started from this source: each would compile it anew where this is set.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# `everyday` tries the same examples in every run, so that a red build is red again; `thorough` looks for new ones.
settings.register_profile("everyday", deadline=None, print_blob=True, derandomize=True)
settings.register_profile("thorough", deadline=None, print_blob=True, max_examples=2_000)
settings.load_profile(os.environ.get("CREDITMETER_TEST_HYPOTHESIS", "everyday"))


def pytest_report_header() -> str:
    return f"hot modules: {MODE}"


def pytest_configure() -> None:
    """Keeps the configuration of whoever runs the tests out of them."""
    for name in list(os.environ):
        if name.startswith("CREDITMETER_") and not name.startswith(FOR_TESTS):
            del os.environ[name]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that need no service first, then the longest, so that none of them is left for one process at the end.

    A file stays in one process (`--dist loadfile`), and each process that needs a broker or a server starts its own.
    """
    with_service = {item.path for item in items if any(map(item.get_closest_marker, NEEDS.values()))}
    longest = [ROOT / "tests" / name for name in LONGEST]

    def rank(item: pytest.Item) -> int:
        if item.path not in with_service:
            return 0
        return 1 + (longest.index(item.path) if item.path in longest else len(longest))

    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=rank)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Fails a test that uses a service and does not say so, before anything is started for it."""
    for fixture in getattr(item, "fixturenames", ()):
        marker = NEEDS.get(fixture)
        if marker is not None and item.get_closest_marker(marker) is None:
            pytest.fail(f"uses the fixture {fixture!r}: add @pytest.mark.{marker} to the test", pytrace=False)


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedKafka]:
    """A broker for the whole run: at the address in CREDITMETER_TEST_BOOTSTRAP_SERVERS, else Docker's, else Java's."""
    address = os.environ.get(KAFKA_ADDRESS)
    broker = _or_fail(lambda: start_kafka(tmp_path_factory.mktemp("kafka"), address=address))
    yield SharedKafka(broker)
    broker.stop()


@pytest.fixture
def own_kafka(tmp_path: Path) -> Iterator[Broker]:
    """A broker of the test's own, which it may kill and restart. Takes five seconds: use `kafka` where that will do."""
    broker = _or_fail(lambda: start_kafka(tmp_path / "own-kafka"))
    yield broker
    broker.stop()


@pytest.fixture(scope="session")
def clickhouse_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedClickHouse]:
    """A server for the whole run: at the address in CREDITMETER_TEST_CLICKHOUSE, else as local/README.md says."""
    address = os.environ.get(CLICKHOUSE_ADDRESS)
    server = _or_fail(lambda: start_clickhouse(tmp_path_factory.mktemp("clickhouse"), address=address))
    yield SharedClickHouse(server)
    server.stop()


@pytest.fixture
def own_clickhouse(tmp_path: Path) -> Iterator[ClickHouse]:
    """A server of the test's own, which it may kill and restart."""
    server = _or_fail(lambda: start_clickhouse(tmp_path / "own-clickhouse"))
    yield server
    server.stop()


def _or_fail(start: Callable[[], Server]) -> Server:
    try:
        return start()
    except (NoService, ServerFailed) as error:
        pytest.fail(str(error), pytrace=False)
