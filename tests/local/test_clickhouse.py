"""The ClickHouse server of this machine: it answers, and keeps its ports and its data over restarts and crashes."""

from pathlib import Path

import pytest
from clickhouse_driver import Client

from local import clickhouse, record
from local.clickhouse import ClickHouseServer
from local.process import ServerFailed
from local.shared import SharedClickHouse

pytestmark = pytest.mark.clickhouse_server


def client(server: ClickHouseServer | SharedClickHouse) -> Client:
    return Client(server.host, server.port, user=server.user, password=server.password)


def test_keeps_its_ports_and_its_data_over_a_restart_and_a_crash(tmp_path: Path) -> None:
    with ClickHouseServer(tmp_path / "server") as server:
        ports, first_pid = (server.port, server.http_port), server.pid
        client(server).execute("CREATE TABLE kept (n UInt64) ENGINE = MergeTree ORDER BY n")
        client(server).execute("INSERT INTO kept VALUES", [(1,)])
        server.restart()
        assert (server.port, server.http_port) == ports
        assert record.process_began(first_pid) is None
        client(server).execute("INSERT INTO kept VALUES", [(2,)])
        server.kill()
        with pytest.raises(ServerFailed, match="is not running"):
            _ = server.pid
        server.start()
        assert (server.port, server.http_port) == ports
        assert client(server).execute("SELECT n FROM kept ORDER BY n") == [(1,), (2,)]
        last_pid = server.pid
    assert record.process_began(last_pid) is None


def test_a_folder_may_have_any_name(tmp_path: Path) -> None:
    folder = tmp_path / "jürgen x" / "a&b<c>\\d"
    with ClickHouseServer(folder) as server:
        client(server).execute("CREATE TABLE kept (n UInt64) ENGINE = MergeTree ORDER BY n")
    assert (folder / "data" / "data" / "default" / "kept").is_dir()
    assert [path.name for path in tmp_path.iterdir()] == ["jürgen x"]
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_two_servers_side_by_side(tmp_path: Path) -> None:
    with ClickHouseServer(tmp_path / "one") as one, ClickHouseServer(tmp_path / "two") as two:
        client(one).execute("CREATE DATABASE of_one")
        assert ("of_one",) not in client(two).execute("SHOW DATABASES")


def test_outlives_its_starter_where_asked_and_is_ended_by_its_record(tmp_path: Path) -> None:
    server = ClickHouseServer(tmp_path / "server", outlive=True).start()
    with pytest.raises(ServerFailed, match=f"already: pid {server.pid}, address 127.0.0.1:{server.port}"):
        ClickHouseServer(tmp_path / "server").start()
    assert record.stop(tmp_path / "server" / "clickhouse.json") is True
    assert not record.stop(tmp_path / "server" / "clickhouse.json")
    server.stop()  # what somebody else has ended is no trouble


def test_an_error_quotes_the_end_of_the_log(tmp_path: Path) -> None:
    folder = tmp_path / "server"
    folder.mkdir()
    (folder / "data").mkdir()
    (folder / "data" / "metadata").write_text("a file where the server needs a folder")
    with pytest.raises(
        ServerFailed, match=r"the ClickHouse server ended by itself with exit code \d+; the end of"
    ) as raised:
        ClickHouseServer(folder).start()
    assert "\n    20" in str(raised.value)  # the log's own lines, indented


def test_says_so_when_it_is_not_started(tmp_path: Path) -> None:
    for name in ("port", "http_port", "version"):
        with pytest.raises(ServerFailed, match="has not been started"):
            getattr(ClickHouseServer(tmp_path), name)


def test_names_every_remedy_when_there_is_no_program_and_no_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(clickhouse, "SYSTEM_FOLDERS", ())
    with pytest.raises(ServerFailed) as caught:
        ClickHouseServer(tmp_path).start()
    assert str(caught.value) == (
        "clickhouse-server was not found, and the system's package cannot be used instead. "
        "The packages clickhouse-server cannot be fetched: "
        "apt-get and dpkg-deb not found: this is no Debian or Ubuntu\n"
        "One of these is enough: install it (as root: apt install clickhouse-server; or put ClickHouse's own program "
        "`clickhouse` on the path), start Docker, or give the address of a server."
    )


def test_a_program_that_only_the_path_of_root_has_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "clickhouse-server"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(clickhouse, "SYSTEM_FOLDERS", (str(tmp_path),))
    assert clickhouse.installed_program() == clickhouse.Program([str(program)], {"CLICKHOUSE_WATCHDOG_ENABLE": "0"})


def test_the_shared_server_answers(clickhouse_server: SharedClickHouse) -> None:
    assert client(clickhouse_server).execute("SELECT version()") == [(clickhouse_server.version,)]
    assert clickhouse_server.fresh_database() != clickhouse_server.fresh_database()
