"""A service is started once for all that ask, in whatever process they are, and ends with its lender."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from local.choose import NoService
from local.lending import Lender, Lent, Ticket, lent_clickhouse
from local.process import ServerFailed
from local.shared import SharedClickHouse
from local.start import GivenClickHouse

ROOT = Path(__file__).parents[2]


class Started:
    """A server that does nothing but know where its files are, and whether it was stopped."""

    def __init__(self, folder: Path, *, hangs: bool = False) -> None:
        self.folder = folder
        self.is_stopped = False
        self._hangs = hangs

    def stop(self) -> None:
        if self._hangs:
            raise ServerFailed("it does not end")
        self.is_stopped = True


class Starts:
    """How services of this test are started, and which were. `all_asked` holds back the start of "meter"."""

    def __init__(self) -> None:
        self.servers: list[Started] = []
        self.tries = 0
        self.all_asked = threading.Event()

    def meter(self, folder: Path) -> Lent:
        assert self.all_asked.wait(60)
        self.servers.append(Started(folder))
        return Lent(self.servers[-1], f"at {folder.name}, number {len(self.servers)}")

    def nothing(self, _folder: Path) -> Lent:
        self.tries += 1
        raise NoService("no such thing here")

    def full(self, _folder: Path) -> Lent:
        raise OSError(28, "No space left on device")


@pytest.fixture
def starts() -> Starts:
    return Starts()


@pytest.fixture
def lender(starts: Starts) -> Iterator[Lender]:
    made = Lender({"meter": starts.meter, "nothing": starts.nothing, "full": starts.full})
    yield made
    made.close()


def test_who_asks_while_it_is_started_gets_the_same_one(lender: Lender, starts: Starts, tmp_path: Path) -> None:
    with ThreadPoolExecutor(3) as threads:
        asked = [threads.submit(lender.ticket.borrow, "meter", tmp_path / name) for name in ("a", "b", "c")]
        starts.all_asked.set()
        addresses = {future.result(60) for future in asked}
    assert len(addresses) == len(starts.servers) == 1
    assert starts.servers[0].folder.parent == tmp_path


def test_another_process_borrows_with_what_fits_into_plain_data(lender: Lender, starts: Starts, tmp_path: Path) -> None:
    starts.all_asked.set()
    port, key = lender.ticket
    program = f"from pathlib import Path\nfrom local.lending import Ticket\nprint(Ticket({port}, {key!r}).borrow"
    done = subprocess.run(
        [sys.executable, "-c", f"{program}('meter', Path({str(tmp_path / 'folder')!r})))"],
        cwd=ROOT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("at folder, number 1\n", "")
    assert lender.ticket.borrow("meter", tmp_path / "other") == "at folder, number 1"


def test_why_it_cannot_be_had_is_said_to_all_and_tried_once(lender: Lender, starts: Starts, tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(ServerFailed, match=r"^no such thing here$"):
            lender.ticket.borrow("nothing", tmp_path)
    assert starts.tries == 1
    with pytest.raises(ServerFailed, match=r"^full cannot be started: OSError: .*No space left on device$"):
        lender.ticket.borrow("full", tmp_path)


def test_its_servers_end_with_it_and_nobody_borrows_then(lender: Lender, starts: Starts, tmp_path: Path) -> None:
    starts.all_asked.set()
    lender.ticket.borrow("meter", tmp_path)
    assert [server.is_stopped for server in starts.servers] == [False]
    lender.close()
    assert [server.is_stopped for server in starts.servers] == [True]
    with pytest.raises(ServerFailed, match="meter cannot be borrowed"):
        lender.ticket.borrow("meter", tmp_path)


def test_each_server_ends_where_another_one_does_not(tmp_path: Path) -> None:
    servers = [Started(tmp_path), Started(tmp_path, hangs=True), Started(tmp_path)]
    lender = Lender({f"{at}": lambda _folder, at=at: Lent(servers[at], "here") for at in range(3)})
    for at in range(3):
        lender.ticket.borrow(f"{at}", tmp_path)
    with pytest.raises(ServerFailed, match="it does not end"):
        lender.close()
    assert [server.is_stopped for server in servers] == [True, False, True]


def test_a_stranger_gets_nothing_and_keeps_nobody_out(lender: Lender, starts: Starts, tmp_path: Path) -> None:
    starts.all_asked.set()
    with pytest.raises(ServerFailed, match="meter cannot be borrowed"):
        Ticket(lender.ticket.port, "a guess").borrow("meter", tmp_path)
    assert starts.servers == []
    assert lender.ticket.borrow("meter", tmp_path / "mine") == "at mine, number 1"


@pytest.mark.clickhouse_server
def test_the_address_of_a_server_reaches_it(clickhouse_server: SharedClickHouse) -> None:
    given = GivenClickHouse(lent_clickhouse(clickhouse_server).address)  # type: ignore[arg-type]
    for name in ("host", "port", "http_port", "user", "password", "version"):
        assert getattr(given, name) == getattr(clickhouse_server, name)
