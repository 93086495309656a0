"""Every session is in UTC, whatever the machine and the server think."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from local import clickhouse
from local.clickhouse import ClickHouseServer
from sinks.migrate import migrate
from sinks.server import ServerAddress, ServerSink
from sinks.sink import Sink, SinkRejected
from tests.sinks.old_server import OldServerSink

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
    found, text, zone_is_kept = json.loads(done.stdout)
    assert found == {**EXPECTED, "best": EXPECTED["at"]}
    assert text == '"1970-01-01 00:00:00","UTC"\n'
    assert zone_is_kept


def test_times_without_a_zone_mean_utc_in_every_store(sink: Sink) -> None:
    assert sink.query(ASKED).dicts() == [EXPECTED]
    assert sink.query(ASKED, readonly=False).dicts() == [EXPECTED]
    if not isinstance(sink, OldServerSink):  # 18.16 has no parseDateTimeBestEffort that reads this form alike
        assert sink.query(BEST_EFFORT).rows == [(EXPECTED["at"],)]


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
