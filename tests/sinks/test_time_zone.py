"""Every session is in UTC, whatever the machine and the server think."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from local import clickhouse
from local.clickhouse import ClickHouseServer
from sinks.embedded import EmbeddedSink
from sinks.formats import as_text
from sinks.migrate import migrate
from sinks.server import ServerAddress, ServerSink
from sinks.sink import Sink, SinkRejected
from tests.sinks.old_server import OldServerSink

pytestmark = pytest.mark.slow

ZONES = ["UTC", "Pacific/Auckland", "America/New_York", "NPT-5:45", "<+13>-13", "Nowhere/Atall", ":/nowhere", "", None]
ASKED = """
SELECT toUnixTimestamp(toDateTime('2026-01-01 00:00:00')) AS at, toString(toDateTime(86400)) AS text,
    today() = toDate(toTimeZone(now(), 'UTC')) AS day, toDate(now()) = toDate(toTimeZone(now(), 'UTC')) AS now_day
"""
BEST_EFFORT = "SELECT toUnixTimestamp(parseDateTimeBestEffort('2026-01-01 00:00:00')) AS best"
EXPECTED = {"at": 1_767_225_600, "text": "1970-01-02 00:00:00", "day": 1, "now_day": 1}

PROGRAM = """
import json, sys, time
from pathlib import Path
before = time.strftime("%z")
from sinks.embedded import EmbeddedSink
sink = EmbeddedSink(Path(sys.argv[1]))
found = {**sink.query(sys.argv[2]).dicts()[0], **sink.query(sys.argv[3]).dicts()[0]}
text = sink.query_text("SELECT toDateTime(0), timezone()", "CSV").decode()
sink.close()
print(json.dumps([found, text, before == time.strftime("%z")]))
"""


@pytest.mark.parametrize("zone", ZONES)
def test_the_embedded_engine_is_in_utc_whatever_tz_says(tmp_path: Path, zone: str | None) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    environment.pop("TZ", None)
    if zone is not None:
        environment["TZ"] = zone
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "data"), ASKED, BEST_EFFORT]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    zone_name, text, zone_is_kept = json.loads(done.stdout)
    assert zone_name == {**EXPECTED, "best": EXPECTED["at"]}
    assert text == '"1970-01-01 00:00:00","UTC"\n'
    assert zone_is_kept


def test_times_without_a_zone_mean_utc_in_every_store(sink: Sink) -> None:
    assert sink.query(ASKED).dicts() == [EXPECTED]
    assert sink.query(ASKED, readonly=False).dicts() == [EXPECTED]
    if not isinstance(sink, OldServerSink):  # 18.16 has no parseDateTimeBestEffort that reads this form alike
        assert sink.query(BEST_EFFORT).rows == [(EXPECTED["at"],)]


@pytest.mark.parametrize("output_format", ["CSV", "TabSeparated", "JSONEachRow"])
def test_times_are_printed_alike_by_every_store(
    embedded_of_module: EmbeddedSink, current_of_module: ServerSink, output_format: str
) -> None:
    plain = ["toDateTime(86400)", "toDateTime64('2026-01-01 00:00:00.125', 3)", "toNullable(toDateTime(1))"]
    zoned = [
        "toDateTime(86400, 'Pacific/Auckland')", "toTimeZone(toDateTime(0), 'Asia/Kathmandu')",
        "toDateTime64('2026-01-01 00:00:00.125', 6, 'America/New_York')", "toDate(toDateTime(86399))",
    ]  # fmt: skip
    for times in (plain, [*plain, *zoned]):
        sql = f"SELECT {', '.join(f'{time} AS t{number}' for number, time in enumerate(times))}"
        text = embedded_of_module.query_text(sql, output_format)
        assert as_text(embedded_of_module.query(sql), output_format) == text
        if times is plain:  # the native format without a revision drops zones, unlike a server's
            assert current_of_module.query_text(sql, output_format) == text
    row = embedded_of_module.query(sql).rows[0]
    assert row[0] == row[3] == datetime(1970, 1, 2, tzinfo=UTC)


SERVER_PROGRAM = """
from clickhouse_driver.columns import datetimecolumn
datetimecolumn.get_localzone_name_compat = lambda: "UTC"  # what the driver finds in /etc on such a machine
from types import SimpleNamespace
import sinks.server
server = SimpleNamespace(get_timezone=lambda: "UTC")
context = SimpleNamespace(settings={}, server_info=server, client_settings={"input_format_null_as_default": False})
column = datetimecolumn.create_datetime_column("DateTime", {"context": context})
print(column.after_read_items([86400])[0])
"""


def test_the_driver_reads_times_without_this_machine_s_zone() -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "TZ": "NPT-5:45"}
    done = subprocess.run([sys.executable, "-c", SERVER_PROGRAM], env=environment, capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("1970-01-02 00:00:00\n", 0), done.stderr


def test_a_reader_cannot_leave_utc(sink: Sink) -> None:
    with pytest.raises(SinkRejected):
        sink.query("SELECT toDateTime('2026-01-01 00:00:00') SETTINGS session_timezone = 'Pacific/Auckland'")


@pytest.mark.clickhouse_server
def test_an_old_server_of_another_zone_is_refused_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes no session_timezone. A newer one in the same zone answers in UTC."""
    zone = "Pacific/Auckland"
    settings = clickhouse.SERVER.replace("<timezone>UTC", f"<timezone>{zone}")
    assert settings != clickhouse.SERVER
    monkeypatch.setattr(clickhouse, "SERVER", settings)
    with ClickHouseServer(tmp_path / "server") as server:
        address = ServerAddress(server.host, server.port, database="elsewhere")
        if not server.version.startswith("18."):
            sink = ServerSink(address)
            migrate(sink)
            assert sink.query(ASKED).dicts() == [EXPECTED]
            sink.close()
            return
        with pytest.raises(SinkRejected, match=f"time zone {zone}"):
            migrate(OldServerSink(address))
        plain = ServerAddress(server.host, server.port, database="default")
        client = OldServerSink(plain)._connect({})
        assert ("elsewhere",) not in client.execute("SHOW DATABASES")
        client.disconnect()
