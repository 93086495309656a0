"""Faust reads its settings from the environment before those that it is given; the shell lets it read none."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.shell.shell import Shell, ShellSettings
from streams.shell.transport import SEEK_PATIENCE
from tests.streams.shell.handlers import NoHandler


def test_names_that_others_set_for_their_own_use_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (
        ("BROKER_URL", "kafka://elsewhere:9092"), ("PROCESSING_GUARANTEE", "exactly_once"),
        ("BROKER_REQUEST_TIMEOUT", "16"), ("BROKER_COMMIT_INTERVAL", "600"), ("CONSUMER_AUTO_OFFSET_RESET", "latest"),
        ("STREAM_WAIT_EMPTY", "false"), ("APP_DATADIR", str(tmp_path / "elsewhere")), ("APP_WEB_ENABLED", "true"),
    ):  # fmt: skip
        monkeypatch.setenv(name, value)
    settings = ShellSettings("127.0.0.1:1", "g", ("t",), tmp_path / "scratch")
    conf = Shell(settings, NoHandler()).app.conf
    assert [str(url) for url in conf.broker_consumer] == ["aiokafka://127.0.0.1:1"]
    assert conf.processing_guarantee.value == "at_least_once"
    assert (conf.broker_request_timeout, conf.broker_commit_interval) == (SEEK_PATIENCE, 1.0)
    assert conf.consumer_auto_offset_reset == "earliest"
    assert conf.stream_wait_empty
    assert conf.datadir == tmp_path / "scratch"
    assert not conf.web_enabled
