"""What every test may ask for: a Kafka broker, a ClickHouse server, and the same examples in every run.

A test that asks for a service carries its marker, and a service that cannot be had fails the test with the reason.
"""

import gc
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import settings

from local.choose import NoService
from local.lending import Lender, Ticket, lent_broker, lent_clickhouse
from local.process import ServerFailed
from local.shared import CLICKHOUSE_ADDRESS, KAFKA_ADDRESS, SharedClickHouse, SharedKafka
from local.start import Broker, ClickHouse, start_clickhouse, start_kafka
from metering.compiled import MODE
from tests.sizes import PROFILE, examples

pytest_plugins = ["tests.command"]  # fixtures that run `creditmeter`, for cli, application and stories

Server = TypeVar("Server")
ROOT = Path(__file__).parents[1]
LENDER = pytest.StashKey[Lender]()

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

# Nearly all that is made before the tests stays until their end: to look for garbage in it takes a quarter of the time.
gc.disable()

# `everyday` and `quick` try the same examples in every run, so that a red build is red again.
settings.register_profile("everyday", deadline=None, print_blob=True, derandomize=True)
settings.register_profile("quick", settings.get_profile("everyday"), max_examples=examples(100))
settings.register_profile("thorough", deadline=None, print_blob=True, max_examples=2_000)
settings.load_profile(PROFILE)


def pytest_report_header() -> str:
    return f"hot modules: {MODE}"


def pytest_configure() -> None:
    """Keeps the configuration of whoever runs the tests out of them, and a shell that starts them in the background."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # then each process that a test stops by it would ignore it
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for name in list(os.environ):
        if name.startswith("CREDITMETER_") and not name.startswith(FOR_TESTS):
            del os.environ[name]


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Processes that run tests borrow services from this one, which hands the tests out: they share one of each."""
    if LENDER not in node.config.stash:
        node.config.stash[LENDER] = Lender({
            "kafka": lambda folder: lent_broker(start_kafka(folder)),
            "clickhouse": lambda folder: lent_clickhouse(start_clickhouse(folder)),
        })  # fmt: skip
    node.workerinput["lender"] = tuple(node.config.stash[LENDER].ticket)


def pytest_unconfigure(config: pytest.Config) -> None:
    if LENDER in config.stash:
        config.stash[LENDER].close()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leaves files unread where only quick tests are asked for and none is in them: to import them takes as long."""
    if collection_path.suffix != ".py" or "not slow" not in config.option.markexpr:
        return None
    lines = collection_path.read_text(encoding="utf-8").splitlines()
    return any(line.startswith("pytestmark = ") and "pytest.mark.slow" in line for line in lines) or None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that need no service first, then the longest, so that none of them is left for one process at the end.

    A file stays in one process (`--dist loadfile`).
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
def pytest_runtestloop() -> None:
    gc.collect()
    gc.freeze()
    gc.enable()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Fails a test that uses a service and does not say so, before anything is started for it."""
    for fixture in getattr(item, "fixturenames", ()):
        marker = NEEDS.get(fixture)
        if marker is not None and item.get_closest_marker(marker) is None:
            pytest.fail(f"uses the fixture {fixture!r}: add @pytest.mark.{marker} to the test", pytrace=False)


@pytest.fixture(scope="session")
def kafka(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedKafka]:
    """A broker for the whole run: at the address in CREDITMETER_TEST_BOOTSTRAP_SERVERS, else Docker's, else Java's."""

    def start() -> Broker:
        address = os.environ.get(KAFKA_ADDRESS) or _borrowed("kafka", request.config, tmp_path_factory)
        return start_kafka(tmp_path_factory.mktemp("kafka"), address=address)

    broker = _or_fail(start)
    yield SharedKafka(broker)
    broker.stop()


@pytest.fixture
def own_kafka(tmp_path: Path) -> Iterator[Broker]:
    """A broker of the test's own, which it may kill and restart. Takes five seconds: use `kafka` where that will do."""
    broker = _or_fail(lambda: start_kafka(tmp_path / "own-kafka"))
    yield broker
    broker.stop()


@pytest.fixture(scope="session")
def clickhouse_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SharedClickHouse]:
    """A server for the whole run: at the address in CREDITMETER_TEST_CLICKHOUSE, else as local/README.md says."""

    def start() -> ClickHouse:
        address = os.environ.get(CLICKHOUSE_ADDRESS) or _borrowed("clickhouse", request.config, tmp_path_factory)
        return start_clickhouse(tmp_path_factory.mktemp("clickhouse"), address=address)

    server = _or_fail(start)
    yield SharedClickHouse(server)
    server.stop()


@pytest.fixture
def own_clickhouse(tmp_path: Path) -> Iterator[ClickHouse]:
    """A server of the test's own, which it may kill and restart."""
    server = _or_fail(lambda: start_clickhouse(tmp_path / "own-clickhouse"))
    yield server
    server.stop()


def _borrowed(name: str, config: pytest.Config, folders: pytest.TempPathFactory) -> str | None:
    """The address of the service that all processes of this run share; None where this process is the only one."""
    ticket = getattr(config, "workerinput", {}).get("lender")
    return None if ticket is None else Ticket(*ticket).borrow(name, folders.getbasetemp().parent / name)


def _or_fail(start: Callable[[], Server]) -> Server:
    try:
        return start()
    except (NoService, ServerFailed) as error:
        pytest.fail(str(error), pytrace=False)
