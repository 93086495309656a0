"""What a producer of outputs says while Kafka is away; that it is right is in `contract_logs`."""

from __future__ import annotations

import logging

import pytest

from schemas.batches import read_position
from streams import clock
from streams.log.client import logger
from streams.log.output_log import KafkaOutputLog

NOWHERE = "127.0.0.1:1"


def test_outputs_that_wait_for_kafka_are_logged_also_where_others_are_worked_on_meanwhile(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = [1_000.0]
    monkeypatch.setattr(clock, "monotonic", lambda: now[0])
    log = KafkaOutputLog(NOWHERE, read_position)
    try:
        with caplog.at_level(logging.WARNING, logger.name):
            log.serve(0)
            now[0] += 3_600  # with nothing to send
            log.send("billed", 0, b"output")
            for _ in range(10):
                log.serve(0.001)
                now[0] += 0.9
            assert "outputs wait" not in caplog.text
            for _ in range(10):
                log.serve(0.001)
                now[0] += 1
            assert caplog.text.count(f"1 outputs wait for Kafka at {NOWHERE}") == 1
    finally:
        log.close()
