"""The demo, shortened: real processes, the worker killed twice, and the bill equal to the credit."""

import subprocess
import sys

import pytest


@pytest.mark.kafka
@pytest.mark.crash
@pytest.mark.slow
def test_the_demo_ends_with_equal_bills() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cli.demo", "--events", "5000", "--seed", "7"],
        capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "equal to the credit" in done.stderr
    assert "(2 times)" in done.stderr
    assert "creditmeter query" in done.stderr
    assert "ip-lookup" in done.stdout
